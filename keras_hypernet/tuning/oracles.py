"""keras-tuner's four oracles, with what they lack to be interrupted, resumed, and left by a worker.

What is mended is known to keras-tuner by these numbers (github.com/keras-team/keras-tuner/issues):

- #1055: the grid forgets which of its trials come next when it is reloaded, and fails.
- #676, #901: Hyperband ends before any trial is continued if there are fewer configurations than its first round has
  places; and random draws give up after 20 collisions.
- #227, #608: Bayesian optimization tries the same configuration again and again. An infinite objective, of a training
  that diverged, counts as 0 there, the best there is.
- #915: what a worker that has died was working on is never repeated, and the chief waits for it forever.

Files are replaced in one step; keras-tuner's own writing of them can be cut short. A seed of 0 is one like any other;
to keras-tuner it means a random one.
"""

import contextlib
import functools
import json
import math
import pathlib
import time
import warnings

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_hypernet.files import replacing

ORACLES = ("grid", "random", "bayesian", "hyperband")
_MAX_COLLISIONS = 1000


def make_oracle(name, objective, trials, seed, epochs, factor, configurations):
    """Returns one of keras-tuner's oracles.

    Args:
        name: `"grid"`, `"random"`, `"bayesian"` or `"hyperband"`.
        objective: Name of what is minimized.
        trials: Largest number of trials, or None for as many as the oracle itself ends with.
        seed: A non-negative integer.
        epochs: Epochs of a whole training, for Hyperband.
        factor: By which Hyperband multiplies the epochs and divides the trials from round to round.
        configurations: Number of configurations there are, which may be infinite.
    """
    shared = {
        "objective": keras_tuner.Objective(objective, "min"),
        "seed": seed + 1,
        # What fails is a row of the table, and not the end of the search.
        "max_consecutive_failed_trials": 10**9,
    }
    if name == "hyperband":
        oracle = _Hyperband(configurations, max_epochs=epochs, factor=factor, **shared)
        oracle.max_trials = trials
        return oracle
    return {"grid": _Grid, "random": _Random, "bayesian": _Bayesian}[name](max_trials=trials, **shared)


class Resumable:
    """What the four have in common: state that survives being killed, and trials that are handed on.

    Attributes:
        worker_timeout: Seconds without a word after which a worker counts as lost, and its trial is given to another
            one. None if there is one process only: then any other is lost.
        exhausted: Whether there is nothing more to try.
        limit: Number of trials after which there is nothing more to try, or infinity.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._max_collisions = _MAX_COLLISIONS
        self.worker_timeout = None
        self.exhausted, self.limit = False, math.inf
        self._started, self._heard = time.monotonic(), {}

    def save(self):
        """Writes the state in one step."""
        _write(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial):
        _write(pathlib.Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def set_state(self, state):
        """Restores the state, in which trials that were running still are: their processes may be alive."""
        # A trial that is not in the state had not begun when it was saved; its number is given out again.
        self.trials = {name: self.trials[name] for name in state["start_order"] if name in self.trials}
        super().set_state({**state, "ongoing_trials": {}, "retry_queue": []})
        self._interrupted = state["ongoing_trials"]

    def reload(self):
        """Restores state and trials from their files."""
        super().reload()
        for tuner_id, trial_id in self._interrupted.items():
            # Of one that is not running, the state was not saved after its end.
            if self.trials[trial_id].status == TrialStatus.RUNNING:
                self.ongoing_trials[tuner_id] = self.trials[trial_id]

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        """Returns a new trial, or one whose worker is lost. No worker is sent away while others' trials may need it."""
        self._heard[tuner_id] = time.monotonic()
        lost = [other for other in self.ongoing_trials if other != tuner_id and self._lost(other)]
        if lost and tuner_id not in self.ongoing_trials:
            self.tuner_ids = (self.tuner_ids - {lost[0]}) | {tuner_id}
            self.ongoing_trials[tuner_id] = self.ongoing_trials.pop(lost[0])
            self.save()
        trial = super().create_trial(tuner_id)
        trial.metrics.metrics.clear()  # of one that has been interrupted, those that it reported
        if trial.status == TrialStatus.STOPPED:
            if self.ongoing_trials:
                self.tuner_ids.add(tuner_id)
                trial.status = TrialStatus.IDLE
            else:
                self.exhausted = True
        return trial

    @keras_tuner.synchronized
    def get_trial(self, trial_id):
        """Returns a trial; that it is asked for says that its worker is alive."""
        for tuner_id, trial in self.ongoing_trials.items():
            if trial.trial_id == trial_id:
                self._heard[tuner_id] = time.monotonic()
        return super().get_trial(trial_id)

    @keras_tuner.synchronized
    def end_trial(self, trial):
        """Ends a trial, once: a worker says so again if it was not answered, or if another has ended it meanwhile."""
        if any(ongoing.trial_id == trial.trial_id for ongoing in self.ongoing_trials.values()):
            super().end_trial(trial)

    @keras_tuner.synchronized
    def finished(self):
        """Whether all trials have ended and all workers that are not lost have been told so."""
        self.tuner_ids = {one for one in self.tuner_ids if one in self.ongoing_trials or not self._lost(one)}
        complete = self.exhausted or len(self.trials) >= self.limit
        return complete and not self.ongoing_trials and not self.tuner_ids

    def _lost(self, tuner_id):
        if self.worker_timeout is None:
            return True
        return time.monotonic() - self._heard.get(tuner_id, self._started) > self.worker_timeout


