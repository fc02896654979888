"""The examples run, and their docstrings state the models' numbers of parameters."""

import runpy

import numpy as np
import pytest
from helpers import ROOT

import keras_hypernet as kh

FOLDER = ROOT / "examples"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="this is not a checkout: examples/ is not here")


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(FOLDER / "rotation_by_convolution.py"))


def test_both_hypernetworks_have_the_same_number_of_parameters_and_one_generator(example):
    task, recipe = kh.RotationTask("patches"), kh.Recipe(100, depth=3)
    models = [example[name](task, recipe) for name in ("convolutional", "dense")]
    convolutional, dense = (model.count_params() for model in models)
    assert abs(convolutional / dense - 1) < 0.015
    for model, generated in zip(models, (5 * 5 * 3 * 16 + 16 + 9 * 16 * 32 + 32 + 2048 * 12 + 12, 30840), strict=True):
        assert model.num_parameters()["primary"] == generated
        assert f"{model.count_params():,} parameters" in example["__doc__"]


@pytest.mark.full
def test_the_quick_mode_prints_mean_and_spread_of_both(example, capsys):
    errors = example["main"](["--quick"])
    printed = capsys.readouterr().out
    for name, (first, second) in errors.items():
        mean, spread = (first + second) / 2, abs(first - second) / np.sqrt(2)
        assert 0 < mean <= 1
        assert f"generated weights, test error {mean:.3f} ± {spread:.3f}" in printed.partition(f"{name}: ")[2]
    assert list(errors) == ["convolutional", "dense"]


@pytest.mark.full
def test_a_hypernetwork_paints_digits_that_it_has_not_seen(tmp_path):
    example = runpy.run_path(str(FOLDER / "image_as_function.py"))
    psnr = example["main"](["--quick", "--out", str(tmp_path / "digits.png")])
    assert psnr["painted"] > psnr["mean digit"] + 6
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


def _quick(name, out):
    return runpy.run_path(str(FOLDER / f"{name}.py"))["main"](["--quick", "--out", str(out)])


def _is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.full
def test_a_label_writes_the_weights_of_a_convnet(tmp_path):
    errors = _quick("convnet_with_a_label", tmp_path / "labels.png")
    assert errors["weights"] < 0.3  # half of the questions have the answer "yes"
    assert list(errors) == ["weights", "channels"]
    assert _is_picture(tmp_path / "labels.png")


@pytest.mark.full
def test_one_hypernetwork_learns_ten_tasks(tmp_path):
    accuracies = _quick("ten_tasks", tmp_path / "tasks.png")
    assert list(accuracies) == ["separate", "hypernetwork", "joined"]
    assert accuracies["hypernetwork"] > 0.6  # of a guess 0.1
    assert _is_picture(tmp_path / "tasks.png")


@pytest.mark.full
def test_adapters_are_written_for_angles_that_were_not_seen(tmp_path):
    means = _quick("adapters_from_a_description", tmp_path / "adapters.png")
    _, unseen = means["written by the description"]
    assert unseen > means["backbone alone"][1] + 0.15
    assert _is_picture(tmp_path / "adapters.png")


@pytest.mark.full
def test_detectors_of_one_digit_run_in_litert(tmp_path):
    found = _quick("ship_to_litert", tmp_path)
    detector, whole = found["bytes"]
    assert found["difference"] < 1e-4
    assert found["accuracy"] > 0.6  # of a guess 0.5
    assert detector < whole / 5
    assert _is_picture(tmp_path / "detectors.png")


def test_the_models_of_the_resnet_have_the_same_number_of_parameters():
    example, sizes = runpy.run_path(str(FOLDER / "rotation_by_resnet.py")), []
    for name in ("hypernetwork", "embedding"):
        model = example[name]()
        model({key: np.zeros((1, 32, 32, 3), "uint8") for key in ("x", "condition")})
        sizes.append(model.count_params())
        assert f"{name}: {model.count_params():,} parameters" in example["__doc__"]
    assert abs(sizes[0] / sizes[1] - 1) < 0.005


@pytest.mark.full
def test_the_resnet_of_few_images_is_trained_and_drawn(tmp_path):
    errors = _quick("rotation_by_resnet", tmp_path / "resnet.png")
    assert list(errors) == ["hypernetwork", "embedding"]
    assert _is_picture(tmp_path / "resnet.png")


@pytest.mark.full
def test_the_regularizer_keeps_earlier_tasks(tmp_path):
    accuracies = _quick("digits_without_forgetting", tmp_path / "forgetting.png")
    # Over the seeds 0 to 3, the least differences are 0.28 and 0.20.
    assert accuracies["regularized"] > accuracies["not regularized"] + 0.14
    assert accuracies["regularized"] > accuracies["fine-tuned"] + 0.1
    assert _is_picture(tmp_path / "forgetting.png")


@pytest.mark.full
def test_a_preference_chooses_a_trade_off(tmp_path):
    losses = _quick("choose_a_trade_off", tmp_path / "trade_off.png")
    assert list(losses) == ["hypernetwork", "separate"]
    right, _, left = losses["hypernetwork"]  # the losses of both digits, with the greater weight on this digit
    # Over the seeds 0 to 3, the least differences are 0.23 and 0.66.
    assert left[0] < right[0] - 0.1
    assert right[1] < left[1] - 0.3
    assert _is_picture(tmp_path / "trade_off.png")


@pytest.mark.full
def test_points_of_a_curve_help_to_predict_it(tmp_path):
    found = _quick("curve_from_points", tmp_path / "curves.png")
    assert list(found) == [1, 4, 10, "constant"]
    # Over the seeds 0 to 3, the least differences are 0.42 and 0.53.
    assert found[4] > found["constant"] + 0.2
    assert found[10] > found["constant"] + 0.25
    assert _is_picture(tmp_path / "curves.png")
