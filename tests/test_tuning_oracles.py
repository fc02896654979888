"""keras-tuner's oracles: what survives of them, and what becomes of the trials of workers that are lost."""

import math
import pathlib
import shutil
import threading
from types import SimpleNamespace

import pytest
from keras_tuner.engine.trial import TrialStatus

from keras_hypernet.tuning.oracles import ORACLES, make_oracle
from keras_hypernet.tuning.space import count_configurations


def _oracle(name, folder, trials=6, seed=0, depths=(2, 9)):
    """An oracle of the depths 2 to 9 whose files are in a folder."""
    oracle = make_oracle(name, "error", trials, seed, epochs=9, factor=3)
    oracle.hyperparameters.Int("depth", *depths)
    oracle._set_project_dir(str(folder), "trials")
    oracle.verbose = 0
    return oracle


def _reloaded(name, folder):
    oracle = _oracle(name, folder)
    oracle.reload()
    return oracle


def _end(oracle, trial, error=0.5):
    oracle.update_trial(trial.trial_id, {"error": error})
    trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)


def _values(oracle, number, tuner="tuner0"):
    """The depths of the trials that an oracle goes on with."""
    depths = []
    for _ in range(number):
        trial = oracle.create_trial(tuner)
        if trial.status != TrialStatus.RUNNING:
            break
        depths.append(trial.hyperparameters.values["depth"])
        _end(oracle, trial, error=1 / depths[-1])
    return depths


def test_a_trial_that_ends_while_its_chief_is_replaced_counts_once(tmp_path):
    """Its worker reports to one chief and ends the trial at the next; and again, if it was not answered."""
    oracle = _oracle("grid", tmp_path)
    trial = oracle.create_trial("worker")
    oracle.update_trial(trial.trial_id, {"error": 0.25})
    trial.status = TrialStatus.COMPLETED
    for _ in range(3):
        oracle = _reloaded("grid", tmp_path)
        oracle.end_trial(trial)
        oracle.end_trial(trial)
        assert (oracle.get_trial(trial.trial_id).score, oracle.end_order) == (0.25, [trial.trial_id])
        assert not oracle.ongoing_trials
    assert oracle.create_trial("worker").trial_id != trial.trial_id


@pytest.mark.parametrize("name", ORACLES)
def test_the_trial_that_was_running_is_the_only_one_to_be_repeated(name, tmp_path):
    oracle = _oracle(name, tmp_path)
    ended, running = oracle.create_trial("tuner0"), None
    _end(oracle, ended)
    running = oracle.create_trial("tuner0")
    oracle.update_trial(running.trial_id, {"error": 0.25})  # killed when it had reported

    oracle = _reloaded(name, tmp_path)
    again = oracle.create_trial("another process")
    assert (again.trial_id, again.hyperparameters.values) == (running.trial_id, running.hyperparameters.values)
    assert not again.metrics.exists("error")
    assert oracle.get_trial(ended.trial_id).score == 0.5
    _end(oracle, again)
    assert len({ended.trial_id, again.trial_id, oracle.create_trial("another process").trial_id}) == 3


@pytest.mark.parametrize("name", ORACLES)
def test_a_trial_that_ended_after_the_state_was_saved_is_not_repeated(name, tmp_path):
    oracle, state = _oracle(name, tmp_path), tmp_path / "trials" / "oracle.json"
    trial = oracle.create_trial("tuner0")
    shutil.copy(state, tmp_path / "before.json")
    _end(oracle, trial)
    shutil.copy(tmp_path / "before.json", state)
    oracle = _reloaded(name, tmp_path)
    assert oracle.create_trial("tuner0").trial_id != trial.trial_id
    assert oracle.get_trial(trial.trial_id).status == TrialStatus.COMPLETED


@pytest.mark.parametrize("name", ORACLES)
def test_a_trial_that_was_written_before_the_state_is_begun_anew(name, tmp_path):
    oracle, state = _oracle(name, tmp_path), tmp_path / "trials" / "oracle.json"
    _end(oracle, oracle.create_trial("tuner0"))
    shutil.copy(state, tmp_path / "before.json")
    trial = oracle.create_trial("tuner0")
    shutil.copy(tmp_path / "before.json", state)
    again = _reloaded(name, tmp_path).create_trial("tuner0")
    assert (again.trial_id, again.hyperparameters.values) == (trial.trial_id, trial.hyperparameters.values)


@pytest.mark.parametrize("method", ["create_trial", "get_trial", "update_trial", "end_trial"])
def test_a_question_that_fails_does_not_block_the_next_one(method, tmp_path):
    oracle = _oracle("random", tmp_path)
    oracle.worker_timeout = 60.0
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"error": 0.5})
    trial.status = TrialStatus.COMPLETED
    state = tmp_path / "trials" / "oracle.json"
    state.unlink()
    state.mkdir()  # where nothing can be written
    arguments = {
        "create_trial": ["tuner1"],
        "get_trial": ["unknown"],
        "update_trial": ["unknown", {}],
        "end_trial": [trial],
    }
    with pytest.raises((OSError, KeyError)):
        getattr(oracle, method)(*arguments[method])
    state.rmdir()
    created = []
    thread = threading.Thread(target=lambda: created.append(oracle.create_trial("tuner2")), daemon=True)
    thread.start()
    thread.join(timeout=300)
    assert [one.status for one in created] == [TrialStatus.RUNNING]


