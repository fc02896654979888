"""The files of a search: its configuration, which claims the folder, and the journal of its trials.

`search.json` is the configuration; `trials/` holds the trainings and the journal; `tensorboard/` holds logs.
"""

import pathlib

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from keras_hypernet.common.files import remove_folder, write_json
from keras_hypernet.common.parsing import check_schema, parse_json, read_json
from keras_hypernet.runs.results import ResultsFile
from keras_hypernet.tuning.names import is_internal

_PROPERTIES = {
    **{name: {"type": "object"} for name in ("task", "space", "recipe")},
    **{name: {"type": "string"} for name in ("oracle", "objective")},
    "method": {"type": "array", "items": {"type": "string"}, "minItems": 1},
}
_CONFIG = {"type": "object", "required": list(_PROPERTIES), "properties": _PROPERTIES}
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
# Where the folder of a search holds the journal.
JOURNAL = pathlib.Path("trials") / "journal.jsonl"
# What a search writes into its folder, without `entry`, whose card says how it was made.
_CONTENT = ("trials", "tensorboard", "trials.csv", "depth.png", "parallel.png")


def read_config(folder):
    """Returns the configuration of the search in a folder, or None; ValueError if it is damaged."""
    path = folder / "search.json"
    if not path.exists():
        return None
    fix = "Nothing was changed: choose another directory (--directory), or move that file away."
    return read_json(path, _CONFIG, "the configuration of a search", fix)


def claim(folder, config, resume, overwrite):
    """Claims a folder for a search. Raises ValueError, and changes nothing, if the folder has other content.

    Another number of trials does not make another search.
    """
    current = read_config(folder)
    if current is None:
        if strangers := sorted(path.name for path in folder.glob("*")):
            raise ValueError(f"{folder} holds {strangers[0]}, and no search: choose another --directory.")
    elif overwrite:
        # The configuration is replaced last: after an interruption the folder still belongs to a search.
        for path in filter(pathlib.Path.exists, (folder / name for name in _CONTENT)):
            remove_folder(path)
    else:
        held, asked = _flat({**current, "trials": None}), _flat({**config, "trials": None})
        if different := [name for name in {**held, **asked} if held.get(name) != asked.get(name)]:
            was, wanted = ({name: flat.get(name) for name in different} for flat in (held, asked))
            raise ValueError(
                f"{folder} holds another search, {was}, and nothing of it was changed. Asked for: {wanted}. Choose "
                "another directory (--directory), or delete that search (--overwrite)."
            )
        if not resume:
            raise ValueError(
                f"{folder} holds this search already: continue it (--resume), start anew (--overwrite), or choose "
                "another directory (--directory)."
            )
    write_json(folder / "search.json", config)


def _flat(config):
    """Returns a configuration in which dotted names stand for nested dicts."""
    flat = {}
    for name, value in config.items():
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    return flat


class Journal:
    """An oracle, and a file of its trials and their results: another oracle of the same seed gets to the same state.

    A line of the file is `{"asked": number, "values": values}`, where the number is None if no trial can run before
    another ends, or the result of `run_trial`. `register` registers hyperparameters with a
    `keras_tuner.HyperParameters`; keras-tuner's own files in the folder `scratch` stay unread. `rows` has the rows of
    ended trials by number.
    """

    def __init__(self, path, oracle, register, scratch):
        self.file, self.oracle, self.rows = ResultsFile(path, parse_json), oracle, {}
        oracle.verbose = 0
        BaseTuner(oracle, register, directory=scratch, project_name="oracle")  # sets the folder that an oracle needs

    @property
    def asked(self):
        """The values of all trials, by number: the oracle keeps its trials in the order in which they were asked."""
        return {number: trial.hyperparameters.values for number, trial in enumerate(self.oracle.trials.values())}

    def replay(self):
        """Brings the oracle to the state in the file; ValueError if this release of keras-tuner cannot follow."""
        self.file.mend()
        for event in read_events(self.file.path):
            self.tell(event, recorded=True) if "row" in event else self.ask(event)

    def ask(self, recorded=None):
        """Asks the oracle for a trial. Returns its line, new unless it is `recorded`, or None after the last trial."""
        number = len(self.oracle.trials)
        trial = self.oracle.create_trial(f"run {number}")  # a new name, or keras-tuner returns a running trial
        if trial.status != TrialStatus.RUNNING and len(self.rows) == number and self.oracle.ongoing_trials:
            self._end_trials(0.0)  # no trial has a result, so all are equally bad
            trial = self.oracle.create_trial(f"run {number}")
        running, values = trial.status == TrialStatus.RUNNING, trial.hyperparameters.values
        if recorded is not None:
            if running != (recorded["asked"] is not None) or _rounds(values) != _rounds(recorded["values"]):
                raise ValueError(
                    f"{self.file.path} cannot be followed by keras-tuner {keras_tuner.__version__}, which proposes "
                    f"another trial {recorded['asked']}. Continue with the release that began the search, or begin "
                    "anew (--overwrite)."
                )
            trial.hyperparameters.values = recorded["values"]  # last digits may depend on the machine
            return recorded
        if trial.status == TrialStatus.STOPPED:
            return None
        event = {"asked": number if running else None, "values": values}
        self.file.append(event)
        return event

    def tell(self, answer, recorded=False):
        """Tells the oracle a result of `run_trial`, `recorded` if it is in the file already."""
        if not recorded:
            self.file.append(answer)
        row, objective = answer["row"], self.oracle.objective.name
        self.rows[row["trial"]] = row
        if answer["hyperparameters"] is not None:  # of a user's own function
            trial = list(self.oracle.trials.values())[row["trial"]]
            trial.hyperparameters = keras_tuner.HyperParameters.from_config(answer["hyperparameters"])
        if scores := [row[objective] for row in self.rows.values() if row.get(objective) is not None]:
            self._end_trials(max(scores))

    def _end_trials(self, worst):
        """Tells the oracle the results of all trials that have ended, and a finite worst score for those without one.

        For Bayesian optimization, infinity is the best.
        """
        objective = self.oracle.objective.name
        for number, trial in enumerate(self.oracle.trials.values()):
            if trial.status == TrialStatus.RUNNING and number in self.rows:
                score = self.rows[number].get(objective)
                self.oracle.update_trial(trial.trial_id, {objective: worst if score is None else score})
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
