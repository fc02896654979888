"""Properties of every task: description as data, declared shapes, epochs and evaluations."""

import dataclasses
import hashlib
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import normal

import keras_hypernet as kh
from keras_hypernet.continual import PolynomialSequence
from keras_hypernet.tasks import (
    TASKS,
    ApproximationTask,
    ClassificationTask,
    ColorizationTask,
    DecayResponseTask,
    GaussianProcessTask,
    NoisyViewsTask,
    OverlaidDigitsTask,
    ParetoTask,
    RotationSetTask,
    RotationTask,
    StaticKernelTask,
    SyntheticTask,
    Task,
    get_task,
)
from keras_hypernet.tasks.batches import planned_batches
from keras_hypernet.training.loop import evaluate, fit

SYNTHETIC = {"dim": 3, "seed": 4, "hidden_units": 5, "gain": 2.5, "num_train": 45, "num_validation": 7, "num_test": 50}
EXAMPLES = [
    ApproximationTask("digits", seed=3),
    ApproximationTask("uniform", seed=2, num_samples=45),
    ClassificationTask("digits"),
    ColorizationTask("patches", num_points=5),
    DecayResponseTask("digits", num_train=45, repeats=1),
    GaussianProcessTask("rbf", members=3, num_points=4, num_train=45, num_validation=7, num_test=50),
    NoisyViewsTask("centred", **SYNTHETIC, members=3),
    OverlaidDigitsTask("digits"),
    ParetoTask("line", num_train=45),
    RotationSetTask("digits", members=3),
    RotationTask("digits"),
    StaticKernelTask("digits"),
    SyntheticTask("concat", **SYNTHETIC),
]
tasks = pytest.mark.parametrize("task", EXAMPLES, ids=str)
TARGETS = {"overlaid_digits": 4, "pareto": 4}  # sizes of targets that differ from the number of outputs


def _examples(task):
    """45 examples, of the smaller test split where it has the form of the training split."""
    uniform = getattr(task, "data", None) == "uniform"
    return keras.tree.map_structure(lambda array: array[:45], task.load("train" if uniform else "test"))


def _arrays(dataset):
    """All batches of a dataset, each a list of arrays of inputs and target."""
    return [[np.asarray(array) for array in keras.tree.flatten(batch)] for batch in dataset]


def _same(first, second):
    return all(
        (left == right).all()
        for batches in zip(first, second, strict=True)
        for left, right in zip(*batches, strict=True)
    )


def test_every_task_is_tested_here():
    public = vars(kh.tasks).values()
    assert {task.name for task in EXAMPLES} == {name for name, found in TASKS.items() if found in public}


@tasks
def test_a_split_that_does_not_exist_is_named(task):
    for call in (task.load, task.num_examples, task.evaluation_dataset):
        with pytest.raises(
            ValueError, match=r"split must be one of \('train', 'validation', 'test'\). Received: 'dev'"
        ):
            call("dev")


@tasks
def test_config_is_json_and_makes_the_same_task(task):
    config = json.loads(json.dumps(task.config()))
    assert config["name"] == task.name
    assert get_task(**config) == task
    assert hash(get_task(**config)) == hash(task)


def test_scalars_of_numpy_are_python_numbers():
    task = SyntheticTask("inner", dim=np.int64(4), seed=np.int32(3))
    assert json.dumps(task.config()) == json.dumps(SyntheticTask("inner", dim=4, seed=3).config())


def test_config_holds_every_argument():
    assert SyntheticTask("concat", **SYNTHETIC).config() == {"name": "synthetic", "family": "concat", **SYNTHETIC}
    assert get_task("colorization", data="patches").num_points == 64


def test_unknown_names_and_arguments():
    with pytest.raises(ValueError, match=r"There is no task 'translation'; choose one of \['approximation', 'class"):
        get_task("translation", data="digits")
    with pytest.raises(ValueError, match="'rotation' does not take these arguments: .*unexpected .* 'angle'"):
        get_task("rotation", data="digits", angle=30)
    with pytest.raises(ValueError, match="'rotation' does not take these arguments: .*missing .* 'data'"):
        get_task("rotation")
    with pytest.raises(ValueError, match="There is no data source 'imagenet'"):
        get_task("colorization", data="imagenet")


