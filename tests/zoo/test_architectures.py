"""build_model for every task: the sizes of the paper's networks, and how they are compiled."""

import dataclasses

import keras
import numpy as np
import pytest
from helpers import array, pixels

import keras_hypernet as kh
from keras_hypernet.tasks import (
    ApproximationTask,
    ClassificationTask,
    ColorizationTask,
    RotationSetTask,
    RotationTask,
    SyntheticTask,
)
from keras_hypernet.theory import dense_parameters, synthetic_depth_parameters, synthetic_embedding_dim_parameters
from keras_hypernet.zoo.architectures import describe_architecture

CONDITIONAL = [
    ColorizationTask("patches", num_points=4),
    RotationTask("digits"),
    SyntheticTask("inner", dim=20, num_test=8, hidden_units=5),
]
NETWORKS = [ApproximationTask("uniform", num_samples=8), ClassificationTask("digits")]
MODELS = [(task, method) for task in CONDITIONAL for method in ("hyper", "embed")]
MODELS += [(task, "network") for task in NETWORKS] + [(RotationSetTask("digits", members=2), "process")]
OUTPUTS = {"rotation": "logits", "rotation_set": "logits", "colorization": "rgb"}


def _sizes(task, method, **changes):
    return kh.build_model(task, method, kh.paper_recipe(task, **changes)).num_parameters()


@pytest.mark.parametrize("depth", [2, 5])
def test_sizes_of_figure_1a(depth):
    sizes, hidden_biases = synthetic_depth_parameters(depth), 100 * (depth - 1)
    assert _sizes(SyntheticTask(), "hyper", depth=depth) == {
        # The paper does not count biases. f has one for each weight of g, which itself has none.
        "generator": sizes["f"] + hidden_biases + sizes["g"],
        "primary": sizes["g"],
    }
    assert _sizes(SyntheticTask(), "embed", depth=depth) == {
        "embedding": sizes["e"] + hidden_biases + 10_000,
        "primary": sizes["q"] + 10 + 1,
    }


@pytest.mark.parametrize("i", [1, 3])
def test_sizes_of_figure_1b(i):
    task, sizes = SyntheticTask(dim=100), synthetic_embedding_dim_parameters(i)
    assert _sizes(task, "hyper", rank=100 * i) == {
        "generator": sizes["f"] + 100 + 100 * i + sizes["g"],
        "primary": sizes["g"],
    }
    assert _sizes(task, "embed", embedding_dim=1000 * i) == {
        "embedding": sizes["e"] + 100 + 100 + 1000 * i,
        "primary": sizes["q"] + 10 + 1,
    }


def test_sizes_of_g_and_q_with_other_hidden_units():
    task = SyntheticTask("centred", dim=100)
    assert _sizes(task, "hyper", primary_units=300)["primary"] == dense_parameters((100, 300, 1))
    assert _sizes(task, "embed", primary_units=300)["primary"] == dense_parameters((1100, 300, 1), use_bias=True)
    recipe = kh.paper_recipe(task, primary_units=300)
    assert describe_architecture(task, "embed", recipe)["primary"] == "1100 -> 300 (relu) -> 1, with biases"


def test_sizes_of_rotation_with_another_rank_and_embedding():
    task, num_g = RotationTask("digits"), dense_parameters((784, 10, 12))
    assert _sizes(task, "hyper", depth=3, rank=200) == {
        "generator": dense_parameters((784, 50, 200, num_g), use_bias=True),
        "primary": num_g,
    }
    assert _sizes(task, "hyper", depth=2, rank=7)["generator"] == dense_parameters((784, 7, num_g), use_bias=True)
    assert _sizes(task, "embed", depth=3, embedding_dim=300) == {
        "embedding": dense_parameters((784, 50, 50, 300), use_bias=True),
        "primary": dense_parameters((784 + 300, 10, 12), use_bias=True),
    }
    # Each of the two concerns its own method only.
    assert _sizes(task, "hyper", embedding_dim=300) == _sizes(task, "hyper")
    assert _sizes(task, "embed", rank=200) == _sizes(task, "embed")


@pytest.mark.parametrize("depth", [2, 4])
def test_sizes_of_colorization(depth):
    task, num_g = ColorizationTask("patches"), dense_parameters((2, 10, 3), use_bias=True)
    assert num_g == 63
    f_and_e = dense_parameters((32 * 32, *[100] * (depth - 1), 63), use_bias=True)
    assert _sizes(task, "hyper", depth=depth) == {"generator": f_and_e, "primary": 63}
    assert _sizes(task, "embed", depth=depth) == {
        "embedding": f_and_e,
        "primary": dense_parameters((2 + 63, 10, 3), use_bias=True),
    }


