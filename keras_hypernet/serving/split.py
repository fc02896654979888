"""serving_default by its halves: what the condition decides is computed once for all x under it, and kept.

The result is that of `serving_default` but for rounding: sums of float32 are taken in another order.
"""

import numpy as np

from keras_hypernet.serving.signatures import FIRST_HALVES

# A condition is written out if it came before, or if at least so many rows of a request share it.
_SHARED_ROWS = 8


def run_default(servable, inputs, cache):
    """Runs `serving_default` by its halves where that pays, or as it is.

    Args:
        servable: A `Servable`.
        inputs: Dict of arrays, of the dtypes and shapes of its signature.
        cache: A `WeightCache`, or None.

    Returns:
        A dict of arrays or tensors.

    Raises:
        ServingError: As `Servable.run`.
    """
    first = next((name for name in FIRST_HALVES if name in servable.inputs), None)
    if cache is None or not cache.max_bytes or first is None or set(inputs) != {"x", "condition"}:
        return servable.run("serving_default", inputs)
    x, condition = inputs["x"], inputs["condition"]
    groups = _groups(x, condition)
    if groups is None:
        return servable.run("serving_default", inputs)
    keys = [cache.key(servable.name, servable.version, condition[rows[0]]) for rows in groups]
    weights = [cache.get(key) for key in keys]
    came_before = [cache.came_before(key) for key in keys]  # of all of them, so that all are known from now on
    for number, rows in enumerate(groups):
        if weights[number] is None and not came_before[number] and len(rows) < min(_SHARED_ROWS, len(x) + 1):
            return servable.run("serving_default", inputs)
    outputs = None
    for number, rows in enumerate(groups):
        if weights[number] is None:
            one = condition[rows[0]][None]
            weights[number] = servable.run(first, {"condition": one})
            size = sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in weights[number].values())
            cache.put(keys[number], weights[number], size)
        part = servable.run("apply", {"x": x if len(groups) == 1 else x[rows], **weights[number]})
        if len(groups) == 1:
            return part
        if outputs is None:
            outputs = {name: np.empty((len(x), *tensor.shape[1:]), "float32") for name, tensor in part.items()}
        for name, tensor in part.items():
            outputs[name][rows] = tensor.numpy()
    return outputs


def _groups(x, condition):
    """The rows under each condition, as lists of indices; None if there are too many conditions for it to pay."""
    batch = len(x)
    if not batch or len(condition) not in (1, batch):
        return None
    if len(condition) == 1 or (condition == condition[0]).all():
        return [range(batch)]
    groups = {}
    for row in range(batch):
        groups.setdefault(condition[row].tobytes(), []).append(row)
        if _SHARED_ROWS * len(groups) > batch:
            return None
    return list(groups.values())
