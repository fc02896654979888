"""keras-tuner's oracles: their proposals, and the journal that brings another oracle to the same state."""

import itertools
import json

import keras_tuner
import pytest

from keras_hypernet.tuning.journal import Journal, read_events
from keras_hypernet.tuning.oracles import ORACLES, count_trials, hyperband_sizes, make_oracle

every = pytest.mark.parametrize("name", ORACLES)


def _register(hp):
    """32 configurations."""
    hp.Choice("method", ["hyper", "embed"])
    hp.Int("depth", 2, 9, default=4)
    with hp.conditional_scope("method", ["embed"]):
        hp.Choice("dim", [8, 16, 64])


def _depths(hp):
    hp.Int("depth", 2, 9)


@pytest.fixture
def new(tmp_path):
    """Returns a function that returns a journal in a file, with an oracle of its own."""
    numbers = itertools.count()

    def new(name, file="journal.jsonl", register=_depths, seed=0, epochs=9, factor=3):
        recipe = {"seed": seed, "epochs": epochs}
        oracle = make_oracle({"oracle": name, "objective": "error", "recipe": recipe, "factor": factor})
        return Journal(tmp_path / file, oracle, register, str(tmp_path / f"scratch{next(numbers)}"))

    return new


def _answer(question, error=None, hyperparameters=None):
    row = {"trial": question["asked"], "status": "finished", "method": "hyper", "seconds": 1.0, "message": None}
    return {"row": {**row, "error": error}, "hyperparameters": hyperparameters}


def _error(question):
    """Returns the error of a trial; the depth 9 has none."""
    depth = question["values"]["depth"]
    return None if depth == 9 else 0.1 * abs(depth - 6) + 0.01 * len(question["values"])


def _search(journal, workers, trials=100, error=_error):
    """Runs a search to its end, and returns the values of all trials."""
    running, stopped = [], False
    while running or not stopped:
        question = journal.ask() if len(running) < workers and len(journal.asked) < trials else None
        stopped = question is None and len(running) < workers
        if question is not None and question["asked"] is not None:
            running.append(question)
        elif running:
            first = running.pop(0)
            journal.tell(_answer(first, error(first)))
    return list(journal.asked.values())