def test_sizes_of_networks_without_a_condition():
    for task, width, inputs in (
        (ApproximationTask("uniform"), 100, 784),
        (ApproximationTask("patches"), 100, 3072),
        (ClassificationTask("digits"), 7, 784),
    ):
        network = kh.build_model(task, "network", kh.paper_recipe(task, width=width))
        assert network.count_params() == dense_parameters((inputs, width, 10), use_bias=True)


@pytest.mark.parametrize(("task", "method"), MODELS, ids=str)
def test_a_model_takes_the_batches_of_its_task_and_is_trained_on_its_loss(task, method):
    model = kh.build_model(task, method, kh.paper_recipe(task))
    assert model.name == f"{task.name}_{method}"
    last = model.layers[-1] if method == "network" else model.primary[-1]
    assert last.name == OUTPUTS.get(task.name, "value")  # what a server returns
    inputs, target = next(iter(task.evaluation_dataset("test", batch_size=8)))
    y, target = array(model(inputs)), np.asarray(target)
    assert y.shape == (target.shape if task.loss == "mse" else (8, task.num_outputs))
    model.run_eagerly = True  # a function for one batch takes longer to trace than the batch
    measured = model.evaluate(inputs, target, return_dict=True, verbose=0)
    if task.loss == "mse":
        assert measured["loss"] == pytest.approx(np.mean((y - target) ** 2), rel=1e-4)
    else:
        log_sum = np.log(np.exp(y).sum(axis=1))
        assert measured["loss"] == pytest.approx(np.mean(log_sum - y[np.arange(8), target]), rel=1e-4)
    if task.metric == "error":
        classes = target.argmax(axis=1) if target.ndim == 2 else target
        assert measured["accuracy"] == pytest.approx((y.argmax(axis=1) == classes).mean())
    else:
        assert set(measured) == {"loss"}


def _optimizer(task, **changes):
    method = "hyper" if "condition" in task.inputs else "network"
    return kh.build_model(task, method, kh.paper_recipe(task, **changes)).optimizer


def test_the_optimizer_is_that_of_the_recipe():
    rotation, approximation, classification = RotationTask("digits"), *NETWORKS
    sgd = _optimizer(approximation)
    assert type(sgd) is keras.optimizers.SGD
    assert sgd.momentum == 0.5
    assert float(sgd.learning_rate) == pytest.approx(0.01)
    assert _optimizer(approximation, momentum=0.25).momentum == 0.25
    assert _optimizer(rotation).momentum == 0
    assert _optimizer(rotation, momentum=0.9).momentum == 0.9
    assert _optimizer(rotation).global_clipnorm is None
    assert _optimizer(rotation, gradient_clipnorm=5.0).global_clipnorm == 5
    adadelta = _optimizer(classification)
    assert type(adadelta) is keras.optimizers.Adadelta
    assert float(adadelta.learning_rate) == 1


def test_momentum_makes_a_second_step_longer():
    task = NETWORKS[0]
    x = task.load("test")
    steps = {}
    for momentum in (0.0, 0.5):
        # The gradient hardly changes at such a small learning rate: the second step is 1 + momentum times the first.
        model = kh.build_model(task, "network", kh.paper_recipe(task, momentum=momentum, learning_rate=1e-3))
        biases = [array(model.layers[-1].bias)]
        for _ in range(2):
            model.train_on_batch(x, np.ones((8, 10), "float32"))
            biases.append(array(model.layers[-1].bias))
        steps[momentum] = np.linalg.norm(np.diff(biases, axis=0), axis=1)
    assert steps[0.0][1] / steps[0.0][0] == pytest.approx(1, abs=0.05)
    assert steps[0.5][1] / steps[0.5][0] == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_networks_may_start_with_weights_of_unit_norm(distribution):
    task = NETWORKS[0]
    model = kh.build_model(task, "network", kh.paper_recipe(task, initialization=f"unit_norm_{distribution}"))
    kernel, bias, last_kernel, last_bias = (array(weight) for weight in model.weights)
    for columns in (kernel, last_kernel):
        np.testing.assert_allclose(np.linalg.norm(columns, axis=0), 1, atol=1e-6)
    assert not bias.any()
    assert not last_bias.any()
    assert (np.abs(kernel).max() < 1.1 * np.sqrt(3 / 784)) == (distribution == "uniform")


