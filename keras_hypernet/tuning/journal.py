"""Journal: an oracle's trials and their results in a file, which brings another oracle to the same state."""

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from keras_hypernet.common.parsing import check_schema, parse_json
from keras_hypernet.runs.results import ResultsFile
from keras_hypernet.tuning.names import is_internal

_ROW = {
    "type": "object",
    "required": ["trial", "status", "method", "seconds", "message"],
    "properties": {"trial": {"type": "integer"}, "seconds": {"type": "number"}},
}
_EVENT = {
    "type": "object",
    "properties": {"values": {"type": "object"}, "row": _ROW},
    "anyOf": [{"required": ["asked", "values"]}, {"required": ["row", "hyperparameters"]}],
}


class Journal:
    """An oracle, and a file of its trials and their results: an oracle of the same seed proposes the same trials.

    A line of the file is `{"asked": number, "values": values}`, where the number is None if no trial can run before
    another ends, or the result of `run_trial`. `register` registers hyperparameters with a
    `keras_tuner.HyperParameters`; keras-tuner's own files in the folder `scratch` stay unread. `rows` has the rows of
    ended trials, and `asked` the values of all trials, both by number.
    """

    def __init__(self, path, oracle, register, scratch):
        self.file, self.oracle = ResultsFile(path, parse_json), oracle
        self.rows, self.asked, self._trials = {}, {}, {}
        self._scores, self._untold = [], []
        oracle.verbose = 0
        BaseTuner(oracle, register, directory=scratch, project_name="oracle")  # sets the folder that an oracle needs

    def replay(self):
        """Brings the oracle to the state in the file; ValueError if this release of keras-tuner cannot follow."""
        self.file.mend()
        for event in read_events(self.file.path):
            self.tell(event, recorded=True) if "row" in event else self.ask(event)

    def ask(self, recorded=None):
        """Asks the oracle for a trial. Returns its line, new unless it is `recorded`, or None after the last trial."""
        trial = self._create_trial()
        if trial.status != TrialStatus.RUNNING and len(self._untold) == len(self.oracle.ongoing_trials) > 0:
            self._tell_untold(0.0)  # no trial has a result, so all are equally bad
            trial = self._create_trial()
        running, values = trial.status == TrialStatus.RUNNING, trial.hyperparameters.values
        if recorded is not None:
            if running != (recorded["asked"] is not None) or _rounds(values) != _rounds(recorded["values"]):
                raise ValueError(
                    f"{self.file.path} cannot be followed by keras-tuner {keras_tuner.__version__}, which proposes "
                    f"another trial {recorded['asked']}. Continue with the release that began the search, or begin "
                    "anew (--overwrite)."
                )
            trial.hyperparameters.values = values = recorded["values"]  # last digits may depend on the machine
        elif trial.status == TrialStatus.STOPPED:
            return None
        number = len(self.asked) if running else None
        if running:
            self._trials[number], self.asked[number] = trial, values
        event = {"asked": number, "values": values}
        if recorded is None:
            self.file.append(event)
        return event

    def _create_trial(self):
        return self.oracle.create_trial(f"run {len(self.asked)}")  # a new name, or keras-tuner returns a running trial

    def tell(self, answer, recorded=False):
        """Tells the oracle a result of `run_trial`, `recorded` if it is in the file already."""
        if not recorded:
            self.file.append(answer)
        row = answer["row"]
        number, score = row["trial"], row.get(self.oracle.objective.name)
        self.rows[number] = row
        if answer["hyperparameters"] is not None:  # of a user's own function
            hp = keras_tuner.HyperParameters.from_config(answer["hyperparameters"])
            self._trials[number].hyperparameters, self.asked[number] = hp, hp.values
        if score is None:
            self._untold.append(number)
        else:
            self._scores.append(score)
            self._end(number, score)
        if self._scores:
            self._tell_untold(max(self._scores))

    def _tell_untold(self, score):
        """Tells a finite worst score for trials without a result: for Bayesian optimization, infinity is the best."""
        while self._untold:
            self._end(self._untold.pop(0), score)

    def _end(self, number, score):
        trial = self._trials[number]
        self.oracle.update_trial(trial.trial_id, {self.oracle.objective.name: score})
        trial.status = TrialStatus.COMPLETED
        self.oracle.end_trial(trial)


def _rounds(values):
    return {name: value for name, value in values.items() if is_internal(name)}


def read_events(path):
    """Returns the complete lines of a journal as dicts; ValueError if the file is damaged."""
    events = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1] if path.exists() else [], start=1):
        try:
            events.append(parse_json(line))
            check_schema(events[-1], _EVENT)
        except ValueError as error:
            raise ValueError(
                f"{path} must be the journal of a search. Received in line {number}: {error}. Restore the file from a "
                "copy, or start the search anew (--overwrite)."
            ) from error
    return events
