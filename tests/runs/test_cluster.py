"""Runs on Ray: on this machine alone, and on a cluster of two nodes, one of which is lost."""

import contextlib
import gc
import socket
import sys
import threading

import light_runs
import pytest
from tiny_grid import GRID, plain, rows_in, wait_until

from keras_hypernet.experiments.experiment import FIELDS
from keras_hypernet.experiments.runner import execute, run
from keras_hypernet.runs import engines
from keras_hypernet.runs.engines import run_on_ray

# Some releases of Ray leave files and processes to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def here():
    """Ray on this machine, with one processor."""
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    gc.collect()  # under the filters above


@pytest.fixture
def nodes():
    """A cluster of a head and two nodes that execute runs."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    ray.shutdown()
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            nodes.add_node(wait=False, num_cpus=1)
        nodes.wait_for_nodes(timeout=600)
        yield nodes
    finally:
        nodes.shutdown()
        gc.collect()


def _function(body):
    """A function that is sent to the cluster by value: processes there cannot import the module of a test."""
    names = {"__name__": "__main__"}
    exec(f"def execute(sources, name, config):\n    {body}", names)
    return names["execute"]


def test_missing_ray_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_hypernet\[distributed\]'"):
        run(GRID, tmp_path, engine="ray")
    assert list(run_on_ray(light_runs.job(), [])) == []


def test_an_invalid_address_is_an_error_at_once():
    pytest.importorskip("ray")
    with pytest.raises(ConnectionError, match="There is no Ray cluster at 'nowhere' .*`ray start --head`"):
        next(run_on_ray(light_runs.job(), [{}], "nowhere"))


@pytest.mark.parametrize("kind", ["", "ray://"])
def test_an_address_without_a_cluster_is_an_error_at_once(kind):
    pytest.importorskip("ray")
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"{kind}127.0.0.1:{taken.getsockname()[1]}"
        # "refused" is the socket's answer: Ray itself tries for minutes.
        with pytest.raises(ConnectionError, match=f"There is no Ray cluster at '{address}' .*refused"):
            next(run_on_ray(light_runs.job(), [{}], address))


# The configuration of each run decides: the run returns, ends its process, or raises.
RUNS = """
    import os
    if "attempts" in config:
        with open(config["attempts"], "a") as file:
            file.write(".")
        os._exit(1)
    if "raise" in config:
        raise FileNotFoundError(config["raise"])
    return {"config": config, "name": name}
"""


def test_runs_become_rows_and_a_run_that_ends_its_process_fails_after_four_attempts(here, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "_execute", _function(RUNS.strip()))
    configs = [{"name": "a"}, {"attempts": str(tmp_path / "attempts")}, {"name": "b"}]
    rows = list(run_on_ray(light_runs.job(), configs, limit=1))
    assert [row["config"] for row in rows] == configs
    assert [row.get("name") for row in rows] == ["light_runs:execute", None, "light_runs:execute"]
    assert rows[1]["failed"].startswith("The run was lost 4 times: ")
    assert (tmp_path / "attempts").read_text() == "...."
    with pytest.raises(ChildProcessError, match="A process of the cluster cannot execute runs: mnist is not here"):
        list(run_on_ray(light_runs.job(), [{"raise": "mnist is not here"}]))
    monkeypatch.setattr("ray.cluster_resources", dict)
    with pytest.raises(ConnectionError, match="The Ray cluster has 0 processors, and a run needs 1: add nodes to it."):
        next(run_on_ray(light_runs.job(), configs))


@pytest.mark.full
def test_a_cluster_without_this_package_is_an_error_and_no_rows(here, monkeypatch):
    monkeypatch.setattr(engines, "_execute", _function("import a_package_that_is_not_there"))
    with pytest.raises(ChildProcessError, match="cannot execute runs: .*a_package_that_is_not"):
        list(run_on_ray(light_runs.job(), [{}]))


# A run writes the node on which it begins, and waits while the node is held.
HELD = """
    import pathlib, time
    import ray
    from keras_hypernet.runs import engines
    folder, node = pathlib.Path({folder!r}), ray.get_runtime_context().get_node_id()
    with (folder / "begun").open("a") as file:
        file.write(node + "\\n")
    while (folder / node).exists():
        time.sleep(0.05)
    return engines._execute(sources, name, config)
"""


@pytest.mark.full
def test_no_run_is_lost_with_a_node_and_none_counts_twice(nodes, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(engines, "_execute", _function(HELD.strip().format(folder=str(tmp_path))))
    names = {node.node_id for node in nodes.worker_nodes}
    for name in names:
        (tmp_path / name).touch()

    def begun():
        return (tmp_path / "begun").read_text().split() if (tmp_path / "begun").exists() else []

    def lose():
        import ray

        held = set(names)
        try:
            wait_until(lambda: set(begun()) == names)  # each node is in the middle of a run
            here = ray.get_runtime_context().get_node_id()
            lost, *_ = (node for node in nodes.worker_nodes if node.node_id != here)
            nodes.remove_node(lost, allow_graceful=False)
            held.remove(lost.node_id)  # stays held: its process must not finish the run before it dies
        finally:
            for name in held:
                (tmp_path / name).unlink()

    thread = threading.Thread(target=lose)
    thread.start()
    rows = run(GRID, tmp_path, engine="ray", address=nodes.address)
    thread.join()
    for name in names:
        (tmp_path / name).unlink(missing_ok=True)
    assert len(begun()) == len(GRID.runs()) + 1  # the run of the lost node is repeated
    assert [row["config"] for row in rows] == GRID.runs()
    assert plain(rows_in(tmp_path)) == plain(rows)
    assert all(set(row) == {*FIELDS, "depth"} for row in rows)
    assert {(row["status"], row["machine"]["threads"]) for row in rows} == {("finished", 1)}
    here = execute(GRID.runs()[0], GRID)  # other threads round sums differently
    assert [rows[0][name] for name in ("test", "validation")] == pytest.approx(
        [here[name] for name in ("test", "validation")], rel=1e-5
    )
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "4/4 runs" in shown.err.splitlines()[-1]