def test_recipes_of_the_paper():
    def recipe(task):
        found = dataclasses.asdict(kh.paper_recipe(task))
        common = {"initialization": "fan_in_uniform", "gradient_clipnorm": None, "rank": None, "seed": 0}
        common["primary_units"] = 10
        adadelta = (0.9, 1e-6) if found["optimizer"] == "adadelta" else (None, None)
        assert (found.pop("rho"), found.pop("epsilon")) == adadelta
        assert {name: found.pop(name) for name in common} == common
        return tuple(found.values())

    names = [field.name for field in dataclasses.fields(kh.Recipe)]
    elsewhere = ("initialization", "gradient_clipnorm", "rank", "seed", "rho", "epsilon", "primary_units")
    assert [name for name in names if name not in elsewhere] == [
        *("width", "activation", "depth", "embedding_dim"),
        *("optimizer", "learning_rate", "momentum", "batch_size", "epochs"),
    ]
    assert recipe(RotationTask("mnist")) == (50, "relu", 4, None, "sgd", 0.01, 0.0, 64, 10)
    assert recipe(RotationTask("cifar10")) == (100, "elu", 4, None, "sgd", 0.01, 0.0, 64, 10)
    assert recipe(ColorizationTask("cifar10")) == (100, "elu", 4, 63, "sgd", 0.01, 0.0, 64, 10)
    assert recipe(SyntheticTask()) == (100, "relu", 3, 10_000, "sgd", 0.01, 0.0, 200, 30)
    assert recipe(SyntheticTask(dim=100)) == (100, "relu", 3, 1000, "sgd", 0.01, 0.0, 200, 30)
    assert recipe(ApproximationTask("mnist")) == (100, "relu", 2, None, "sgd", 0.01, 0.5, 64, 50)
    assert recipe(ClassificationTask("mnist")) == (29, "elu", 2, None, "adadelta", 1.0, 0.0, 64, 5)


def test_methods_and_initializations_that_do_not_fit_the_task_are_refused():
    rotation, approximation = RotationTask("digits"), NETWORKS[0]
    message = r"`method` must be one of \('hyper', 'embed'\) for the task 'rotation'. Received: 'network'"
    with pytest.raises(ValueError, match=message):
        kh.build_model(rotation, "network", kh.paper_recipe(rotation))
    for method in ("hyper", "embed", "conv"):
        message = rf"`method` must be one of \('network',\) for the task 'approximation'. Received: '{method}'"
        with pytest.raises(ValueError, match=message):
            kh.build_model(approximation, method, kh.paper_recipe(approximation))
    sets = RotationSetTask("digits")
    message = r"`method` must be one of \('process',\) for the task 'rotation_set'. Received: 'embed'"
    with pytest.raises(ValueError, match=message):
        kh.build_model(sets, "embed", kh.paper_recipe(sets))
    for method in ("hyper", "embed"):
        message = "'unit_norm_normal' is for networks without a condition. Received: the task 'rotation'"
        with pytest.raises(ValueError, match=message):
            kh.build_model(rotation, method, kh.paper_recipe(rotation, initialization="unit_norm_normal"))


def test_networks_scale_pixels_themselves_and_vectors_are_left_as_they_are():
    network = kh.build_model(NETWORKS[1], "network", kh.paper_recipe(NETWORKS[1]))
    kernel, bias, last_kernel, last_bias = (array(weight) for weight in network.weights)
    images = pixels((3, 28, 28, 1))
    hidden = ((images / 255 - 0.1307) / 0.3081).reshape(3, 784) @ kernel + bias
    hidden = np.where(hidden > 0, hidden, np.expm1(np.minimum(hidden, 0)))  # ELU
    np.testing.assert_allclose(array(network(images)), hidden @ last_kernel + last_bias, rtol=1e-4, atol=1e-4)

    uniform = kh.build_model(NETWORKS[0], "network", kh.paper_recipe(NETWORKS[0]))
    kernel, bias, last_kernel, last_bias = (array(weight) for weight in uniform.weights)
    x = NETWORKS[0].load("test")
    expected = np.maximum(x.reshape(8, 784) @ kernel + bias, 0) @ last_kernel + last_bias
    np.testing.assert_allclose(array(uniform(x)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.regression
def test_a_users_task_has_no_recipe_of_the_paper():
    class Mine(kh.tasks.Task):
        name = "mine"

    for task in (Mine(), kh.tasks.Task(), "mnist"):
        with pytest.raises(ValueError, match="The paper has recipes for .* own task, pass a recipe: keras_hyp"):
            kh.paper_recipe(task)
