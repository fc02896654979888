"""serving_default by its two halves: the weights of a condition are computed once for all x, and cached.

The request alone decides whether it is answered this way, and not the cache or earlier requests: equal requests get
equal answers. The whole signature sums float32 in another order, so its answers differ by rounding.
"""

from keras_hypernet.serving.config import FIRST_HALVES


def run_default(servable, inputs, cache):
    """Runs `serving_default` of a `Servable`: by its halves, with a `WeightCache`, if all rows share one condition.

    Inputs, outputs and errors are those of `Servable.run`.
    """
    first = next((name for name in FIRST_HALVES if name in servable.inputs), None)
    x, condition = inputs["x"], {name: array for name, array in inputs.items() if name != "x"}
    if first is None or not all(_is_shared(part, len(x)) for part in condition.values()):
        return servable.run("serving_default", inputs)
    condition = {name: part[:1] for name, part in condition.items()}
    key = cache.key(servable.name, servable.version, condition)
    weights = cache.get(key)
    if weights is None:
        weights = servable.run(first, condition)
        cache.put(key, weights, sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in weights.values()))
    return servable.run("apply", {"x": x, **weights})


def _is_shared(condition, rows):
    """Whether all rows of x have the same condition, which is given once or for each row."""
    return rows > 0 and (len(condition) == 1 or (len(condition) == rows and bool((condition == condition[0]).all())))
