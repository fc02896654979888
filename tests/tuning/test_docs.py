"""docs/tuning: the commands exist, the manifest is consistent, and the Slurm script runs."""

import re
import shlex
import shutil
import subprocess

import pytest
import typer
from helpers import ROOT

from keras_hypernet_cli.app import app

FOLDER = ROOT / "docs" / "tuning"


def _parsed(words):
    """The values of the options of a `keras-hypernet` command, as its own parser reads them."""
    program, *arguments = words
    assert program == "keras-hypernet"
    group = typer.main.get_command(app)
    name, command, rest = group.resolve_command(typer.Context(group), arguments)
    assert name == "tune"
    return command.make_context(name, list(rest)).params


def test_the_manifest_is_of_a_cluster_that_shares_the_folder_of_the_search():
    yaml = pytest.importorskip("yaml")
    claim, job = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
    assert (claim["kind"], claim["spec"]["accessModes"]) == ("PersistentVolumeClaim", ["ReadWriteMany"])
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster, search = job["spec"]["rayClusterSpec"], _parsed(shlex.split(job["spec"]["entrypoint"]))
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    images = set()
    for group in (head, workers):
        pod = group["template"]["spec"]
        (container,), (volume,) = pod["containers"], pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        (mount,) = container["volumeMounts"]
        assert mount["name"] == volume["name"]
        assert search["directory"].is_relative_to(mount["mountPath"])
        assert container["resources"]["requests"] == container["resources"]["limits"]
        images.add(container["image"])
    assert len(images) == 1
    assert (search["engine"], search["address"], search["resume"]) == ("ray", "auto", True)
    assert head["rayStartParams"] == {"num-cpus": "0"}
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"]
    processors = int(workers["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"])
    assert search["workers"] == workers["replicas"] * processors


def test_the_slurm_script_runs_the_search_on_a_ray_cluster(tmp_path):
    """With commands that write down how they are called, in place of Slurm's and Ray's."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    commands = {
        "scontrol": '[ "$*" = "show hostnames node[7-8]" ] && printf "node7\nnode8\n"',
        "srun": f'printf "%s\n" "$@" > {tmp_path}/words',
    }
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    folder = tmp_path / "shared folder" / "search"
    variables = {"SLURM_JOB_NODELIST": "node[7-8]", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "3"}
    variables |= {"PATH": f"{tmp_path}:/usr/bin:/bin", "SEARCH_DIRECTORY": str(folder), "SLURM_JOB_ID": "12"}
    subprocess.run(["bash", FOLDER / "slurm.sh"], env=variables, check=True)
    words = (tmp_path / "words").read_text().splitlines()
    cluster, search = words[: words.index("--")], _parsed(words[words.index("--") + 1 :])
    assert cluster == ["ray", "symmetric-run", "--address", "node7:6379", "--min-nodes", "2", "--num-cpus", "3"]
    assert (search["engine"], search["address"], search["workers"]) == ("ray", "node7:6379", 6)
    assert (search["directory"], search["resume"]) == (folder, True)


def test_the_commands_of_the_documentation_exist():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [_parsed(shlex.split(line)) for line in lines if line[0] != "#"]
    assert [(command["engine"], command["workers"]) for command in commands[-2:]] == [("local", 2), ("ray", 16)]
