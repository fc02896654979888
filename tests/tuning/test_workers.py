"""Searches whose trials run in other processes: of this machine, and of a Ray cluster."""

import gc
import os
import signal
import subprocess
import sys
import threading

import pytest
from helpers import TESTS, normal
from product_task import Product
from tiny_grid import children, running, wait_until
from tiny_search import RECIPE, TASK, column, own_model, plain, tiny_search

import keras_hypernet as kh
from keras_hypernet.tasks import SyntheticTask


def _same(rows, expected):
    for row, other in zip(rows, expected, strict=True):
        difference = row["validation_mse"] - other["validation_mse"]
        assert abs(difference) <= 1e-6  # with other threads
        assert {**row, "validation_mse": None} == {**other, "validation_mse": None}


@pytest.mark.full
def test_a_trial_whose_process_is_killed_is_run_again(tmp_path):
    folder = tmp_path / "search"
    expected = tiny_search(depth=[2], directory=tmp_path / "here")
    before, killed = set(children(os.getpid())), []

    def kill():
        wait_until(lambda: list(folder.glob("trials/trial_*")))  # a trial has begun
        killed.append(min(set(children(os.getpid())) - before))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    result = tiny_search(depth=[2], workers=2, directory=folder)
    thread.join()
    _same(plain(result.trials), plain(expected.trials))
    assert column(result, "trial") == [0]
    workers = {row["worker"].rpartition("-")[2] for row in result.trials}
    assert str(os.getpid()) not in workers
    lines = (folder / "trials" / "journal.jsonl").read_text().splitlines()
    assert len([line for line in lines if '"asked": null' not in line]) == 2  # a trial and its result
    assert kh.tuning.SearchResult.read(folder) == result
    assert set(children(os.getpid())) == before


@pytest.mark.full
def test_a_model_of_a_module_is_built_in_other_processes(tmp_path):
    result = tiny_search(build=own_model, depth=[2, 4], workers=2, directory=tmp_path)
    assert sorted((row["depth"], row["units"], row["status"]) for row in result.trials) == [
        *((2, units, "finished") for units in (4, 8)),
        *((4, units, "failed") for units in (4, 8)),
    ]
    again = tiny_search(build=own_model, depth=[2, 4], directory=tmp_path)
    assert again == result


