"""keras-tuner's four oracles, through its public methods alone, and what three of them lack.

Numbers are those of keras-tuner's issues (github.com/keras-team/keras-tuner/issues).
"""

import itertools
import math
import warnings

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_hypernet.tuning.space import configurations, count_configurations

ORACLES = ("grid", "random", "bayesian", "hyperband")
# keras-tuner gives up after 20 random draws that were tried before; draws are repeated this many times.
_PATIENCE = 50


def make_oracle(name, objective, seed, epochs, factor):
    """Returns one of keras-tuner's oracles, without a limit of trials; see `search` for the arguments."""
    shared = {"objective": keras_tuner.Objective(objective, "min"), "seed": seed + 1}  # 0 means a random seed there
    if name == "hyperband":
        return _Hyperband(max_epochs=epochs, factor=factor, **shared)
    return {"grid": _Grid, "random": _Random, "bayesian": _Bayesian}[name](max_trials=None, **shared)


def _tried(oracle, values):
    """Whether a trial has these values; a value that its model did not ask for makes no difference."""
    return any(trial.hyperparameters.values.items() <= values.items() for trial in oracle.trials.values())


class _Grid(keras_tuner.Oracle):
    """Gives out points at once, which keras-tuner's grid does when the one before has ended, so that workers wait."""

    def populate_space(self, trial_id):
        """Returns the first point that is not tried; the default of each hyperparameter comes first."""
        for values in configurations(self.get_space().space):
            if not _tried(self, values):
                return {"status": TrialStatus.RUNNING, "values": values}
        # A user's own model that is still trained may have asked for more.
        return {"status": TrialStatus.IDLE if self.ongoing_trials else TrialStatus.STOPPED}


class _Patient:
    """Draws again where keras-tuner takes 20 draws that were tried for the end of the space (#676, #901)."""

    def populate_space(self, trial_id):
        """Returns values that were not tried."""
        for _ in range(_PATIENCE):
            answer = super().populate_space(trial_id)
            if answer["status"] == TrialStatus.RUNNING:
                break
        return answer


class _Random(_Patient, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Hyperband(_Patient, keras_tuner.oracles.HyperbandOracle):
    pass


class _Bayesian(keras_tuner.oracles.BayesianOptimizationOracle, _Random):
    """Draws at random where keras-tuner's optimization proposes what was tried (#227, #608)."""

    def populate_space(self, trial_id):
        """Returns values that were not tried."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, about a fit that has not converged
            answer = keras_tuner.oracles.BayesianOptimizationOracle.populate_space(self, trial_id)
        if answer["values"] and not _tried(self, answer["values"]):
            return answer
        return _Random.populate_space(self, trial_id)


def count_trials(config, oracle):
    """Returns the number of trials that a search will have, as far as its space is known.

    Raises:
        ValueError: If Hyperband has fewer configurations than places in its first round.
    """
    trials, space = config["trials"], oracle.get_space().space
    if config["oracle"] == "grid":
        untried = (values for values in configurations(space) if not _tried(oracle, values))
        begun = len(oracle.trials)
        return begun + sum(1 for _ in itertools.islice(untried, trials and max(0, trials - begun)))
    if config["oracle"] != "hyperband":
        return count_configurations(space, trials)
    epochs, factor = config["recipe"]["epochs"], config["factor"]
    sizes = hyperband_sizes(epochs, factor)
    left, total = count_configurations(space, sum(first for first, *_ in sizes)), 0
    _check_places(left, epochs, factor)
    for rounds in sizes:  # each bracket starts with configurations that were not tried
        total += sum(rounds) if rounds[0] <= left else left
        left -= min(rounds[0], left)
    return min(total, trials or total)


def _check_places(number, epochs, factor):
    """keras-tuner has no public way to a smaller round, and stops before any training is continued (#676, #901)."""
    places = hyperband_sizes(epochs, factor)[0][0]
    if number < places:
        fitting = [other for other in range(2, epochs + 1) if hyperband_sizes(epochs, other)[0][0] <= number]
        advice = f", a `factor` of {min(fitting, key=lambda other: abs(other - factor))}" if fitting else ""
        raise ValueError(
            f"Hyperband needs as many configurations as its first round has places, {places} for {epochs} `epochs` "
            f"and a `factor` of {factor}. Received: {number}. Search more, or choose fewer epochs{advice} or another "
            "oracle."
        )


def hyperband_sizes(epochs, factor):
    """Returns the numbers of trials of the rounds of Hyperband's brackets, as keras-tuner has them.

    Example:

    >>> hyperband_sizes(9, 3)
    [[9, 3, 1], [5, 2], [3]]
    """
    brackets = 1
    while epochs / factor**brackets >= 1:
        brackets += 1
    end = math.ceil(1 + math.log(epochs, factor))
    return [
        [math.ceil(end / (bracket + 1) * factor ** (bracket - round_)) for round_ in range(bracket + 1)]
        for bracket in reversed(range(brackets))
    ]