@pytest.mark.parametrize("name", ORACLES)
def test_files_are_replaced_in_one_step(name, tmp_path, monkeypatch):
    oracle = _oracle(name, tmp_path)
    trial = oracle.create_trial("tuner0")
    before = {path: path.read_text() for path in tmp_path.rglob("*.json")}
    assert len(before) == 2

    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(pathlib.Path, "replace", interrupted)
    trial.status = TrialStatus.FAILED
    for write in (oracle.save, lambda: oracle._save_trial(trial)):
        with pytest.raises(KeyboardInterrupt):
            write()
    assert {path: path.read_text() for path in tmp_path.rglob("*.json")} == before


def test_a_seed_decides_what_is_drawn_and_zero_is_one(tmp_path):
    drawn = {
        seed: _values(_oracle("random", tmp_path / f"{seed}{number}", seed=seed), 6)
        for number in range(2)
        for seed in (0, 1)
    }
    again = _values(_oracle("random", tmp_path / "again"), 6)
    assert again == drawn[0] != drawn[1]
    assert len(set(again)) == 6


def test_no_worker_waits_for_the_point_of_another_one(tmp_path):
    oracle = _oracle("grid", tmp_path)
    oracle.worker_timeout = math.inf
    trials = [oracle.create_trial(f"worker{number}") for number in range(4)]
    assert [trial.hyperparameters.values["depth"] for trial in trials] == [2, 3, 4, 5]
    for number in (3, 0):
        _end(oracle, trials[number])
    resumed = _reloaded("grid", tmp_path)
    resumed.worker_timeout = math.inf
    assert _values(resumed, 9) == [6, 7]
    for number in (2, 1):
        _end(resumed, trials[number])
    assert sorted(trial.hyperparameters.values["depth"] for trial in resumed.trials.values()) == list(range(2, 8))
    assert resumed.create_trial("tuner0").status == TrialStatus.STOPPED


@pytest.fixture
def wait(monkeypatch):
    """Returns a function that lets seconds pass on the clock by which workers count as lost."""
    now = [1000.0]
    monkeypatch.setattr("keras_hypernet.tuning.resumable.time", SimpleNamespace(monotonic=lambda: now[0]))

    def wait(seconds):
        now[0] += seconds

    return wait


def _points(oracle):
    """The values of all trials of an oracle, as tuples in the order of their names."""
    points = []
    while (trial := oracle.create_trial("tuner0")).status == TrialStatus.RUNNING:
        values = trial.hyperparameters.values
        points.append(tuple(values[name] for name in sorted(values)))
        _end(oracle, trial)
    return points


def _conditional(hp):
    if hp.Choice("kind", ["a", "b"]):
        with hp.conditional_scope("kind", ["b"]):
            hp.Choice("u", [4, 8])


@pytest.mark.regression
@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda hp: hp.Choice("u", [4, 8]), {(depth, u) for depth in (2, 3) for u in (4, 8)}),
        (lambda hp: hp.Int("u", 4, 6), {(depth, u) for depth in (2, 3) for u in (4, 5, 6)}),
        (lambda hp: hp.Int("u", 2, 8, step=2, sampling="log"), {(depth, u) for depth in (2, 3) for u in (2, 4, 8)}),
        (lambda hp: hp.Float("u", 0.0, 0.5, step=0.25), {(depth, u) for depth in (2, 3) for u in (0.0, 0.25, 0.5)}),
        (lambda hp: hp.Boolean("u") or hp.Fixed("v", 7), {(depth, u, 7) for depth in (2, 3) for u in (False, True)}),
        (_conditional, {point for depth in (2, 3) for point in ((depth, "a"), (depth, "b", 4), (depth, "b", 8))}),
    ],
)
def test_a_grid_has_all_combinations_once_and_its_size_is_known(tmp_path, ask, expected):
    oracle = _oracle("grid", tmp_path, trials=None, depths=(2, 3))
    ask(oracle.hyperparameters)
    points = _points(oracle)
    assert set(points) == expected
    assert len(points) == len(expected) == count_configurations(oracle.hyperparameters.space, grid=True)
    assert all(type(value) is type(kind) for point in points for value, kind in zip(point, points[0], strict=False))


