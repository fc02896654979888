"""serving_default by its halves: what a condition decides is computed once for all x under it, and kept.

Whether a request is answered so depends on the request alone, not on what was asked before or is kept: the same request
always gets the same answer. From what the whole signature gives it differs by rounding: sums of float32 are taken in
another order.
"""

from keras_hypernet.serving.config import FIRST_HALVES


def run_default(servable, inputs, cache):
    """Runs `serving_default`: by its halves if all rows of x have the same condition, else as it is.

    Args:
        servable: A `Servable`.
        inputs: Dict of arrays, of the dtypes and shapes of its signature.
        cache: A `WeightCache`.

    Returns:
        A dict of tensors.

    Raises:
        ServingError: As `Servable.run`.
    """
    first = next((name for name in FIRST_HALVES if name in servable.inputs), None)
    x, condition = inputs["x"], {name: array for name, array in inputs.items() if name != "x"}
    if first is None or not all(_is_one(part, len(x)) for part in condition.values()):
        return servable.run("serving_default", inputs)
    condition = {name: part[:1] for name, part in condition.items()}
    key = cache.key(servable.name, servable.version, condition)
    weights = cache.get(key)
    if weights is None:
        weights = servable.run(first, condition)
        cache.put(key, weights, sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in weights.values()))
    return servable.run("apply", {"x": x, **weights})


def _is_one(condition, rows):
    """Whether there is one condition for all rows of x, given once or with each row."""
    return rows > 0 and (len(condition) == 1 or (len(condition) == rows and bool((condition == condition[0]).all())))