@every
def test_a_journal_that_is_cut_anywhere_leads_to_the_same_trials(name, new, tmp_path):
    """With two workers; a trial that was running is asked for once."""
    # Bayesian optimization takes a second for each trial.
    register, trials, cuts = (_depths, 6, 2) if name == "bayesian" else (_register, 14, 5)
    tried = _search(new(name, register=register), 2, trials)
    lines = (tmp_path / "journal.jsonl").read_text().splitlines(keepends=True)
    for cut in range(1, len(lines), len(lines) // cuts):
        (tmp_path / f"{cut}.jsonl").write_text("".join(lines[:cut]) + lines[cut][:-9])  # and half a line
        journal = new(name, f"{cut}.jsonl", register=register)
        journal.replay()
        for event in map(json.loads, lines[cut:]):
            if "row" in event:
                journal.tell(event)
            else:
                assert journal.ask() == event
        assert list(journal.asked.values()) == tried
        assert (tmp_path / f"{cut}.jsonl").read_text() == "".join(lines)


@pytest.mark.parametrize(
    ("name", "workers"), [("bayesian", 3), *itertools.product(("grid", "random", "hyperband"), (1, 3))]
)
def test_every_configuration_is_tried_once(name, workers, new):
    tried = _search(new(name), workers)
    first = [values["depth"] for values in tried if values.get("tuner/round", 0) == 0]
    assert len(first) == len(set(first))
    if name != "hyperband":
        assert set(first) == set(range(2, 10))


def test_a_grid_begins_with_the_defaults_and_the_last_hyperparameter_changes_fastest(new):
    tried = [tuple(values.values()) for values in _search(new("grid", register=_register), 1, trials=9)]
    assert tried == [("hyper", depth) for depth in (4, 2, 3, 5, 6, 7, 8, 9)] + [("embed", 4, 8)]


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
def test_a_grid_has_all_combinations_once_and_its_size_is_known(new, ask, expected):
    journal = new("grid", register=lambda hp: (hp.Int("depth", 2, 3), ask(hp)))
    number = count_trials({"oracle": "grid", "trials": None}, journal.oracle)
    points = [tuple(values.values()) for values in _search(journal, 1)]
    assert set(points) == expected
    assert len(points) == len(expected) == number
    assert all(type(value) is type(kind) for point in points for value, kind in zip(point, points[0], strict=False))


@pytest.mark.regression
def test_a_range_of_real_numbers_has_ten_values_and_its_default_in_a_grid(new):
    def register(hp):
        hp.Int("depth", 2, 3)
        hp.Float("rate", 1e-3, 1e-1, sampling="log", default=0.01)

    journal = new("grid", register=register)
    assert count_trials({"oracle": "grid", "trials": None}, journal.oracle) == 2 * 11
    points = [tuple(values.values()) for values in _search(journal, 1)]
    assert len(set(points)) == len(points) == 2 * 11
    assert (2, 0.01) in points


def test_no_worker_waits_for_the_point_of_another_one(new):
    journal = new("grid")
    questions = [journal.ask() for _ in range(8)]
    assert [question["values"]["depth"] for question in questions] == list(range(2, 10))
    assert journal.ask()["asked"] is None  # a user's own model may ask for more
    for question in questions:
        journal.tell(_answer(question, 0.5))
    assert journal.ask() is None


def test_a_seed_including_zero_decides_the_draws(new):
    drawn = {seed: _search(new("random", f"{seed}.jsonl", seed=seed), 1, trials=6) for seed in (0, 1)}
    assert drawn[0] == _search(new("random", "again.jsonl"), 1, trials=6) != drawn[1]


def test_a_trial_that_diverged_is_as_bad_as_the_worst(new):
    journal = new("bayesian")
    questions = [journal.ask() for _ in range(5)]
    scores = lambda: [trial.score for trial in journal.oracle.trials.values()]  # noqa: E731
    journal.tell(_answer(questions[0]))
    assert scores() == [None] * 5  # there is no worst score yet
    journal.tell(_answer(questions[1], 0.25))
    journal.tell(_answer(questions[2], 0.75))
    journal.tell(_answer(questions[3], 0.5))
    journal.tell(_answer(questions[4]))
    assert scores() == [0.25, 0.25, 0.75, 0.5, 0.75]
    assert {trial.status for trial in journal.oracle.trials.values()} == {"COMPLETED"}


def test_hyperband_goes_on_if_all_of_a_round_diverge(new):
    tried = _search(new("hyperband", epochs=3), 1, error=lambda question: None)
    assert [values["tuner/epochs"] for values in tried if values["tuner/round"]] == [3]
    assert len(tried) == 3 + 1 + 2


@pytest.mark.parametrize(("epochs", "factor"), [(9, 3), (10, 5), (4, 2), (3, 3)])
@pytest.mark.parametrize("most", [10, 30])
def test_hyperband_knows_how_many_trials_it_will_have(epochs, factor, most, new):
    journal = new("hyperband", register=lambda hp: hp.Int("depth", 1, most), epochs=epochs, factor=factor)
    config = {"oracle": "hyperband", "trials": None, "recipe": {"epochs": epochs}, "factor": factor}
    number = count_trials(config, journal.oracle)
    assert count_trials({**config, "trials": 4}, journal.oracle) == 4
    assert number == len(_search(journal, 1))
    sizes = [size for rounds in hyperband_sizes(epochs, factor) for size in rounds]
    assert number == sum(sizes) or most < sum(first for first, *_ in hyperband_sizes(epochs, factor))


def test_hyperband_with_too_few_configurations_is_refused(new):
    oracle = new("hyperband").oracle
    config = {"oracle": "hyperband", "trials": None, "recipe": {"epochs": 10}, "factor": 3}
    with pytest.raises(
        ValueError, match=r"needs 12 configurations for its first round, .* Received: 8.* a `factor` of 4 or"
    ):
        count_trials(config, oracle)
    assert count_trials({**config, "factor": 4}, oracle) > 0


def test_later_hyperparameters_of_a_model_are_searched_too(new):
    journal = new("grid", register=lambda hp: hp.Choice("depth", [2, 3]))
    for number in range(2):
        question = journal.ask()
        hp = keras_tuner.HyperParameters()
        hp.values = dict(question["values"])
        hp.Choice("depth", [2, 3])
        if number == 1:
            hp.Choice("units", [4, 8])
        journal.tell(_answer(question, 0.5, hp.get_config()))
    assert journal.asked[1] == {"depth": 3, "units": 4}
    # Not for the depth 2, whose model did not ask for it.
    assert journal.ask()["values"] == {"depth": 3, "units": 8}
    resumed = new("grid", register=lambda hp: hp.Choice("depth", [2, 3]))
    resumed.replay()
    assert resumed.asked == journal.asked
    journal.tell(_answer({"asked": 2}, 0.5, None))
    assert journal.ask() is None


@pytest.mark.parametrize("line", ["", "[]", '{"something": "else"}', '{"row": {}}', '{"asked": 1'])
def test_a_damaged_journal_is_named(line, new, tmp_path):
    path = tmp_path / "journal.jsonl"
    _search(new("grid"), 1, trials=2)
    first, *others = path.read_text().splitlines(keepends=True)
    path.write_text(first + line + "\n" + "".join(others))
    for read in (lambda: read_events(path), lambda: new("grid").replay()):
        with pytest.raises(ValueError, match=f"{path} must be the journal of a search. Received in line 2"):
            read()


def test_a_journal_of_another_oracle_is_refused(new):
    _search(new("hyperband", epochs=3), 1, trials=4)
    with pytest.raises(ValueError, match=f"cannot be followed by keras-tuner {keras_tuner.__version__}, which propos"):
        new("grid").replay()
