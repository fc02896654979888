"""docs/tuning: its commands are ones that exist, the manifest fits together, and the Slurm script runs."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess

import pytest
import typer
from tiny_grid import wait_until

from keras_hypernet.cli.common import app

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "tuning"


def _parsed(words):
    """The values of the options of a `keras-hypernet` command, as its own parser reads them."""
    program, *arguments = words
    assert program == "keras-hypernet"
    group = typer.main.get_command(app)
    name, command, rest = group.resolve_command(typer.Context(group), arguments)
    assert name == "tune"
    return command.make_context(name, list(rest)).params


def _manifest():
    yaml = pytest.importorskip("yaml")
    documents = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8")))
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def _container(job):
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return container, _parsed([*container["command"], *container["args"]])


def test_the_manifest_is_of_one_search_whose_parts_find_each_other():
    found = _manifest()
    service, claim = found["Service", "tune-chief"], found["PersistentVolumeClaim", "tune"]
    chief, chiefs = _container(found["Job", "tune-chief"])
    worker, workers = _container(found["Job", "tune-worker"])
    own = ("distributed", "address", "worker_id", "wait", "resume", "plot")
    assert {name: value for name, value in chiefs.items() if name not in own} == {
        name: value for name, value in workers.items() if name not in own
    }
    assert (chiefs["distributed"], workers["distributed"]) == ("chief", "worker")
    (port,) = service["spec"]["ports"]
    assert chiefs["address"] == f"0.0.0.0:{port['port']}"
    assert workers["address"] == f"{service['metadata']['name']}:{port['port']}"
    assert chief["ports"] == [{"containerPort": port["port"]}]
    assert service["spec"]["selector"] == {"job-name": "tune-chief"}  # the label of a Job's pods
    assert workers["worker_id"] == "worker-$(JOB_COMPLETION_INDEX)"
    assert "JOB_COMPLETION_INDEX" in [variable["name"] for variable in worker["env"]]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for job, container in (("tune-chief", chief), ("tune-worker", worker)):
        spec = found["Job", job]["spec"]["template"]["spec"]
        assert spec["restartPolicy"] == "OnFailure"
        (volume,) = spec["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        (mount,) = container["volumeMounts"]
        assert mount["name"] == volume["name"]
        assert chiefs["directory"].is_relative_to(mount["mountPath"])


@pytest.fixture
def slurm(tmp_path):
    """Returns a function that starts a task of the script, with a command in place of `keras-hypernet` that writes down
    how it was called, and then does something more."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    stub = tmp_path / "keras-hypernet"
    environment = {
        **{"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_JOB_ID": "123456", "CHIEF_PATIENCE": "1"},
        "SEARCH_DIRECTORY": str(tmp_path / "shared folder" / "search"),
    }

    def start(task, more="true"):
        stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/task-$SLURM_ARRAY_TASK_ID\n{more}\n')
        stub.chmod(0o755)
        variables = {**environment, "SLURM_ARRAY_TASK_ID": task}
        options = {"env": variables, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        return subprocess.Popen(["bash", FOLDER / "slurm.sh"], **options)

    return start


def test_the_slurm_script_starts_a_chief_and_workers_of_one_search(tmp_path, slurm):
    script = (FOLDER / "slurm.sh").read_text(encoding="utf-8")
    assert dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", script, re.MULTILINE))["array"] == "0-4"
    folder = tmp_path / "shared folder" / "search"
    calls = {}
    for task in ("0", "1"):
        with slurm(task) as process:
            assert (process.wait(), process.stderr.read()) == (0, "")
        calls[task] = _parsed(["keras-hypernet", *(tmp_path / f"task-{task}").read_text().splitlines()])
        # The chief's file is gone with it; that of one which is still at work:
        assert task == "1" or list(folder.parent.iterdir()) == []
        (folder.parent / "search.address").write_text(calls["0"]["address"])
    own = ("distributed", "worker_id", "wait", "plot")
    assert {name: value for name, value in calls["0"].items() if name not in own} == {
        name: value for name, value in calls["1"].items() if name not in own
    }
    assert [calls[task]["distributed"] for task in calls] == ["chief", "worker"]
    assert calls["0"]["address"].endswith(":23456")
    assert (calls["0"]["directory"], calls["1"]["worker_id"]) == (folder, "worker-1")


@pytest.mark.parametrize("end", ["fails", "is ended"])
def test_a_chief_that_ends_in_any_way_takes_its_address_with_it(tmp_path, slurm, end):
    place, seen = tmp_path / "shared folder" / "search.address", tmp_path / "keras-hypernet.seen"
    place.parent.mkdir()
    place.write_text("old:1")
    with slurm(
        "0", 'cat "$SEARCH_DIRECTORY.address" > "$0.seen"; ' + ("exit 3" if end == "fails" else "sleep 600")
    ) as process:
        wait_until(lambda: seen.exists() and seen.read_text())
        if end == "is ended":
            os.killpg(process.pid, signal.SIGTERM)
        assert process.wait() == (3 if end == "fails" else -signal.SIGTERM)
    assert seen.read_text().endswith(":23456\n")
    assert not place.exists()


def test_the_address_of_an_earlier_chief_is_gone_before_the_next_one_has_its_own(tmp_path, slurm):
    """As that of one which was killed at once: here the next cannot write its own."""
    place = tmp_path / "shared folder" / "search.address"
    place.parent.mkdir()
    place.write_text("old:1")
    (place.parent / "search.address.new").mkdir()
    with slurm("0") as process:
        assert process.wait() != 0
    assert not place.exists()


@pytest.mark.parametrize("empty", [False, True])
def test_a_worker_without_an_address_ends_with_an_error(tmp_path, slurm, empty):
    place = tmp_path / "shared folder" / "search.address"
    if empty:
        place.parent.mkdir()
        place.touch()
    with slurm("1") as process:
        assert process.wait() == 1
        (line,) = process.stderr.read().splitlines()
    assert line == f"No chief has written its address to {place} within 1 seconds: is task 0 running?"
    assert not (tmp_path / "task-1").exists()


def test_the_commands_of_the_documentation_exist():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = [_parsed(shlex.split(line)) for line in block.replace("\\\n", " ").splitlines()]
    assert [command["distributed"] for command in commands] == ["chief", "worker"]
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (FOLDER / target.partition("#")[0]).exists(), target


def test_the_readme_leads_to_the_results_of_searches():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## For a choice of depth")[2].partition("\n## ")[0]
    (link,) = re.findall(r"\((results/[^)]*)\)", section)
    assert (ROOT / link).read_text(encoding="utf-8").startswith("# Searches for the depth, against the full grid")
