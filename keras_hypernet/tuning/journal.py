"""Journal: what an oracle is asked and told, by which another oracle is brought to the same state."""

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from keras_hypernet.common.parsing import check_schema, parse_json
from keras_hypernet.runs.results import ResultsFile

_ROW = {
    "type": "object",
    "required": ["trial", "status", "method", "seconds", "message"],
    "properties": {"trial": {"type": "integer"}, "seconds": {"type": "number"}},
}
_EVENT = {
    "oneOf": [
        {"type": "object", "required": ["asked", "values"], "properties": {"values": {"type": "object"}}},
        {"type": "object", "required": ["row", "hyperparameters"], "properties": {"row": _ROW}},
    ]
}


class Journal:
    """An oracle, and a file of all that it was asked and told: an oracle of the same seed proposes the same trials.

    A line of the file is `{"asked": number, "values": values}`, where the number is None if there is no trial to run
    until another one has ended; or it is what `run_trial` returned.

    Args:
        path: Path of the file.
        oracle: One of `make_oracle`.
        register: Function that registers hyperparameters with a `keras_tuner.HyperParameters`.
        scratch: Folder for keras-tuner's own files, which nobody reads.

    Attributes:
        rows: The rows of the trials that have ended, by their numbers.
        asked: Values of all trials, by their numbers.
    """

    def __init__(self, path, oracle, register, scratch):
        self.file, self.oracle = ResultsFile(path, parse_json), oracle
        self.rows, self.asked, self._trials = {}, {}, {}
        self._scores, self._untold = [], []
        oracle.verbose = 0
        BaseTuner(oracle, register, directory=scratch, project_name="oracle")  # a bare oracle has no folder, and fails

    def replay(self):
        """Brings the oracle to the state that the file describes.

        Raises:
            ValueError: If the file is damaged, or this release of keras-tuner cannot follow it.
        """
        self.file.mend()
        for event in read_events(self.file.path):
            if "row" in event:
                self._tell(event)
            else:
                self._ask(event)

    def ask(self):
        """Asks for a trial, and takes note of it.

        Returns the line of the file, or None if there is nothing more to try.
        """
        event = self._ask()
        if event is not None:
            self.file.append(event)
        return event

    def tell(self, answer):
        """Takes note of what `run_trial` returned, and tells the oracle."""
        self.file.append(answer)
        self._tell(answer)

    def _ask(self, recorded=None):
        trial = self._create_trial()
        if trial.status != TrialStatus.RUNNING and len(self._untold) == len(self.oracle.ongoing_trials) > 0:
            self._tell_untold(0.0)  # no trial has a result, so all are equally bad
            trial = self._create_trial()
        running = trial.status == TrialStatus.RUNNING
        if recorded is not None:
            self._check(trial, recorded)
            trial.hyperparameters.values = recorded["values"]  # their last digits may depend on the machine
        elif trial.status == TrialStatus.STOPPED:
            return None
        number = len(self.asked) if running else None
        if running:
            self._trials[number], self.asked[number] = trial, trial.hyperparameters.values
        return {"asked": number, "values": trial.hyperparameters.values}

    def _create_trial(self):
        return self.oracle.create_trial(f"run {len(self.asked)}")  # one of the same name would get a running trial

    def _check(self, trial, recorded):
        """Raises ValueError if the oracle does not do what it did before."""
        running = trial.status == TrialStatus.RUNNING
        was, proposed = (
            {name: value for name, value in values.items() if name.startswith("tuner/")}  # Hyperband's rounds
            for values in (recorded["values"], trial.hyperparameters.values)
        )
        if running != (recorded["asked"] is not None) or was != proposed:
            raise ValueError(
                f"{self.file.path} cannot be followed by keras-tuner {keras_tuner.__version__}, which proposes another "
                f"trial {recorded['asked']}. Go on with the release that began the search, or start it anew "
                "(--overwrite)."
            )

    def _tell(self, answer):
        row = answer["row"]
        number, score = row["trial"], row.get(self.oracle.objective.name)
        self.rows[number] = row
        if answer["hyperparameters"] is not None:  # what a user's own function asked for
            found = keras_tuner.HyperParameters.from_config(answer["hyperparameters"])
            self._trials[number].hyperparameters, self.asked[number] = found, found.values
        if score is None:
            self._untold.append(number)
        else:
            self._scores.append(score)
            self._end(number, score)
        if self._scores:
            self._tell_untold(max(self._scores))

    def _tell_untold(self, score):
        """A trial without a result is as bad as the worst: to Bayesian optimization, infinity is the best."""
        while self._untold:
            self._end(self._untold.pop(0), score)

    def _end(self, number, score):
        trial = self._trials[number]
        self.oracle.update_trial(trial.trial_id, {self.oracle.objective.name: score})
        trial.status = TrialStatus.COMPLETED
        self.oracle.end_trial(trial)


def read_events(path):
    """Returns the lines of a journal, as dicts; without the last if it was not written whole.

    Raises:
        ValueError: If the file is damaged.
    """
    events = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1] if path.exists() else [], start=1):
        try:
            events.append(parse_json(line))
            check_schema(events[-1], _EVENT)
        except ValueError as error:
            raise ValueError(
                f"{path} must be what the search has written there. Received in line {number}: {error}. Put the file "
                "back from a copy, or start the search anew (--overwrite)."
            ) from error
    return events