def test_a_task_is_abstract():
    with pytest.raises(NotImplementedError):
        Task().num_examples("test")
    with pytest.raises(NotImplementedError):
        Task().evaluation_dataset("test")


@tasks
def test_batches_have_the_declared_shapes_and_dtypes(task):
    for dataset in (task.training_dataset(_examples(task), 20, 0, 0), task.evaluation_dataset(_examples(task), 20)):
        assert len(dataset) == 3
        sizes = []
        for inputs, target in dataset:
            inputs = inputs if isinstance(inputs, dict) else {"x": inputs}
            assert set(inputs) == set(task.inputs)
            for name, value in inputs.items():
                declared = getattr(task, f"{name}_shape")
                assert len(value.shape) == len(declared) + 1
                assert all(
                    size in (expected, None) or expected is None
                    for size, expected in zip(value.shape[1:], declared, strict=True)
                )
                assert value.dtype.name == getattr(task, f"{name}_dtype")
            if task.loss == "cross_entropy":
                assert target.dtype == "int32"
                assert len(target.shape) == 1
            else:
                assert target.dtype == "float32"
                assert target.shape[-1] == TARGETS.get(task.name, task.num_outputs)
            sizes.append({len(value) for value in (*inputs.values(), target)})
        assert sizes == [{20}, {20}, {5}]


@tasks
def test_an_epoch_is_a_function_of_seed_and_epoch(task):
    examples, epoch = _examples(task), tf.Variable(0, dtype=tf.int64)
    dataset = task.training_dataset(examples, 20, 7, epoch)
    first = _arrays(dataset)
    assert _same(_arrays(dataset), first)
    epoch.assign(1)  # each pass reads the variable
    second = _arrays(dataset)
    assert not _same(second, first)
    assert _same(_arrays(task.training_dataset(examples, 20, 7, 1)), second)
    assert not _same(_arrays(task.training_dataset(examples, 20, 8, 0)), first)


@tasks
def test_an_evaluation_is_the_same_at_every_call_and_for_every_batch_size(task):
    one, other = (_arrays(task.evaluation_dataset("test", batch_size)) for batch_size in (300, 128))
    assert len(one) == math.ceil(task.num_examples("test") / 300)
    for whole, parts in zip(_joined(one), _joined(other), strict=True):
        assert len(whole) == task.num_examples("test")
        np.testing.assert_array_equal(whole, parts)


def _joined(batches):
    return [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]


@dataclasses.dataclass(frozen=True)
class OwnTask(Task):
    """A user's own task of 7 rows; `load` returns x, condition and target in one of several forms."""

    form: str = "tuple"
    name = "own"
    metric = "mse"
    x_dtype = condition_dtype = "uint8"
    x_shape = (3,)
    condition_shape = (2,)
    num_outputs = 1

    def load(self, split):
        x, condition, y = normal((7, 3)), normal((7, 2), seed=1), normal((7, 1), seed=2)
        forms = {
            "tuple": (x, condition, y),
            "dict": {"x": x, "condition": condition, "y": y},
            "nested": {"inputs": {"x": x, "condition": condition}, "y": y},
            "array": np.concatenate([x, condition, y], axis=1),
            "tensors": tuple(map(tf.constant, (x, condition, y))),
            "unequal": (x, condition[:5], y),
            "numbers": [1.0, 2.0],
        }
        return forms[self.form]

    def training_dataset(self, examples, batch_size, seed, epoch):
        x, condition, y = examples
        batches = planned_batches(
            len(x), lambda: tf.range(len(x)), lambda n: [tf.gather(v, n) for v in (x, condition, y)], 4
        )
        return batches.map(
            lambda x, condition, y: ({"x": x, "condition": condition} if len(self.inputs) == 2 else x, y)
        )

    def evaluation_dataset(self, split, batch_size=500):
        return self.training_dataset(self.load(split), batch_size, 0, 0)


