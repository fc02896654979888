"""export_lora: the adapters that a hypernetwork generates for one condition, as a file for peft."""

import os
import pathlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypernet.bases import LowRank
from keras_hypernet.common.extras import needs_extra
from keras_hypernet.common.files import check_writable, replacing
from keras_hypernet.layers import HyperConv1D, HyperConv2D, HyperConv3D, HyperDense
from keras_hypernet.models.conditions import check_one
from keras_hypernet.serving.specialized import check_conditional


def export_lora(model: keras.Model, condition: Any, path: str | os.PathLike[str]) -> None:
    """Writes the adapters of one condition as a safetensors file in peft's layout.

    The kernel of a layer for the condition is `K0 + G`, where G is a product of two thin matrices; the file has only
    these matrices, not K0. For a layer `name`, they are `base_model.model.<name>.lora_A.weight` `[r, in, ...]` and
    `.lora_B.weight` `[out, r, ...]`, in PyTorch's order of axes and float32. Their product is G itself: the scaling
    `lora_alpha / r` must be one.

    Args:
        model: A built `Hypernetwork` whose hyper layers generate only kernels of `Dense` and `Conv` layers, with the
            basis `LowRank`, such as `hypernetize(..., basis=LowRank(8), weights="*kernel", train_base=False)`.
        condition: One condition, `[1, ...]`.
        path: The file, such as `adapter_model.safetensors`, which is written atomically.

    Raises:
        ImportError: If the extra `safetensors` is not installed.
        ValueError: If the model has no condition, generates other weights, or the number of conditions is not one.
        NotWritableError: If the folder takes no files.

    Example:

    >>> import pathlib, tempfile
    >>> backbone = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, name="dense")])
    >>> generator = keras.Sequential([keras.Input((7,)), keras.layers.Dense(2)])
    >>> basis = keras_hypernet.bases.LowRank(1)
    >>> model = keras_hypernet.hypernetize(backbone, generator, basis=basis, weights="*kernel")
    >>> _ = model({"x": keras.ops.ones((1, 5)), "condition": keras.ops.ones((1, 7))})
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "adapter_model.safetensors"
    >>> export_lora(model, keras.ops.ones((1, 7)), path)
    >>> from safetensors.numpy import load_file
    >>> {name: array.shape for name, array in sorted(load_file(path).items())}
    {'base_model.model.dense.lora_A.weight': (1, 5), 'base_model.model.dense.lora_B.weight': (4, 1)}

    Reference: Hu et al., "LoRA", ICLR 2022.
    """
    with needs_extra("A LoRA file needs", "safetensors"):
        from safetensors.numpy import save
    check_conditional(model)
    model.check_built("export_lora")
    encoded, tensors = model.encode(condition), {}  # which checks the condition
    check_one(condition)
    for layer, z in [pair for step in model.network.steps for pair in step.conditions(encoded)]:
        for kind, matrix in zip("AB", _factors(layer, z), strict=True):
            tensors[f"base_model.model.{layer.name}.lora_{kind}.weight"] = np.ascontiguousarray(matrix)
    path = pathlib.Path(path)
    check_writable(path.parent, sum(array.nbytes for array in tensors.values()))
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, {"format": "pt"}))


def _factors(layer, z):
    """A and B of the kernel of a layer under one z."""
    (name, *others), kinds = layer.generated_shapes, (HyperDense, HyperConv1D, HyperConv2D, HyperConv3D)
    basis = getattr(layer, "basis", None)
    if type(layer) not in kinds or name != "kernel" or others or type(basis) is not LowRank:
        raise ValueError(
            "An adapter file has kernels of Dense and Conv layers alone, of the basis LowRank: choose them by `layers` "
            f"and by `weights='*kernel'`. Received: {layer.name!r} of class {type(layer).__name__}, which generates "
            f"{sorted(layer.generated_shapes)}, of the basis {type(basis).__name__}"
        )
    left, scale, right = (
        ops.convert_to_numpy(variable)
        for variable in basis.owned_variables(layer, name, layer.generated_shapes[name])[:3]
    )
    b = (ops.convert_to_numpy(z) @ scale).T * right  # [r, out]
    return np.moveaxis(left, (-1, -2), (0, 1)), b.T.reshape(*b.T.shape, *[1] * (left.ndim - 2))