def _write(path, content):
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")  # of diverged trials, metrics are infinite


class _Random(Resumable, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Grid(Resumable, keras_tuner.oracles.GridSearchOracle):
    def populate_space(self, trial_id):
        """Values of the next point. As keras-tuner has it, but for the first, a point follows one that has ended."""
        answer = super().populate_space(trial_id)
        if answer["status"] == TrialStatus.RUNNING and trial_id not in self._populate_next:
            self._populate_next.append(trial_id)  # so that no worker waits for another one
        return answer

    def reload(self):
        super().reload()

        def compare(one, other):
            return self._compare(*(self.trials[name].hyperparameters.values for name in (one, other)))

        ordered = sorted(self.trials, key=functools.cmp_to_key(compare))
        for before, name in zip([None, *ordered], ordered, strict=False):
            self._ordered_ids.insert(name, before)
        self._populate_next = list(ordered)


class _Bayesian(Resumable, keras_tuner.oracles.BayesianOptimizationOracle):
    def populate_space(self, trial_id):
        """Values for a trial that have not been tried."""
        with self._finite_scores(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, about a fit that has not converged
            answer = super().populate_space(trial_id)
        if answer.get("values") and self._duplicate(answer["values"]):
            return self._random_populate_space()
        return answer

    @contextlib.contextmanager
    def _finite_scores(self):
        """Lets diverged trials be as bad as the worst of the others meanwhile."""
        scores = [trial.score for trial in self.trials.values() if trial.score is not None]
        worst = max(filter(math.isfinite, scores), default=0.0)
        diverged = [trial for trial in self.trials.values() if trial.score == math.inf]
        for trial in diverged:
            trial.score = worst
        try:
            yield
        finally:
            for trial in diverged:
                trial.score = math.inf


class _Hyperband(Resumable, keras_tuner.oracles.HyperbandOracle):
    def __init__(self, configurations, **options):
        self.configurations = configurations
        super().__init__(**options)

    def _get_size(self, bracket_num, round_num):
        size = super()._get_size(bracket_num, round_num)
        if math.isinf(self.configurations):
            return size
        return min(size, math.ceil(self.configurations / self.factor**round_num))

    def num_trials(self):
        """Number of trials of all rounds of all brackets: a bracket begins with configurations that none has had."""
        left, total = self.configurations, 0
        for bracket in reversed(range(self._get_num_brackets())):
            sizes = [self._get_size(bracket, round_) for round_ in range(bracket + 1)]
            total += sum(sizes) if sizes[0] <= left else left
            left -= min(sizes[0], left)
        return total