class OwnTask(SyntheticTask):
    """A task that this package does not know."""

    name = "own"


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_what_other_processes_cannot_import_is_refused(tmp_path, engine):
    task = OwnTask("inner", dim=4, num_train=64, num_validation=16, num_test=16)
    options = {"engine": engine, "workers": 2, "directory": tmp_path / "search", "recipe": RECIPE}
    expected = f"Received: '{engine}' with 2 workers, and without a name to import, "
    with pytest.raises(
        ValueError, match=f"{expected}`build`: define the function at the top of a module.* with workers=1"
    ):
        kh.tuning.search(TASK, build=lambda depth, hp: own_model(depth, hp), **options)
    with pytest.raises(ValueError, match=f"{expected}`task`: import its class, with @keras_hypernet.tasks.register"):
        kh.tuning.search(task, strategy="mirrored", **options)
    of_main = kh.tasks.register(type("OfMain", (OwnTask,), {"name": "of_main", "__module__": "__main__"}))
    with pytest.raises(ValueError, match=f"{expected}`task`: import its class, with @keras_hypernet.tasks.register"):
        kh.tuning.search(of_main("inner", dim=4), **options)
    with pytest.raises(ValueError, match="`strategy`: omit the strategy"):
        kh.tuning.search(TASK, strategy="mirrored", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_a_task_of_arrays_goes_the_whole_way(tmp_path):
    """Other processes read the arrays from a file; the best is an entry that is loaded, measured and exported."""
    x, condition = normal((40, 3)), normal((40, 2), seed=1)
    task = kh.ArrayTask(x=x, condition=condition, y=x[:, 0] * condition[:, 0], name="product_of_columns")
    recipe = kh.Recipe(width=4, epochs=2, batch_size=8)
    options = {"depth": [2], "recipe": recipe, "progress": False}  # one trial, so one process
    expected = kh.tuning.search(task, directory=tmp_path / "here", **options)
    result = kh.tuning.search(task, directory=tmp_path / "search", workers=2, **options)
    assert result.config == expected.config
    (row,), (other,) = result.trials, expected.trials
    assert row["validation_mse"] == pytest.approx(other["validation_mse"], rel=1e-5)
    assert not row["worker"].endswith(f"-{os.getpid()}")
    assert (tmp_path / "search" / "trials" / f"{task.sha256}.npz").is_file()
    assert kh.tuning.search(task, directory=tmp_path / "search", workers=2, **options) == result
    assert kh.tuning.SearchResult.read(tmp_path / "search") == result
    card = result.retrain(progress=False)
    assert f"get_task(**{task.config()!r})" in card.command
    entry = tmp_path / "search" / "entry"
    assert kh.evaluate(kh.load(entry), task) == pytest.approx(card.metrics["test"], rel=1e-6)
    exported = kh.export(entry, tmp_path / "exported")
    assert (exported / "saved_model.pb").is_file()


@pytest.mark.full
def test_a_registered_task_of_a_module_is_searched_in_another_process(tmp_path):
    options = {"depth": [2], "recipe": kh.Recipe(width=4, epochs=1, batch_size=8), "progress": False}
    result = kh.tuning.search(Product(), directory=tmp_path / "search", workers=2, **options)
    expected = kh.tuning.search(Product(), directory=tmp_path / "here", **options)
    assert column(result, "status") == ["finished"]
    assert not result.trials[0]["worker"].endswith(f"-{os.getpid()}")
    assert column(result, "validation_mse") == pytest.approx(column(expected, "validation_mse"), rel=1e-5)


# More trials than can end in ten processes, of the models that are built fastest.
RATES = {"depth": [2], "learning_rate": [number / 1000 for number in range(1, 23)], "epochs": 4}
# Starts a search for each line it reads, the folder, and prints its process; they share one import of the libraries.
SCRIPT = f"""
import os, sys
from tiny_search import tiny_search
for line in sys.stdin:
    if (searching := os.fork()) == 0:
        tiny_search(directory=line.strip(), **{RATES})
        os._exit(0)
    print(searching, flush=True)
    os.waitpid(searching, 0)
"""


@pytest.mark.full
def test_a_search_that_is_killed_ten_times_repeats_no_trial_that_has_ended(tmp_path):
    journal = tmp_path / "search" / "trials" / "journal.jsonl"
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": TESTS}
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", SCRIPT], **options) as starter:
        for _ in range(10):
            before = journal.read_bytes() if journal.exists() else b""
            starter.stdin.write(f"{tmp_path / 'search'}\n")
            starter.stdin.flush()
            searching = int(starter.stdout.readline())
            wait_until(lambda before=before: journal.exists() and journal.stat().st_size > len(before))
            os.kill(searching, signal.SIGKILL)
            wait_until(lambda searching=searching: not running(searching))
            assert journal.read_bytes().startswith(before)
        starter.stdin.close()
    result = tiny_search(directory=tmp_path / "search", trials=1, **RATES)  # ends the trials that have begun
    whole = tiny_search(directory=tmp_path / "whole", trials=len(result.trials), **RATES)
    assert plain(result.trials) == plain(whole.trials)
    assert len(journal.read_text().splitlines()) == 2 * len(result.trials)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_search_on_ray_has_the_trials_of_this_machine(tmp_path):
    """A lost node is the engine's matter: see tests/runs/test_cluster.py."""
    ray = pytest.importorskip("ray")
    try:
        result = tiny_search(depth=(2, 3), workers=1, engine="ray", directory=tmp_path / "search")
    finally:
        ray.shutdown()
        gc.collect()  # under the filters above
    expected = tiny_search(depth=(2, 3), directory=tmp_path / "here")
    _same(plain(result.trials), plain(expected.trials))
