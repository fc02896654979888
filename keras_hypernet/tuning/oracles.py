"""keras-tuner's four oracles, with some limits removed through public methods, and their numbers of trials.

Numbers with # are keras-tuner's issues (github.com/keras-team/keras-tuner/issues).
"""

import itertools
import math
import warnings

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

# keras-tuner stops after 20 random draws of tried configurations; this package repeats these draws.
_PATIENCE = 50


def _tried(oracle, values):
    """Whether a trial has these values, apart from values that its model did not ask for."""
    return any(trial.hyperparameters.values.items() <= values.items() for trial in oracle.trials.values())


class _Grid(keras_tuner.Oracle):
    """A grid for several workers, in the order of `configurations`.

    keras-tuner's grid proposes a point only after the end of the preceding trial.
    """

    def populate_space(self, trial_id):
        for values in configurations(self.get_space().space):
            if not _tried(self, values):
                return {"status": TrialStatus.RUNNING, "values": values}
        # A user's own function in a running trial may ask for more.
        return {"status": TrialStatus.IDLE if self.ongoing_trials else TrialStatus.STOPPED}


class _Patient:
    """Draws again after keras-tuner's 20 draws of tried configurations (#676, #901)."""

    def populate_space(self, trial_id):
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
    """Draws at random instead of a tried configuration, which keras-tuner's optimization may propose (#227, #608)."""

    def populate_space(self, trial_id):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, about a fit that does not converge
            answer = keras_tuner.oracles.BayesianOptimizationOracle.populate_space(self, trial_id)
        tried = not answer["values"] or _tried(self, answer["values"])
        return _Random.populate_space(self, trial_id) if tried else answer


ORACLES = {"grid": _Grid, "random": _Random, "bayesian": _Bayesian, "hyperband": _Hyperband}


def make_oracle(config):
    """Returns the oracle of a search, from its configuration, without a limit of trials."""
    recipe, limits = config["recipe"], {"max_trials": None}
    if config["oracle"] == "hyperband":
        limits = {"max_epochs": recipe["epochs"], "factor": config["factor"]}
    objective = keras_tuner.Objective(config["objective"], "min")
    return ORACLES[config["oracle"]](objective=objective, seed=recipe["seed"] + 1, **limits)  # 0 is a random seed there


def count_trials(config, oracle):
    """Returns the number of trials of a search.

    Raises ValueError if there are fewer configurations than Hyperband's first round needs: keras-tuner has no public
    way to a smaller round, and stops before it continues a training (#676, #901).
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
    untried, needed, total = count_configurations(space, sum(first for first, *_ in sizes)), sizes[0][0], 0
    if untried < needed:
        fitting = [other for other in range(2, epochs + 1) if hyperband_sizes(epochs, other)[0][0] <= untried]
        advice = f", a `factor` of {min(fitting, key=lambda other: abs(other - factor))}" if fitting else ""
        raise ValueError(
            f"Hyperband needs {needed} configurations for its first round, with {epochs} `epochs` and a `factor` of "
            f"{factor}. Received: {untried}. Search more, or choose fewer epochs{advice} or another oracle."
        )
    for first, *others in sizes:  # each bracket starts with untried configurations
        total += first + sum(others) if first <= untried else untried
        untried -= min(first, untried)
    return min(total, trials or total)


def _grid_values(hyperparameter):
    """Returns the default, then keras-tuner's values for a grid; some integers are floats there."""
    default = hyperparameter.default
    kind = type(default) if isinstance(default, int) else lambda value: value
    return dict.fromkeys([default, *map(kind, hyperparameter.values)])


def configurations(space, values_of=_grid_values):
    """Yields the configurations of keras-tuner's hyperparameters as dicts; the last hyperparameter changes fastest."""
    if not space:
        yield {}
        return
    *others, last = space
    for chosen in configurations(others, values_of):
        if all(condition.is_active(chosen) for condition in last.conditions):
            yield from ({**chosen, last.name: value} for value in values_of(last))
        else:
            yield chosen


def count_configurations(space, most):
    """Returns the number of configurations that an oracle can draw, or `most` if there are more."""
    return sum(1 for _ in itertools.islice(configurations(space, _all_values), most))


def _all_values(hyperparameter):
    """Returns all values; a grid has only ten values of a range without steps."""
    config = hyperparameter.get_config()
    if config.get("step", 1) is not None or "min_value" not in config:
        return hyperparameter.values
    if isinstance(config["min_value"], int):
        return range(config["min_value"], config["max_value"] + 1)
    return itertools.count()  # real numbers


def hyperband_sizes(epochs, factor):
    """Returns the numbers of trials in the rounds of Hyperband's brackets.

    >>> hyperband_sizes(9, 3)
    [[9, 3, 1], [5, 2], [3]]
    """
    brackets = next(number for number in itertools.count(1) if factor**number > epochs)
    end = math.ceil(1 + math.log(epochs, factor))
    return [
        [math.ceil(end / (bracket + 1) * factor ** (bracket - round_)) for round_ in range(bracket + 1)]
        for bracket in reversed(range(brackets))
    ]
