"""run_search: asks an oracle for trials, lets an engine execute them, tells the oracle the results, and logs them."""

import contextlib
import functools
import math
import tempfile

from tensorboard.plugins.hparams import api

from keras_hypernet.runs.cluster import run_on_ray
from keras_hypernet.runs.engines import LocalWorkers
from keras_hypernet.runs.progress import RunsProgress
from keras_hypernet.training.retracing import expected_retracing
from keras_hypernet.tuning.journal import Journal
from keras_hypernet.tuning.metrics import is_internal, metrics_of
from keras_hypernet.tuning.names import search_name
from keras_hypernet.tuning.oracles import count_trials, make_oracle
from keras_hypernet.tuning.result import SearchResult
from keras_hypernet.tuning.space import searched
from keras_hypernet.tuning.trial import JOB, run_trial


def run_search(config, hypermodel, folder, resume, overwrite, engine, progress):
    """Runs a search, or its missing trials; `engine` has the arguments workers, engine and address of `search`."""
    if overwrite or folder.config() is None:
        for split in ("train", "validation"):
            hypermodel.task.load(split)  # without data, no folder is claimed and nothing deleted
    oracle = make_oracle(config)
    register = hypermodel.configure if hypermodel.function is None else hypermodel.build
    summary = functools.partial(_describe_best, objective=config["objective"])
    name = search_name(hypermodel.task) or hypermodel.task.name
    with contextlib.ExitStack() as stack:
        journal = Journal(folder.journal, oracle, register, stack.enter_context(tempfile.TemporaryDirectory()))
        count_trials(config, oracle)  # raises if Hyperband has too few configurations
        folder.claim(config, resume, overwrite)
        journal.replay()
        total = count_trials(config, oracle)
        shown = stack.enter_context(RunsProgress(name, total, journal.rows.values(), summary, "trials", progress))
        stack.enter_context(expected_retracing())
        answers = _execute(_trials(journal, config, folder), hypermodel, *engine)
        for answer in stack.enter_context(contextlib.closing(answers)):
            journal.tell(answer)
            row = answer["row"]
            _write_logs(folder.path / "tensorboard", hypermodel, row, journal.asked[row["trial"]])
            if hypermodel.function is not None:
                total = count_trials(config, oracle)  # the function may ask for more
            shown.add(row, total)
    rows = [journal.rows[number] for number in sorted(journal.rows)]
    return SearchResult(config, folder.path, rows, hypermodel.task)


def _trials(journal, config, folder):
    """Yields interrupted trials, then new trials; None if no trial can start before another ends."""
    shared = {"search": config, "directory": str(folder.path.absolute())}
    for number in [number for number in journal.asked if number not in journal.rows]:
        yield {**shared, "asked": number, "values": journal.asked[number]}
    while len(journal.asked) < (config["trials"] or math.inf) and (question := journal.ask()) is not None:
        yield {**shared, **question} if question["asked"] is not None else None


def _execute(trials, hypermodel, workers, engine, address):
    """Yields the result of each trial."""
    if engine == "ray":
        yield from run_on_ray(JOB, trials, address, limit=workers)
    elif workers == 1:
        for trial in trials:
            yield run_trial(trial, hypermodel)
    else:
        with LocalWorkers(workers) as local:
            yield from local.run(JOB, trials)


def _write_logs(folder, hypermodel, row, hyperparameters):
    """Writes the logs of a trial for TensorBoard's HParams dashboard into a folder."""
    import tensorflow as tf

    values = {name: value for name, value in hyperparameters.items() if not is_internal(name)}
    metrics, trial = metrics_of(hypermodel.task), f"{row['trial']:04}"
    if not (folder / "hparams").exists():
        # The hyperparameters of a user's own function are known after its first call.
        names = dict.fromkeys([*searched(hypermodel.methods, hypermodel.space), *values])
        with tf.summary.create_file_writer(str(folder / "hparams")).as_default():
            api.hparams_config([api.HParam(name) for name in names], [api.Metric(name) for name in metrics])
    with tf.summary.create_file_writer(str(folder / trial)).as_default():
        api.hparams(values, trial_id=trial)
        for name in (*metrics, "seconds"):
            if row[name] is not None:
                tf.summary.scalar(name, row[name], step=row["epochs"])


def _describe_best(rows, objective):
    """Returns a text such as "best validation_error 0.0571 (hyper, depth 5)"; empty without a finished row."""
    finished = [row for row in rows if row["status"] == "finished"]
    if not finished:
        return ""
    best = min(finished, key=lambda row: row[objective])
    return f"best {objective} {best[objective]:.4g} ({best['method']}, depth {best['depth']})"