@dataclasses.dataclass(frozen=True)
class FloatTask(OwnTask):
    x_dtype = condition_dtype = "float32"


@pytest.mark.regression
@pytest.mark.parametrize("form", ["tuple", "dict", "nested", "array", "tensors"])
def test_examples_are_counted_by_rows(form):
    task = OwnTask(form)
    assert task.num_examples("test") == 7
    first = keras.tree.flatten(task.load("test"))[0] if form != "dict" else task.load("test")["x"]
    assert task.fingerprint() == hashlib.sha256(np.asarray(first).tobytes()).hexdigest()
    together = keras.tree.flatten(task.load_together(["train", "test"]))
    for array, one in zip(together, keras.tree.flatten(task.load("train")), strict=True):
        np.testing.assert_array_equal(array, np.concatenate([one, one]))


@pytest.mark.regression
@pytest.mark.parametrize(
    ("form", "shapes"), [("unequal", r"\[\(7, 3\), \(5, 2\), \(7, 1\)\]"), ("numbers", r"\[\(\), \(\)\]")]
)
def test_examples_without_a_common_number_of_rows_are_named(form, shapes):
    message = (
        f"`load` of the task 'own' must return arrays with a row for each .* Received: arrays of the shapes {shapes}"
    )
    with pytest.raises(ValueError, match=message):
        OwnTask(form).num_examples("test")


RECIPE = dataclasses.replace(kh.paper_recipe(SyntheticTask()), epochs=1, width=4, depth=2, seed=0)


@pytest.mark.regression
def test_evaluate_reports_rows_of_an_own_task():
    task = FloatTask()
    model = kh.build_model(task, "hyper", RECIPE)
    x, condition, y = task.load("test")
    predicted = model.predict({"x": x, "condition": condition}, verbose=0)
    assert evaluate(model, task) == {"mse": pytest.approx(np.mean((predicted - y) ** 2), rel=1e-5), "num_examples": 7}


@pytest.mark.regression
@pytest.mark.parametrize("method", ["hyper", "embed", "network"])
def test_an_undeclared_dtype_is_named(method):
    """A network would cast floats to uint8."""
    task = OwnTask()
    if method == "network":
        task = dataclasses.make_dataclass("Network", [], bases=(OwnTask,), namespace={"inputs": ("x",)}, frozen=True)()
    model = kh.build_model(task, method, RECIPE)
    message = (
        "`x_dtype` of the task 'own' must be 'float32', the type of x in its batches. Received: 'uint8'. Set `x_dt"
    )
    for call in (lambda: fit(model, task, RECIPE, progress=False), lambda: evaluate(model, task)):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.regression
@pytest.mark.parametrize(
    ("task", "method"),
    [
        (DecayResponseTask("digits", num_train=100), "hyper"),
        (ParetoTask("line", num_train=100), "linear"),
        (GaussianProcessTask("rbf", num_train=100), "hyper"),
        (OverlaidDigitsTask("digits"), "linear"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_networks_of_tasks_train_in_mixed_precision(task, method):
    """Penalties and metrics of their own are computed in float32."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = kh.build_model(task, method, kh.Recipe(width=8, depth=2, primary_units=4))
    batch = next(iter(task.training_dataset(task.load("train"), 20, 0, 0)))
    assert np.isfinite(model.train_on_batch(*batch)).all()


@pytest.mark.regression
def test_arrays_that_are_kept_cannot_be_changed():
    for examples in (PolynomialSequence().load("test"), GaussianProcessTask("rbf", num_test=8).load("test")):
        for array in keras.tree.flatten(examples):
            assert not array.flags.writeable


@pytest.mark.regression
def test_labels_of_more_than_ten_classes_are_named(monkeypatch):
    task = ClassificationTask("digits")
    monkeypatch.setattr(type(task.source), "load_labels", lambda source, split: np.arange(40, dtype="int32"))
    with pytest.raises(ValueError, match="Labels must be at most 9. Received: labels up to 39, of 'digits'"):
        task.load("train")
