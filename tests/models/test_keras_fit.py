"""Models of this package are trained by `model.fit` like every Keras model: kinds of data, callbacks, resuming."""

import cases
import keras
import numpy as np
import pytest
from helpers import normal

EPOCHS, BATCH = 4, 4
PAIRS = [
    ("hypernetwork", "tf.data"),
    *[
        pytest.param(*pair, marks=pytest.mark.full)
        for pair in (("embedding", "PyDataset"), ("neural_process", "arrays"))
    ],
]


class Batches(keras.utils.PyDataset):
    """Arrays as a PyDataset."""

    def __init__(self, inputs, targets):
        super().__init__()
        self.arrays = inputs, targets

    def __len__(self):
        return -(-len(self.arrays[1]) // BATCH)

    def __getitem__(self, index):
        return keras.tree.map_structure(lambda array: array[index * BATCH :][:BATCH], self.arrays)


def _batches(kind, inputs, targets):
    if kind == "PyDataset":
        return {"x": Batches(inputs, targets)}
    if kind == "tf.data":
        tf = pytest.importorskip("tensorflow")
        return {"x": tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(BATCH)}
    return {"x": inputs, "y": targets, "batch_size": BATCH}


def _model_and_data(name):
    """A built and compiled model, always with the same weights, and arrays of two full batches."""
    (case,) = [case for case in cases.MODELS if case.name == name]
    keras.utils.set_random_seed(1)
    model = case.make()
    model.build({"x": (None, *case.x_shape), "condition": (None, *case.condition_shape)})
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")  # whose state is resumed, too
    inputs = {"x": normal((2 * BATCH, *case.x_shape)), "condition": normal((2 * BATCH, *case.condition_shape), seed=1)}
    return model, inputs, normal((2 * BATCH, 3), seed=2)


class Interrupt(keras.callbacks.Callback):
    """Interrupts a training in its third epoch, as Control-C does."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_an_interrupted_fit_resumes_to_the_same_weights(name, kind, tmp_path):
    """BackupAndRestore needs a built model; every model of this package is built from shapes alone."""

    def fit(model, *callbacks):
        checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="loss", save_best_only=True)
        stopping = keras.callbacks.EarlyStopping("loss", patience=EPOCHS)
        callbacks = [*callbacks, checkpoint, stopping]
        return model.fit(
            **_batches(kind, inputs, targets), epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks
        )

    expected, inputs, targets = _model_and_data(name)
    losses = fit(expected).history["loss"]
    assert losses[-1] < losses[0]
    interrupted, *_ = _model_and_data(name)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, keras.callbacks.BackupAndRestore(tmp_path / "backup"), Interrupt())
    resumed, *_ = _model_and_data(name)
    history = fit(resumed, keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    assert history.epoch == [2, 3]
    for received, wanted in zip(resumed.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(received, wanted, atol=1e-6)
    best = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_allclose(best.predict(inputs, verbose=0), resumed.predict(inputs, verbose=0), atol=1e-6)
