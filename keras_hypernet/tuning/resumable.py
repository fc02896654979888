"""Resumable: what keras-tuner's oracles lack to be interrupted, resumed, and left by a worker.

What is mended is known to keras-tuner by these numbers (github.com/keras-team/keras-tuner/issues):

- #915: what a worker that has died was working on is never repeated, and the chief waits for it forever.

Files are replaced in one step; keras-tuner's own writing of them can be cut short. A method that fails lets the next
one go on; keras-tuner's own keeps the oracle's lock, for which all others wait forever.
"""

import functools
import json
import math
import pathlib
import time

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from keras_hypernet.files import replacing

_MAX_COLLISIONS = 1000


def synchronized(method):
    """`keras_tuner.synchronized`, of which the lock is released if the method raises."""

    @keras_tuner.synchronized
    def caught(*args, **kwargs):
        try:
            return method(*args, **kwargs), None
        except BaseException as error:
            return None, error

    @functools.wraps(method)
    def call(*args, **kwargs):
        answer, error = caught(*args, **kwargs)
        if error is not None:
            raise error
        return answer

    return call


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
        """Restores state and trials from their files.

        Raises:
            ValueError: If a file is damaged, or that of a trial is missing.
        """
        folder = pathlib.Path(self._project_dir)
        for name in read_written(folder / "oracle.json", lambda state: state["start_order"]):
            read_trial(folder / f"trial_{name}" / "trial.json")
        super().reload()
        for tuner_id, trial_id in self._interrupted.items():
            # Of one that is not running, the state was not saved after its end.
            if self.trials[trial_id].status == TrialStatus.RUNNING:
                self.ongoing_trials[tuner_id] = self.trials[trial_id]

    @synchronized
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

    @synchronized
    def get_trial(self, trial_id):
        """Returns a trial; that it is asked for says that its worker is alive."""
        for tuner_id, trial in self.ongoing_trials.items():
            if trial.trial_id == trial_id:
                self._heard[tuner_id] = time.monotonic()
        return super().get_trial(trial_id)

    @synchronized
    def update_trial(self, trial_id, metrics, step=0):
        """Takes note of what was measured of a trial."""
        return super().update_trial(trial_id, metrics, step)

    @synchronized
    def end_trial(self, trial):
        """Ends a trial, once: a worker says so again if it was not answered, or if another has ended it meanwhile."""
        if any(ongoing.trial_id == trial.trial_id for ongoing in self.ongoing_trials.values()):
            super().end_trial(trial)

    @synchronized
    def finished(self):
        """Whether all trials have ended and all workers that are not lost have been told so."""
        self.tuner_ids = {one for one in self.tuner_ids if one in self.ongoing_trials or not self._lost(one)}
        complete = self.exhausted or len(self.trials) >= self.limit
        return complete and not self.ongoing_trials and not self.tuner_ids

    def _lost(self, tuner_id):
        if self.worker_timeout is None:
            return True
        return time.monotonic() - self._heard.get(tuner_id, self._started) > self.worker_timeout


def read_trial(path):
    """Reads the `keras_tuner.engine.trial.Trial` of a file.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    return read_written(path, Trial.from_state)


def read_written(path, convert):
    """Reads a file of a search: what `convert` makes of the JSON in it, whose numbers may be infinite.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    try:
        return convert(json.loads(path.read_text(encoding="utf-8")))
    except Exception as error:  # whatever keras-tuner raises of what is in a file that may be anybody's
        found = "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path} must be what the search has written there. Received: {found}. Put the file back from a copy, or "
            "start the search anew (--overwrite)."
        ) from error


def _write(path, content):
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")  # of diverged trials, metrics are infinite
