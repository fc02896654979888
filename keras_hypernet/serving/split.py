"""serving_default by its halves: what a condition decides is computed once for all x under it, and kept.

Whether a request is answered so depends on the request alone, not on what was asked before or is kept: the same request
always gets the same answer. From what the whole signature gives it differs by rounding: sums of float32 are taken in
another order.
"""

from keras_hypernet.serving.signatures import FIRST_HALVES


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
    if first is None or not _one_condition(inputs):
        return servable.run("serving_default", inputs)
    condition = inputs["condition"][:1]
    key = cache.key(servable.name, servable.version, condition)
    weights = cache.get(key)
    if weights is None:
        weights = servable.run(first, {"condition": condition})
        cache.put(key, weights, sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in weights.values()))
    return servable.run("apply", {"x": inputs["x"], **weights})


def _one_condition(inputs):
    """Whether there is one condition for all of x, given once or with each row."""
    rows, condition = len(inputs["x"]), inputs["condition"]
    return rows > 0 and (len(condition) == 1 or (len(condition) == rows and bool((condition == condition[0]).all())))
