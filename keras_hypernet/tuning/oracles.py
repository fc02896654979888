"""keras-tuner's four oracles, each `Resumable`.

What is mended is known to keras-tuner by these numbers (github.com/keras-team/keras-tuner/issues):

- #1055: the grid forgets which of its trials come next when it is reloaded, and fails.
- #614: the grid fails (KeyError) when a model asks for a hyperparameter that the models before it did not ask for.
- #676, #901: Hyperband ends before any trial is continued if there are fewer configurations than its first round has
  places; and random draws give up after 20 collisions.
- #227, #608: Bayesian optimization tries the same configuration again and again. An infinite objective, of a training
  that diverged, counts as 0 there, the best there is.

A seed of 0 is one like any other; to keras-tuner it means a random one.
"""

import contextlib
import functools
import math
import warnings

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_hypernet.tuning.resumable import Resumable
from keras_hypernet.tuning.space import count_configurations

ORACLES = ("grid", "random", "bayesian", "hyperband")


def make_oracle(name, objective, trials, seed, epochs, factor):
    """Returns one of keras-tuner's oracles.

    Args:
        name: `"grid"`, `"random"`, `"bayesian"` or `"hyperband"`.
        objective: Name of what is minimized.
        trials: Largest number of trials, or None for as many as the oracle itself ends with.
        seed: A non-negative integer.
        epochs: Epochs of a whole training, for Hyperband.
        factor: By which Hyperband multiplies the epochs and divides the trials from round to round.
    """
    shared = {
        "objective": keras_tuner.Objective(objective, "min"),
        "seed": seed + 1,
        # What fails is a row of the table, and not the end of the search.
        "max_consecutive_failed_trials": 10**9,
    }
    if name == "hyperband":
        oracle = _Hyperband(max_epochs=epochs, factor=factor, **shared)
        oracle.max_trials = trials
        return oracle
    return {"grid": _Grid, "random": _Random, "bayesian": _Bayesian}[name](max_trials=trials, **shared)


class _Random(Resumable, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Grid(Resumable, keras_tuner.oracles.GridSearchOracle):
    def populate_space(self, trial_id):
        """Values of the next point. As keras-tuner has it, but for the first, a point follows one that has ended."""
        with self._completed():
            answer = super().populate_space(trial_id)
        if answer["status"] == TrialStatus.RUNNING:
            for one in self.hyperparameters.space:
                if one.name in answer["values"] and isinstance(one, keras_tuner.engine.hyperparameters.Int):
                    # keras-tuner makes floats of the steps of a logarithmic range.
                    answer["values"][one.name] = round(answer["values"][one.name])
            if trial_id not in self._populate_next:
                self._populate_next.append(trial_id)  # so that no worker waits for another one
        return answer

    @contextlib.contextmanager
    def _completed(self):
        """Gives trials meanwhile the defaults of what models asked for after them, so that other values can follow."""
        added = []
        for trial_id, trial in self.trials.items():
            hp, before = trial.hyperparameters, len(added)
            for one in self.hyperparameters.space:
                if hp.is_active(one) and one.name not in hp.values:
                    hp.values[one.name] = one.default
                    added.append((hp.values, one.name))
            if len(added) > before:
                self._populate_next.append(trial_id)
        try:
            yield
        finally:
            for values, name in added:
                del values[name]

    def reload(self):
        super().reload()

        def compare(one, other):
            return self._compare(*(self.trials[name].hyperparameters.values for name in (one, other)))

        with self._completed():
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
    def _get_size(self, bracket_num, round_num):
        size = super()._get_size(bracket_num, round_num)
        configurations = count_configurations(self.hyperparameters.space)  # a user's own models may ask for more later
        if math.isinf(configurations):
            return size
        return min(size, math.ceil(configurations / self.factor**round_num))

    def num_trials(self):
        """Number of trials of all rounds of all brackets: a bracket begins with configurations that none has had."""
        left, total = count_configurations(self.hyperparameters.space), 0
        for bracket in reversed(range(self._get_num_brackets())):
            sizes = [self._get_size(bracket, round_) for round_ in range(bracket + 1)]
            total += sum(sizes) if sizes[0] <= left else left
            left -= min(sizes[0], left)
        return total
