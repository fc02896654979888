"""OutputRegularizer: its value and gradient against plain NumPy, and what it remembers in a training."""

import keras
import numpy as np
import pytest

import keras_hypernet as kh
from keras_hypernet.continual import OutputRegularizer

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
CONDITION = np.full(8, 2, "int32")
BASES = {"full": kh.bases.Full, "chunked": lambda: kh.bases.Chunked(5, 3, hidden=(6, 6), train_constant=False)}


def _value(tensor):
    return float(keras.ops.convert_to_numpy(tensor))


def _model(basis="full"):
    keras.utils.set_random_seed(0)
    layers = [kh.layers.HyperDense(4, "tanh", basis=BASES[basis]()), kh.layers.HyperDense(1)]
    model = kh.Hypernetwork(kh.layers.TaskEmbedding(3, 2), layers)
    model.build({"x": (None, 3), "condition": (None,)})
    return model


def _generated(model, tasks):
    weights = model.generate(np.array(tasks, "int32")).values()
    return [keras.ops.convert_to_numpy(weight).astype("float64") for weight in weights]


def _expected(model, targets, beta):
    pairs = zip(_generated(model, range(len(targets[0]))), targets, strict=True)
    return beta / len(targets[0]) * sum(np.sum((new - old) ** 2) for new, old in pairs)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("tasks", [1, 2])
def test_value_and_gradient_match_numpy(basis, tasks):
    """The step of SGD equals the gradient of the penalty, because the loss of the task has the weight zero."""
    model, loss = _model(basis), OutputRegularizer(0.7, "mse")
    targets = _generated(model, range(tasks))
    loss.remember(model, range(tasks))
    assert _value(loss.penalty()) == pytest.approx(0, abs=1e-7)
    rng = np.random.default_rng(1)
    model.set_weights([weight + rng.normal(0, 0.1, weight.shape) for weight in model.get_weights()])
    before, expected = model.get_weights(), _expected(model, targets, 0.7)
    assert _value(loss.penalty()) == pytest.approx(expected, rel=1e-4)
    model.compile(keras.optimizers.SGD(1.0), loss)
    data = {"x": X, "condition": CONDITION}
    measured = model.train_on_batch(data, np.zeros((8, 1)), sample_weight=np.zeros(8))
    assert float(np.ravel(measured)[0]) == pytest.approx(expected, rel=1e-4)
    gradients = [old - new for old, new in zip(before, model.get_weights(), strict=True)]
    step, index = 1e-3, 0
    for number, weight in enumerate(before):
        index = (index + 7) % weight.size
        values = []
        for sign in (1, -1):
            moved = [each.copy() for each in before]
            moved[number].flat[index] += sign * step
            model.set_weights(moved)
            values.append(_expected(model, targets, 0.7))
        slope = (values[0] - values[1]) / (2 * step)
        assert gradients[number].flat[index] == pytest.approx(slope, rel=2e-2, abs=5e-3)


def test_the_loss_alone_until_a_task_is_remembered():
    model, loss = _model(), OutputRegularizer(1.0, "mse")
    y, predicted = np.ones((8, 1), "float32"), np.zeros((8, 1), "float32")
    assert _value(loss(y, predicted)) == pytest.approx(1.0)
    loss.remember(model, [0])
    model.set_weights([2 * weight for weight in model.get_weights()])
    assert _value(loss(y, predicted)) == pytest.approx(1.0 + _value(loss.penalty()))
    assert _value(loss.penalty()) > 0


def test_fit_keeps_the_tasks_that_are_remembered_last():
    """A compiled step would hold the penalty of the first call."""
    drift, many = {}, np.tile(X, (40, 1))  # 40 steps in one epoch: an epoch takes longer than a step
    for beta in (0.0, 10.0):
        model, loss = _model(), OutputRegularizer(beta, "mse")
        model.compile(keras.optimizers.Adam(0.01), loss)
        for task in range(3):
            before = _generated(model, range(task)) if task else []
            data = {"x": many, "condition": np.full(len(many), task)}
            model.fit(data, many[:, :1] * (task + 1), batch_size=8, verbose=0)
            pairs = zip(_generated(model, range(task)) if task else [], before, strict=True)
            drift[beta] = sum(np.sum((new - old) ** 2) for new, old in pairs)
            loss.remember(model, np.arange(task + 1))
    assert drift[10.0] < 0.1 * drift[0.0]


@pytest.mark.regression
@pytest.mark.parametrize("condition", [[2, 3], [-1], [0.5]], ids=str)
def test_a_number_without_a_task_is_named(condition):
    model, loss = _model(), OutputRegularizer(1.0, "mse")
    with pytest.raises(ValueError, match="A condition must be integers from 0 to 2. Received"):
        loss.remember(model, condition)
    assert loss.model is None


def test_saving_keeps_the_loss_and_not_the_memory(tmp_path):
    model, loss = _model(), OutputRegularizer(0.5, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.compile("sgd", loss)
    loss.remember(model, [0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.loss.beta, loaded.loss.loss.get_config()["from_logits"], loaded.loss.model) == (0.5, True, None)
    loaded.loss.remember(loaded, [0, 1])
    assert _value(loaded.loss.penalty()) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("beta", [-1.0, float("nan"), float("inf"), "much", True, None])
def test_beta_is_a_finite_number(beta):
    with pytest.raises(ValueError, match="`beta` must be a finite number of at least 0"):
        OutputRegularizer(beta, "mse")


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`loss` must be a Keras loss"):
        OutputRegularizer(1.0, None)
    loss = OutputRegularizer(1.0, "mse")
    with pytest.raises(TypeError, match="`model` must be a Hypernetwork. Received: Sequential"):
        loss.remember(keras.Sequential([keras.layers.Dense(1)]), [0])
    with pytest.raises(ValueError, match="`condition` must hold a row for each learned task"):
        loss.remember(_model(), 0)
    with pytest.raises(ValueError, match="`condition` must hold a row for each learned task"):
        loss.remember(_model(), [])
    with pytest.raises(ValueError, match="has no weights yet"):
        loss.remember(kh.Hypernetwork(kh.layers.TaskEmbedding(3, 2), [kh.layers.HyperDense(1)]), [0])
    assert loss.model is None
