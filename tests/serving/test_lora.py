"""export_lora: the file holds the product of two thin matrices that a kernel for one condition differs by."""

import re

import keras
import numpy as np
import pytest
from helpers import array, normal
from keras import layers

import keras_hypernet as kh
from keras_hypernet.serving import export_lora

CONDITION = normal((1, 4))


def _hyper(**options):
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(5, 2, name="conv", data_format="channels_last")(inputs)
    backbone = keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(x)))
    generator = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    basis = kh.bases.LowRank(2)
    hyper = kh.hypernetize(
        backbone, generator, **{"basis": basis, "weights": "*kernel", "train_base": False, **options}
    )
    hyper({"x": normal((1, 4, 4, 3)), "condition": CONDITION})
    for number, variable in enumerate(hyper.trainable_variables):
        variable.assign(normal(variable.shape, seed=number))
    return backbone, hyper


def test_kernels_are_those_of_the_base_and_the_adapter(tmp_path):
    from safetensors.numpy import load_file

    (backbone, hyper), path = _hyper(), tmp_path / "adapter.safetensors"
    export_lora(hyper, CONDITION, path)
    file, theta = load_file(path), hyper.generate(CONDITION)
    assert {name: array.shape for name, array in file.items()} == {
        **{"base_model.model.conv.lora_A.weight": (2, 3, 2, 2), "base_model.model.conv.lora_B.weight": (5, 2, 1, 1)},
        **{"base_model.model.head.lora_A.weight": (2, 45), "base_model.model.head.lora_B.weight": (2, 2)},
    }
    for layer in (backbone.get_layer("conv"), backbone.get_layer("head")):
        a, b = (file[f"base_model.model.{layer.name}.lora_{kind}.weight"] for kind in "AB")
        product = np.tensordot(b.reshape(b.shape[:2]), a, axes=1)  # PyTorch's order: out, in, ...
        added = array(theta[f"{layer.name}/kernel"])[0] - array(layer.kernel)
        np.testing.assert_allclose(np.moveaxis(product, (0, 1), (-1, -2)), added, atol=1e-5)


def test_other_weights_are_refused(tmp_path):
    for options in ({"weights": None}, {"basis": kh.bases.Full()}):
        with pytest.raises(ValueError, match=re.escape("kernels of Dense and Conv layers alone, of the basis LowRank")):
            export_lora(_hyper(**options)[1], CONDITION, tmp_path / "adapter.safetensors")
    with pytest.raises(ValueError, match="specialized to one condition"):
        export_lora(_hyper()[1], normal((2, 4)), tmp_path / "adapter.safetensors")
    assert not list(tmp_path.iterdir())


def test_peft_computes_the_same_from_the_file(tmp_path):
    """Skipped where peft, which no extra brings, is not installed."""
    peft, torch = pytest.importorskip("peft"), pytest.importorskip("torch")

    class Backbone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = torch.nn.Conv2d(3, 5, 2), torch.nn.Linear(45, 2)

        def forward(self, x):
            return self.head(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1))

    (backbone, hyper), x = _hyper(train_others=False), normal((3, 4, 4, 3))
    export_lora(hyper, CONDITION, tmp_path / "adapter_model.safetensors")
    peft.LoraConfig(r=2, lora_alpha=2, target_modules=["conv", "head"]).save_pretrained(tmp_path)
    network = Backbone()
    for name, module in network.named_children():
        kernel, bias = (torch.tensor(array(weight), dtype=torch.float32) for weight in backbone.get_layer(name).weights)
        axes = (1, 0) if kernel.ndim == 2 else (3, 2, 0, 1)
        module.weight.data, module.bias.data = kernel.permute(axes).contiguous(), bias
    adapted = peft.PeftModel.from_pretrained(network, tmp_path).eval()
    with torch.no_grad():
        y = adapted(torch.tensor(x, dtype=torch.float32)).numpy()
    expected = array(hyper({"x": x, "condition": CONDITION}))
    assert np.abs(expected - array(backbone(x))).max() > 1
    np.testing.assert_allclose(y, expected, atol=1e-4)
