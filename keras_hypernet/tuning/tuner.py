"""DepthTuner: runs the trials of a search, one after the other."""

import contextlib
import pathlib
import shutil
import time

import keras_tuner

from keras_hypernet.data import DataUnavailableError
from keras_hypernet.files import NotWritableError, replacing_folder, write_json
from keras_hypernet.locks import BusyError
from keras_hypernet.tuning.logs import HParamsLogs
from keras_hypernet.tuning.metrics import metrics_of
from keras_hypernet.tuning.resumable import read_written

# A worker without a trial asks for one so often.
_SECONDS_BETWEEN_QUESTIONS = 0.5


class DepthTuner(keras_tuner.Tuner):
    """Runs each trial with several seeds, in folders from which it can be resumed and continued.

    Args:
        oracle: One of `make_oracle`.
        hypermodel: A `DepthSearch` with a task.
        directory: Folder of the search; that of its trials is `trials`.
        executions_per_trial: Number of seeds, from that of the recipe on.
        logs: Whether to write logs for TensorBoard.
        on_end: Function that is called with each trial that has ended here.
        heartbeat: Function of the oracle and a trial's number that returns a context manager, which is entered while
            the trial runs, and has a list of further Keras callbacks; or None.
    """

    def __init__(self, oracle, hypermodel, directory, executions_per_trial, logs=True, on_end=None, heartbeat=None):
        self._reloaded = False
        super().__init__(
            oracle,
            hypermodel,
            directory=str(directory),
            project_name="trials",
            executions_per_trial=executions_per_trial,
        )
        self.on_end, self.heartbeat = on_end, heartbeat
        self.logs = HParamsLogs(pathlib.Path(directory) / "tensorboard", hypermodel) if logs else None
        # keras-tuner looks for the file of this very process, which there is not yet after a first trial.
        state = pathlib.Path(self.project_dir) / "oracle.json"
        if not self._reloaded and not self._is_worker() and state.exists():
            self.reload()
        self._asked = 0.0

    def reload(self):
        """Restores the oracle's state; a tuner has none."""
        self._reloaded = True
        if not self._is_worker():
            self.oracle.reload()

    def pre_create_trial(self):
        """Waits a moment if the last question was answered without a trial; keras-tuner asks again at once."""
        time.sleep(max(0.0, self._asked + _SECONDS_BETWEEN_QUESTIONS - time.monotonic()))
        self._asked = time.monotonic()

    def run_trial(self, trial, **_):
        """Trains and measures the models of a trial; what a training that failed or diverged measured is infinite.

        Returns:
            A dict of each seed, which keras-tuner takes the means of: see `DepthSearch.train`, and `failed`, 0 or 1.
        """
        self._asked = 0.0
        folder = pathlib.Path(self.get_trial_dir(trial.trial_id))
        measured, messages = [], []
        with self.heartbeat(self.oracle, trial.trial_id) if self.heartbeat else contextlib.nullcontext([]) as callbacks:
            for seed in self._seeds():
                values, message = self._run(trial, folder, seed, callbacks)
                measured.append(values)
                messages += [message] if message else []
        outcome = {"worker": self.tuner_id, "message": " ".join(dict.fromkeys(messages)) or None}
        write_json(folder / "outcome.json", outcome)
        if "tuner/epochs" not in trial.hyperparameters.values:  # otherwise it may be continued
            for seed in self._seeds():
                shutil.rmtree(folder / f"seed-{seed}", ignore_errors=True)
        if self.logs:
            self.logs.write(trial.trial_id, trial.hyperparameters, measured)
        return measured

    def _seeds(self):
        first = self.hypermodel.recipe.seed
        return range(first, first + self.executions_per_trial)

    def _run(self, trial, folder, seed, callbacks):
        hp = trial.hyperparameters
        training = folder / f"seed-{seed}"
        epochs = hp.values.get("tuner/epochs", self.hypermodel.recipe.epochs)
        started = time.perf_counter()
        try:
            self._continue(hp.values.get("tuner/trial_id"), training)
            try:
                measured, message = self.hypermodel.train(hp, seed, epochs, training, callbacks)
            except BusyError:  # a worker that is not lost, only slow, still trains there; here it comes to the same
                measured, message = self.hypermodel.train(hp, seed, epochs, None, callbacks)
            return {**measured, "failed": 0.0}, message
        except keras_tuner.errors.FatalError:
            raise
        except (DataUnavailableError, ImportError, NotWritableError) as error:
            # It says nothing of the trial, and ends the search.
            raise keras_tuner.errors.FatalRuntimeError(str(error)) from error
        except Exception as error:
            # Whatever went wrong is a row of the table, and not the end of all other trials.
            nothing = dict.fromkeys(metrics_of(self.hypermodel.task), float("inf"))
            cost = {"epochs": 0, "steps": 0, "seconds": time.perf_counter() - started}
            return {**nothing, **cost, "diverged": 0.0, "failed": 1.0}, f"{type(error).__name__}: {error}"

    def _continue(self, earlier, training):
        """Copies the training of an earlier trial that this one continues; where it is not to be had, nothing is lost:
        the epochs are trained again, and come to the same."""
        if earlier is None or training.exists():
            return
        source = pathlib.Path(self.get_trial_dir(earlier)) / training.name
        if source.exists():
            with replacing_folder(training) as temporary:
                shutil.copytree(source, temporary, dirs_exist_ok=True)

    def on_trial_end(self, trial):
        """Reports the end of a trial."""
        super().on_trial_end(trial)
        if self.on_end is not None:
            self.on_end(self.oracle.get_trial(trial.trial_id))


def read_outcome(folder):
    """What the process that ran a trial left in its folder: its name, and what went wrong."""
    path = pathlib.Path(folder) / "outcome.json"
    if not path.exists():  # a folder of another machine
        return {"worker": None, "message": None}
    return read_written(path, lambda content: {name: content[name] for name in ("worker", "message")})