@pytest.mark.regression
def test_a_range_of_real_numbers_has_ten_values_and_its_default_in_a_grid(tmp_path):
    oracle = _oracle("grid", tmp_path, trials=None, depths=(2, 3))
    oracle.hyperparameters.Float("rate", 1e-3, 1e-1, sampling="log", default=0.01)
    points = _points(oracle)
    assert len(set(points)) == len(points) == 2 * 11 == count_configurations(oracle.hyperparameters.space, grid=True)
    assert (2, 0.01) in points


def test_the_trial_of_a_silent_worker_is_given_to_another_one(tmp_path, wait):
    oracle = _oracle("grid", tmp_path, trials=2)
    oracle.worker_timeout = 60.0
    lost, other = oracle.create_trial("lost"), oracle.create_trial("other")
    _end(oracle, other)
    # There are no more trials, but one may be lost: the other worker is told to ask again.
    assert oracle.create_trial("other").status == TrialStatus.IDLE
    for _ in range(4):
        wait(50.0)
        oracle.get_trial(lost.trial_id)  # it is still there
        wait(9.0)
        assert oracle.create_trial("other").status == TrialStatus.IDLE
    wait(52.0)
    assert not oracle.finished()
    again = oracle.create_trial("other")
    assert (again.trial_id, again.status) == (lost.trial_id, TrialStatus.RUNNING)
    assert set(oracle.ongoing_trials) == {"other"}
    _end(oracle, again)
    assert not oracle.finished()  # the worker has not been told
    assert oracle.create_trial("other").status == TrialStatus.STOPPED
    assert oracle.finished()


def test_a_worker_that_is_lost_without_a_trial_is_not_waited_for(tmp_path, wait):
    oracle = _oracle("grid", tmp_path, trials=1)
    oracle.worker_timeout = 60.0
    _end(oracle, oracle.create_trial("lost"))
    assert oracle.create_trial("told").status == TrialStatus.STOPPED
    assert not oracle.finished()
    wait(61.0)
    assert oracle.finished()


@pytest.mark.parametrize("name", ORACLES)
def test_what_diverged_is_never_the_best(name, tmp_path):
    oracle = _oracle(name, tmp_path, trials=8)
    for number in range(6):
        trial = oracle.create_trial("tuner0")
        _end(oracle, trial, math.inf if trial.hyperparameters.values["depth"] % 2 else 0.1 * (number + 1))
    scores = [trial.score for trial in oracle.trials.values()]
    assert math.inf in scores
    assert math.isfinite(oracle.get_best_trials()[0].score)
    oracle.create_trial("tuner0")
    assert [trial.score for trial in oracle.trials.values()][:6] == scores


def test_bayesian_optimization_takes_what_diverged_for_the_worst(tmp_path, monkeypatch):
    oracle = _oracle("bayesian", tmp_path, trials=8)
    for error in (0.3, math.inf, 0.4, 0.2):
        _end(oracle, oracle.create_trial("tuner0"), error)
    fitted = []
    monkeypatch.setattr(type(oracle.gpr), "fit", lambda self, x, y: fitted.append(list(y)) or self)
    monkeypatch.setattr(type(oracle.gpr), "predict", lambda self, x, return_std: (x[:, 0], x[:, 0]))
    oracle.create_trial("tuner0")
    assert fitted == [[0.3, 0.4, 0.4, 0.2]]


@pytest.mark.parametrize(("epochs", "factor"), [(10, 3), (10, 5), (9, 3), (4, 2)])
@pytest.mark.parametrize("configurations", [3, 8])
def test_hyperband_knows_how_many_trials_it_will_have(epochs, factor, configurations, tmp_path):
    oracle = make_oracle("hyperband", "error", None, 0, epochs, factor)
    oracle.hyperparameters.Int("depth", 2, configurations + 1)
    oracle._set_project_dir(str(tmp_path), "trials")
    oracle.verbose = 0
    assert oracle.num_trials() == len(_values(oracle, 100))


def test_hyperband_counts_what_is_asked_for_later(tmp_path):
    """A user's own function may ask for more when it is called with other values."""
    oracle = _oracle("hyperband", tmp_path, trials=None)
    few = oracle.num_trials()
    oracle.hyperparameters.Choice("units", [4, 8])
    assert few < oracle.num_trials() == len(_values(oracle, 100))
    assert _epochs(oracle) == {1, 3, 9}


def _epochs(oracle):
    return {trial.hyperparameters.values["tuner/epochs"] for trial in oracle.trials.values()}


@pytest.mark.parametrize("damage", ["missing", "cut short", "of something else"])
@pytest.mark.parametrize("file", ["trial_0/trial.json", "oracle.json"])
def test_a_damaged_file_is_named(damage, file, tmp_path):
    oracle = _oracle("grid", tmp_path)
    for _ in range(2):
        _end(oracle, oracle.create_trial("tuner0"))
    path = tmp_path / "trials" / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_text("" if damage == "cut short" else "[]")
    with pytest.raises(
        ValueError, match=f"{path} must be what the search has written there. Received: .* Put the file"
    ):
        _reloaded("grid", tmp_path)
