"""Task: the data of a task, its batches, and the facts about it on a card."""

import dataclasses
import hashlib
import json
from typing import Any, ClassVar

import keras
import numpy as np

from keras_hypernet.common.checks import integer
from keras_hypernet.tasks.batches import planned_batches, stream

# The attributes about the paper and the limits on the card of a task of this package; a user's subclass resets them.
_NOT_INHERITED = (
    *("provenance", "held_out", "deviations", "limits"),
    *("paper_recipe", "paper_sizes", "depth_experiment"),
)


def is_of_package(task: Any) -> bool:
    """Whether a task, or a class of tasks, is defined in this package."""
    return task.__module__.partition(".")[0] == "keras_hypernet"


@dataclasses.dataclass(frozen=True)
class Task:
    """A task: x, condition and target of a training, and the facts about them on a card.

    Your own task extends this class, and `keras_hypernet.tasks.register` makes its name known. It is a frozen
    dataclass, whose fields are plain values, so that the task can be saved as JSON. It implements `load`. If each epoch
    draws new x or conditions, it also implements `training_dataset` and `evaluation_dataset`. A class that extends a
    task of this package inherits the task, but not its card's statements about the paper and the limits.

    Attributes:
        name: Name of the task, in lower case.
        metric: Metric of evaluations: `"error"`, the error rate, `"mse"`, the mean squared error, or a metric of the
            networks of `make_model`.
        loss: Training loss: `"cross_entropy"`, of logits and integer labels, or `"mse"`; the default follows the
            metric.
        inputs: Inputs of the models: `("x", "condition")`, or `("x",)`.
        x_shape, condition_shape: Shapes of the inputs without the batch; None for a free size.
        x_dtype, condition_dtype: `"float32"`, or `"uint8"` for images, which the models scale. `fit` and `evaluate`
            compare these dtypes with the batches.
        condition_is_set: Whether the condition is a set, with its members along the first axis of `condition_shape`.
        num_outputs: Output dimension of a model.
        methods: Methods whose networks `make_model` returns: a dict from the method to a noun phrase for cards.
        output_name: Name of a model's last layer; by default `"logits"` or `"value"`.
        generates_biases: Whether g has biases. A network without biases is homogeneous in x.
        purpose: For the card: what a model of the task does.
        limits, deviations: For the card: unsuitable uses of a model; differences of task and data from the paper's.
        provenance: For the card: a dict of sentences on the choices of the paper's `text`, of its published `code`, and
            of this project (`ours`); each may be missing. `held_out` is the sentence on the validation split.
        paper_recipe: The fields of the recipe of the paper's experiment on the task, as a dict, or None.
        paper_sizes: A dict that says which of the recipe's `rank` and `embedding_dim` the paper's `text` or `code`
            fixes.
        depth_experiment, panel: Name of the experiment whose grid of depths includes the task, and name of its panel.
        arrays_sha256: The SHA-256 of the user's arrays in the task, or None.

    Example:

    >>> import dataclasses
    >>> import numpy as np
    >>> @keras_hypernet.tasks.register
    ... @dataclasses.dataclass(frozen=True)
    ... class Sine(keras_hypernet.Task):
    ...     number: int = 64
    ...     name = "sine"
    ...     metric = "mse"
    ...     x_shape = condition_shape = (1,)
    ...     num_outputs = 1
    ...
    ...     def load(self, split):
    ...         rng = np.random.default_rng(("train", "validation", "test").index(split))
    ...         x, frequency = rng.uniform(0, 3, (2, self.number, 1))
    ...         return {"x": x, "condition": frequency, "y": np.sin(frequency * x)}
    >>> task, recipe = Sine(), keras_hypernet.Recipe(width=10, epochs=1)
    >>> model = keras_hypernet.build_model(task, "hyper", recipe)
    >>> history = keras_hypernet.fit(model, task, recipe, progress=False)
    >>> keras_hypernet.evaluate(model, task)["num_examples"]
    64
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    inputs: ClassVar[tuple] = ("x", "condition")
    x_dtype: ClassVar[str] = "float32"
    condition_dtype: ClassVar[str] = "float32"
    condition_is_set: ClassVar[bool] = False
    generates_biases: ClassVar[bool] = False
    methods: ClassVar[dict] = {}
    deviations: ClassVar[tuple] = ()
    provenance: ClassVar[dict] = {"ours": ("The task and its training.",)}
    held_out: ClassVar[str | None] = None
    paper_recipe: ClassVar[dict | None] = None
    paper_sizes: ClassVar[dict] = {}
    depth_experiment: ClassVar[str | None] = None
    panel: ClassVar[str | None] = None
    arrays_sha256: ClassVar[str | None] = None

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name in _NOT_INHERITED:
            owner = next(each for each in cls.__mro__ if name in vars(each))
            if is_of_package(owner) and not is_of_package(cls):
                setattr(cls, name, vars(Task)[name])

    @property
    def loss(self):
        return "cross_entropy" if self.metric == "error" else "mse"

    @property
    def output_name(self):
        return "logits" if self.loss == "cross_entropy" else "value"

    @property
    def purpose(self):
        return f"Predicts the target of the task {self.name}"

    @property
    def limits(self):
        return [f"Data like those of the task {self.name}; of other data nothing was measured."]

    def data_facts(self):
        """The data: a dict of `name`, `origin`, `license`, and a `note` on the copy."""
        return {"name": self.name, "origin": "The user's own.", "license": "not stated", "note": f"{self!r}"}

    def config(self) -> dict[str, Any]:
        """Returns the task as a dict for JSON, the arguments of `get_task`; TypeError if JSON cannot hold a field."""
        fields = {"name": self.name, **dataclasses.asdict(self)}
        try:
            return json.loads(json.dumps(fields))  # turns tuples into lists
        except TypeError as error:
            raise TypeError(
                f"The fields of a task must be plain values, which JSON can hold. Received for {self.name!r}: "
                f"{error}. Give the task the name of a file of arrays, say, which its `load` reads; or make a "
                "`keras_hypernet.ArrayTask` of the arrays."
            ) from error

    def make_model(self, method: str, recipe: Any) -> Any:
        """Returns the networks of one of the task's own `methods`, and the `loss` and `metrics` to compile them with.

        `build_model` first sets the seed, and compiles the model with the optimizer of the recipe. Evaluations use the
        metric whose name is `metric`; without such a metric, the loss.
        """
        raise NotImplementedError

    def callbacks(self, model):
        """Keras callbacks that `fit` adds to each training of a model."""
        return []

    def load(self, split: str) -> Any:
        """Returns the examples of `"train"`, `"validation"` or `"test"`.

        Examples are a dict of the arrays `x`, `condition` and `y` with a row per example. A class that overrides
        `rows`, or both `training_dataset` and `evaluation_dataset`, may return any array, or tuple or dict of arrays.
        """
        raise NotImplementedError

    def load_together(self, splits):
        """Returns the examples of several splits, one after the other, in the form of `load`."""
        parts = [self.load(split) for split in splits]
        return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts) if len(parts) > 1 else parts[0]

    def num_examples(self, split: str) -> int:
        """Number of examples of a split; ValueError if the arrays of `load` differ in their number of rows."""
        shapes = [tuple(np.shape(array)) for array in keras.tree.flatten(self.load(split))]
        rows = {shape[:1] for shape in shapes}
        if len(rows) != 1 or () in rows:
            raise ValueError(
                f"`load` of the task {self.name!r} must return arrays with a row for each example of the {split} "
                f"split. Received: arrays of the shapes {shapes[:5]}"
            )
        return shapes[0][0]

    def num_measured(self, split: str) -> int:
        """Number of examples that an evaluation counts: more than `num_examples`, if a row holds several."""
        return self.num_examples(split)

    def fingerprint(self):
        """Returns the SHA-256 of x of the loaded test split, which identifies a copy of a data set."""
        examples = self.load("test")
        has_x = isinstance(examples, dict) and "x" in examples
        x = examples["x"] if has_x else keras.tree.flatten(examples)[0]
        return hashlib.sha256(np.asarray(x).tobytes()).hexdigest()

    def rows(self, examples):
        """Returns inputs and targets of all examples, in the structure of a batch; float64 becomes float32."""
        names = (*self.inputs, "y")
        if not isinstance(examples, dict) or not set(names) <= set(examples):
            received = f"a dict of {[*examples]}" if isinstance(examples, dict) else type(examples).__name__
            raise ValueError(
                f"`load` of the task {self.name!r} must return a dict of the arrays {', '.join(names)}. Received: "
                f"{received}. Or implement `rows`, which turns the result of `load` into inputs and targets."
            )
        arrays = {name: np.asarray(examples[name]) for name in names}
        arrays |= {name: array.astype("float32") for name, array in arrays.items() if array.dtype == "float64"}
        y = arrays.pop("y")
        return arrays if "condition" in arrays else arrays["x"], y

    def training_dataset(self, examples, batch_size, seed, epoch):
        """Returns one epoch: every example once; seed and epoch determine the order and all other draws.

        Args:
            examples: Examples as `load` returns them.
            batch_size: Examples per batch; the last batch may be smaller.
            seed, epoch: Integers; epoch may be an integer `tf.Variable`, which is read at the start of each pass.

        Returns:
            A `tf.data.Dataset` of pairs of inputs and targets, by default from `rows`.
        """
        import tensorflow as tf

        def draw(number, shape, most, dtype):
            """Random numbers from 0 to `most`; each `number` is an independent stream of the epoch."""
            return tf.random.stateless_uniform(shape, stream(seed, epoch, number), 0, most, dtype)

        def order(number):
            return tf.random.experimental.stateless_shuffle(tf.range(number), stream(seed, epoch))

        return self._batches(examples, order, draw, batch_size)

    def evaluation_dataset(self, split, batch_size=500):
        """Returns a split, by name or as `load` returns it, in order: a dataset like that of `training_dataset`."""
        import tensorflow as tf

        return self._batches(self.load(split) if isinstance(split, str) else split, tf.range, None, batch_size)

    def _batches(self, examples, order, draw, batch_size):
        """Returns batches of an epoch, or without `draw` of an evaluation; `order` maps their number to an order."""
        import tensorflow as tf

        arrays = keras.tree.map_structure(tf.constant, self.rows(examples))
        number = len(keras.tree.flatten(arrays)[0])

        def make(numbers):
            return keras.tree.map_structure(lambda array: tf.gather(array, numbers), arrays)

        return planned_batches(number, lambda: order(number), make, batch_size)


def check_dtypes(task, dataset):
    """Raises ValueError if the dtypes of a task's batches differ from the dtypes that the task declares."""
    inputs = dataset.element_spec[0]
    for name in task.inputs:
        spec = inputs[name] if isinstance(inputs, dict) else inputs
        if not hasattr(spec, "dtype"):  # an input of several parts
            continue
        declared, received = getattr(task, f"{name}_dtype"), spec.dtype.name
        if declared != received:
            raise ValueError(
                f"`{name}_dtype` of the task {task.name!r} must be {received!r}, the type of {name} in its batches. "
                f"Received: {declared!r}. Set `{name}_dtype = {received!r}` in the class of the task."
            )


def check_integers(task, *names, least=1):
    """Raises ValueError unless these fields of a task are integers from `least` to 2^31 - 1."""
    for name in names:
        # The task is frozen; JSON cannot hold NumPy scalars.
        object.__setattr__(task, name, integer(name, getattr(task, name), least, 2**31 - 1))
