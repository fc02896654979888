"""run_search: an oracle is asked for trials, engines execute them, and the oracle is told what came of them."""

import contextlib
import functools
import math
import tempfile

from keras_hypernet.runs.cluster import run_on_ray
from keras_hypernet.runs.engines import Job, LocalWorkers, run_here
from keras_hypernet.runs.progress import RunsProgress
from keras_hypernet.runs.worker import importable_name
from keras_hypernet.training.retracing import expected_retracing
from keras_hypernet.tuning.journal import Journal
from keras_hypernet.tuning.logs import HParamsLogs
from keras_hypernet.tuning.names import search_name
from keras_hypernet.tuning.oracles import count_trials, make_oracle
from keras_hypernet.tuning.result import SearchResult
from keras_hypernet.tuning.trial import JOB, run_trial


def run_search(config, hypermodel, place, claim, engine, progress):
    """Runs a search, or what is missing of it, and returns the `SearchResult`.

    Args:
        config: Its configuration, as in `search.json`.
        hypermodel: The `DepthSearch`.
        place: Its `SearchDirectory`.
        claim: Further arguments of `SearchDirectory.claim`.
        engine: The workers, the engine and the address, as of `search`.
        progress: Whether to show the progress.
    """
    recipe = hypermodel.recipe
    oracle = make_oracle(config["oracle"], config["objective"], recipe.seed, recipe.epochs, config["factor"])
    register = hypermodel.configure if hypermodel.function is None else hypermodel.build
    summary = functools.partial(summarize, objective=config["objective"])
    name = search_name(hypermodel.task) or hypermodel.task.name
    with contextlib.ExitStack() as stack:
        journal = Journal(place.journal, oracle, register, stack.enter_context(tempfile.TemporaryDirectory()))
        count_trials(config, oracle)  # or refuses
        place.claim(config, **claim)
        journal.replay()
        total = count_trials(config, oracle)
        logs = HParamsLogs(place.path / "tensorboard", hypermodel)
        shown = stack.enter_context(RunsProgress(name, total, journal.rows.values(), summary, "trials", progress))
        stack.enter_context(expected_retracing())
        answers = _execute(_to_run(journal, config, hypermodel, place), hypermodel, *engine)
        for answer in stack.enter_context(contextlib.closing(answers)):
            journal.tell(answer)
            logs.write(answer["row"], journal.asked[answer["row"]["trial"]])
            if hypermodel.function is not None:
                total = count_trials(config, oracle)  # it may have asked for more
            shown.add(answer["row"], total)
    rows = [journal.rows[number] for number in sorted(journal.rows)]
    return SearchResult(config, place.path, rows, hypermodel.task)


def _to_run(journal, config, hypermodel, place):
    """Yields the trials that were interrupted, and then new ones; None if there is none until another has ended."""
    build = hypermodel.function and importable_name(hypermodel.function)
    shared = {"search": config, "directory": str(place.path.absolute()), "build": build}
    interrupted = {number: values for number, values in journal.asked.items() if number not in journal.rows}
    for number, values in interrupted.items():
        yield {**shared, "asked": number, "values": values}
    while len(journal.asked) < (config["trials"] or math.inf) and (question := journal.ask()) is not None:
        yield {**shared, **question} if question["asked"] is not None else None


def _execute(trials, hypermodel, workers, engine, address):
    """Yields what each trial returns."""
    if engine == "ray":
        yield from run_on_ray(JOB, trials, address, limit=workers)
    elif workers == 1:
        yield from run_here(Job(functools.partial(run_trial, hypermodel=hypermodel), None), trials)
    else:
        with LocalWorkers(workers) as local:
            yield from local.run(JOB, trials)


def summarize(rows, objective):
    """Returns the best trial, and how many have no result.

    Example:

    >>> summarize(
    ...     [
    ...         {"method": "hyper", "depth": 5, "status": "finished", "validation_error": 0.0571},
    ...         {"method": "hyper", "depth": 9, "status": "diverged", "validation_error": None},
    ...     ],
    ...     "validation_error",
    ... )
    'best validation_error 0.0571 (hyper, depth 5); 1 diverged'
    """
    finished = [row for row in rows if row["status"] == "finished"]
    parts = []
    if finished:
        best = min(finished, key=lambda row: row[objective])
        parts.append(f"best {objective} {best[objective]:.4g} ({best['method']}, depth {best['depth']})")
    for status in ("diverged", "failed"):
        number = sum(row["status"] == status for row in rows)
        parts += [f"{number} {status}"] if number else []
    return "; ".join(parts)
