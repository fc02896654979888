"""The parts of the variance of the synthetic targets, against an analysis of variance of y itself."""

import numpy as np
import pytest

from keras_hypernet.experiments import get_experiment
from keras_hypernet.tasks import SyntheticTask

EXPERIMENT = get_experiment("synthetic_variance")
PARTS = EXPERIMENT.methods


def _shares(task):
    measured = [EXPERIMENT.measure.function(task, part, None) for part in PARTS]
    return np.array([each["test"] for each in measured]), measured


@pytest.mark.parametrize("panel", EXPERIMENT.panels)
def test_shares_are_those_of_y(panel):
    """Each x of 300 meets each I of 300: means over rows and columns of y estimate what x and I alone explain."""
    task, _ = EXPERIMENT.setup(panel, "of_x", 30, 0, False)
    shares, (measured, *_) = _shares(task)
    assert shares.sum() == pytest.approx(1)
    rng = np.random.default_rng(0)
    x, condition = rng.standard_normal((2, 300, task.dim), dtype="float32")
    y = task.target()(np.repeat(x, 300, axis=0), np.tile(condition, (300, 1))).reshape(300, 300).astype("float64")
    y -= y.mean()
    of_x, of_condition = y.mean(axis=1).var(ddof=1), y.mean(axis=0).var(ddof=1)
    rest = (y - y.mean(axis=1, keepdims=True) - y.mean(axis=0)).var()
    # The mean of a row also varies by the interaction of a sample of 300.
    expected = np.array([of_x - rest / 300, of_condition - rest / 300, rest]) / y.var()
    np.testing.assert_allclose(shares, expected, atol=0.1 if panel == "normal" else 0.05)
    assert measured["variance_of_y"] == pytest.approx(y.var(), rel=0.25)


def test_standard_errors_are_those_of_repetitions():
    """Twelve samples of conditions of one target differ as the standard error says."""
    task = SyntheticTask(dim=20, hidden_units=10, weights="normal", num_test=1000)
    values = task.network()(np.random.default_rng(1).standard_normal((12_000, 20), dtype="float32")).astype("float64")
    shares = []
    for part in np.split(values, 12):
        mean, interaction = part.mean(axis=0), part.var(axis=0, ddof=1).sum()
        of_x = mean @ mean - interaction / len(part)
        shares.append(interaction / (of_x + interaction))
    _, measured = _shares(task)
    assert measured[2]["test"] == pytest.approx(np.mean(shares), abs=4 * np.std(shares, ddof=1))
    assert measured[2]["standard_error"] == pytest.approx(np.std(shares, ddof=1), rel=0.8)
    assert measured[0]["standard_error"] == pytest.approx(measured[2]["standard_error"])


def test_usual_weights_leave_almost_nothing_to_the_condition_and_centred_outputs_everything():
    shares = {panel: _shares(EXPERIMENT.setup(panel, "of_x", 100, 0, False)[0])[0] for panel in ("text", "centred")}
    assert shares["text"][2] < 0.003
    assert shares["centred"][2] > 0.999
