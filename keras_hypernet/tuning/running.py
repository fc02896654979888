"""SearchRun: a search while it runs, its trials in this process or in those of workers."""

import contextlib
import io
import math

import keras_tuner

from keras_hypernet.retracing import expected_retracing
from keras_hypernet.tuning import connection
from keras_hypernet.tuning import distributed as roles
from keras_hypernet.tuning.names import search_name
from keras_hypernet.tuning.oracles import make_oracle
from keras_hypernet.tuning.progress import SearchProgress
from keras_hypernet.tuning.result import SearchResult, make_row
from keras_hypernet.tuning.space import count_configurations
from keras_hypernet.tuning.tuner import DepthTuner


class SearchRun:
    """A search with its tuner, whose progress is shown.

    Args:
        config: Its configuration, as in `search.json`.
        hypermodel: The `DepthSearch`.
        place: Its `SearchDirectory`.
        chief: Address of the chief that the trials come from; None if they are chosen in this process.
        worker_timeout: Seconds of silence after which a worker counts as lost.
        progress: Whether to show the progress.
    """

    def __init__(self, config, hypermodel, place, chief, worker_timeout, progress):
        self.config, self.hypermodel, self.place = config, hypermodel, place
        self.rows, self.progress = {}, None
        recipe = hypermodel.recipe
        oracle = make_oracle(
            config["oracle"],
            config["objective"],
            config["trials"],
            recipe.seed,
            recipe.epochs,
            config["factor"],
        )
        with contextlib.redirect_stdout(io.StringIO()):  # keras-tuner says there that it reloads
            self.tuner = DepthTuner(
                oracle,
                hypermodel,
                place.path,
                config["executions_per_trial"],
                on_end=self.add,
                heartbeat=roles.heartbeat(min(5.0, worker_timeout / 4)) if chief else None,
            )
        self.oracle, self.worker_timeout = oracle, worker_timeout
        if not chief:
            self._read()
        name, self.oracle.limit = search_name(hypermodel.task) or hypermodel.task.name, self._total()
        self.progress = SearchProgress(name, self.oracle.limit, self.rows.values(), config["objective"], progress)
        if chief:
            client = self.tuner.oracle
            client.stub = connection.PersistentStub(
                client.stub, chief, self.progress.warn, connection.PATIENCE, place.identifier()
            )
            mine, theirs = keras_tuner.HyperParameters(), client.get_space()
            hypermodel.configure(mine)
            if hypermodel.function is not None:  # it may ask for more, once it is called
                theirs.space[:] = [one for one in theirs.space if one.name in mine.values]
            roles.check_space(theirs, mine, chief)

    def run(self, distributed, address):
        """Runs trials, or lets workers run them, until there are no more; returns the `SearchResult`."""
        with self.progress, expected_retracing():
            try:
                if distributed == "chief":
                    self.oracle.worker_timeout = self.worker_timeout
                    roles.run_chief(self.tuner, address, self._read, self.place.identifier())
                else:
                    self.tuner.search(verbose=0)
            except keras_tuner.errors.FatalError as error:
                raise (error.__cause__ if isinstance(error, keras_tuner.errors.FatalRuntimeError) else error) from error
        rows = [self.rows[name] for name in sorted(self.rows)]
        return SearchResult(self.config, self.place.path, rows, self.hypermodel.task)

    def add(self, trial):
        """Takes note of a trial that has ended."""
        folder = self.place.trials / f"trial_{trial.trial_id}"
        row = make_row(trial, self.config, folder, self.hypermodel.task)
        self.rows[row["trial"]] = row
        if self.progress is not None:
            self.oracle.limit = self._total()  # a user's own function may have asked for more
            self.progress.add(row, self.oracle.limit)

    def _read(self):
        """Takes note of the trials that have ended elsewhere."""
        for trial in list(self.oracle.trials.values()):
            if trial.status not in ("RUNNING", "IDLE", "STOPPED") and int(trial.trial_id) not in self.rows:
                self.add(trial)

    def _total(self):
        """The number of trials, at most."""
        if self.config["oracle"] == "hyperband":
            possible = self.oracle.num_trials()
        else:
            possible = self.hypermodel.space.num_configurations()
        if math.isinf(possible) and self.config["oracle"] == "grid":
            possible = count_configurations(self.oracle.get_space().space, grid=True)
        return int(min(self.config["trials"] or possible, possible))
