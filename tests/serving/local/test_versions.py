"""Versions that come and go while requests run; labels, policies, and files other than models."""

import contextlib
import itertools
import json
import os
import shutil
import threading
import time

import keras
import numpy as np
import pytest
import requests
from servers import serve, wait_for, write_version

from keras_hypernet.serving import Client, InvalidRequestError, NotFoundError
from keras_hypernet.serving.export import export
from keras_hypernet.serving.local.engine import Engine
from keras_hypernet.serving.local.repository import Repository


@pytest.fixture
def base(tmp_path):
    """The folder of a model with one version."""
    (tmp_path / "times").mkdir()
    write_version(tmp_path / "times", 1)
    return tmp_path / "times"


def test_versions_change_while_requests_run(base):
    """No request is lost. One version answers each request, and no older version than before, unless it was removed."""
    with serve(base.parent, "times") as server:
        answers, failures, done = [[] for _ in range(4)], [], threading.Event()

        def ask(protocol, port, answers):
            with Client(f"127.0.0.1:{port}", "times", protocol=protocol, retries=0) as client:
                while not done.is_set():
                    try:
                        answers.append(client.predict(np.float32([1, 2])))
                    except Exception as error:
                        failures.append(error)

        def seen(version):
            return failures or all(answer and answer[-1][0] == version for answer in answers)

        threads = [
            threading.Thread(target=ask, args=(*way, received))
            for way, received in zip([("rest", server.rest_port), ("grpc", server.grpc_port)] * 2, answers, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            with Client(f"127.0.0.1:{server.rest_port}", "times") as client:
                wait_for(lambda: seen(1))
                for version in (2, 3, 4, 5):
                    write_version(base, version)
                    wait_for(lambda version=version: client.status().get(version) == "AVAILABLE")
                    wait_for(lambda version=version: client.status()[version - 1] == "END")
                    wait_for(lambda version=version: seen(version))
                # Back to the version before.
                shutil.rmtree(base / "5")
                wait_for(lambda: client.status()[4] == "AVAILABLE" and client.status()[5] == "END")
                wait_for(lambda: seen(4))
        finally:
            done.set()
            for thread in threads:
                thread.join()
    assert failures == []
    for received in answers:
        assert all(answer[1] == 2 * answer[0] for answer in received)
        versions = [version for version, _ in itertools.groupby(float(answer[0]) for answer in received)]
        assert versions == [1.0, 2.0, 3.0, 4.0, 5.0, 4.0]


def test_a_request_keeps_its_version_until_it_is_answered(base):
    write_version(base, 2)
    with serve(base.parent, "times") as server:
        repository = server.engine.repository
        with Client(f"127.0.0.1:{server.rest_port}", "times") as client:
            with repository.use("times") as servable:
                shutil.rmtree(base / "2")
                wait_for(lambda: client.status() == {2: "UNLOADING", 1: "AVAILABLE"})
                time.sleep(0.3)
                answered = servable.run("serving_default", {"x": np.float32([3])})["y"].numpy()
            assert answered.tolist() == [6.0]
            wait_for(lambda: client.status()[2] == "END")


def test_labels_and_policies_are_followed(base):
    write_version(base, 2)
    write_version(base, 3)
    config = base.parent / "models.config"
    entry = "model_config_list {{ config {{ name: 'times' base_path: '/models/times' {} }} }}"
    config.write_text(entry.format("model_version_policy { specific { versions: 1 versions: 2 } }"))
    with serve(base.parent, "times") as server:
        address = f"127.0.0.1:{server.rest_port}"
        client = Client(address, "times")
        assert client.status() == {2: "AVAILABLE", 1: "AVAILABLE"}
        assert client.predict(np.float32([1])).tolist() == [2.0]
        assert Client(address, "times", version=1).predict(np.float32([1])).tolist() == [1.0]
        with pytest.raises(NotFoundError, match=r"Specific\(times, 3\)"):
            Client(address, "times", version=3).predict(np.float32([1]))
        # The operator moves a label, and keeps all versions.
        config.write_text(entry.format("model_version_policy { all {} } version_labels { key: 'stable' value: 1 }"))
        wait_for(lambda: len(client.status()) == 3)
        stable = Client(address, "times", version="stable")

        def labelled():
            with contextlib.suppress(InvalidRequestError):  # the label comes after the versions
                return stable.status() == {1: "AVAILABLE"}

        wait_for(labelled)
        assert stable.predict(np.float32([1])).tolist() == [1.0]
        config.write_text(entry.format("model_version_policy { latest { num_versions: 2 } }"))
        wait_for(lambda: client.status()[1] == "END")
        assert client.status() == {3: "AVAILABLE", 2: "AVAILABLE", 1: "END"}


@pytest.mark.regression
def test_a_configuration_that_is_being_written_changes_nothing(base):
    write_version(base, 2)
    config = base.parent / "models.config"
    entry = "model_config_list {{ config {{ name: 'times' base_path: '/models/times' {} }} }}"
    labelled = entry.format("model_version_policy { all {} } version_labels { key: 'stable' value: 1 }")
    repository = Repository(base.parent, ["times"])
    for written in (labelled, "", "# for later", labelled[:-2], "this is not a configuration", None, labelled):
        config.unlink() if written is None else config.write_text(written)
        repository.poll()
        assert repository.status("times") == [(2, "AVAILABLE", ""), (1, "AVAILABLE", "")]
        assert repository.status("times", label="stable") == [(1, "AVAILABLE", "")]
    # The whole text, which takes the place of an empty file within one tick of the clock.
    config.write_text("")
    repository.poll()
    time = config.stat().st_mtime_ns
    config.write_text(entry.format("model_version_policy { specific { versions: 2 } }"))
    os.utime(config, ns=(time, time))
    repository.poll()
    assert repository.status("times") == [(2, "AVAILABLE", ""), (1, "END", "")]


def test_other_folders_are_no_versions(base):
    (base / "8").mkdir()  # not complete yet
    for name in ("latest", "-3", "1_0", "9" * 30, "\u0669"):
        shutil.copytree(base / "1", base / name)
    repository = Repository(base.parent, ["times"])
    repository.poll()
    assert repository.status("times") == [(1, "AVAILABLE", "")]
    for name in ("../outside", "..", "", ".", "times/1", "times/", "nothing", str(base)):
        with pytest.raises(ValueError, match="There is no folder"):
            Repository(base.parent, [name])
    with pytest.raises(ValueError, match="name one or more"):
        Repository(base.parent, [])


@pytest.mark.regression
def test_version_folders_may_have_leading_zeros_and_text_graphs(base):
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    write_version(base, 120)
    (base / "120").rename(base / "00000120")
    write_version(base, 7)
    (base / "7").rename(base / "007")
    graph = base / "007" / "saved_model.pb"
    text = text_format.MessageToString(saved_model_pb2.SavedModel.FromString(graph.read_bytes()))
    graph.with_suffix(".pbtxt").write_text(text, encoding="utf-8")
    graph.unlink()
    config = "model_config_list { config { name: 'times' model_version_policy { all {} } } }"
    (base.parent / "models.config").write_text(config)
    with serve(base.parent, "times") as server:
        address = f"127.0.0.1:{server.rest_port}"
        with Client(address, "times") as client:
            assert client.status() == {120: "AVAILABLE", 7: "AVAILABLE", 1: "AVAILABLE"}
            assert client.predict(np.float32([2])).tolist() == [240.0]
        with Client(address, "times", version=7) as client:
            assert client.predict(np.float32([2])).tolist() == [14.0]
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    assert export(network, base.parent, "times", keep=2) == base / "121"
    assert sorted(path.name for path in base.iterdir()) == ["00000120", "007", "121"]


@pytest.mark.regression
def test_a_model_folder_may_be_a_link(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    write_version(base, 2)
    (folder / "linked").symlink_to(base)
    write_version(base, 3)
    repository = Repository(folder, ["linked"])
    repository.poll()
    with repository.use("linked") as servable:
        assert servable.run("serving_default", {"x": np.float32([2])})["y"].numpy().tolist() == [6.0]
    # A link is moved to the next release in one step.
    release = tmp_path_factory.mktemp("release")
    write_version(release, 4)
    (folder / "next").symlink_to(release)
    (folder / "next").rename(folder / "linked")
    repository.poll()
    assert repository.status("linked") == [(4, "AVAILABLE", ""), (3, "END", "")]


@pytest.mark.regression
@pytest.mark.parametrize("kind", ["version", "graph", "weights", "asset", "folder of files", "loop"])
def test_versions_with_links_to_the_outside_are_refused(base, kind, tmp_path_factory, caplog):
    outside = tmp_path_factory.mktemp("outside")
    write_version(outside, 9)
    repository = Repository(base.parent, ["times"])
    repository.poll()
    if kind == "version":
        (base / "9").symlink_to(outside / "9")
    elif kind == "graph":
        (base / "9").mkdir()
        for path in (outside / "9").iterdir():
            (base / "9" / path.name).symlink_to(path)
    else:
        shutil.copytree(outside / "9", base / "9")
        variables = base / "9" / "variables"
        if kind == "weights":
            (variables / "variables.index").unlink()
            (variables / "variables.index").symlink_to(outside / "9" / "variables" / "variables.index")
        elif kind == "asset":
            (base / "9" / "assets" / "secret").symlink_to("../../../../outside")
        elif kind == "folder of files":
            shutil.rmtree(variables)
            variables.symlink_to(outside / "9" / "variables")
        else:
            (base / "9" / "assets" / "loop").symlink_to(".")
            (base / "9" / "assets" / "self").symlink_to("self")
    repository.poll()
    repository.poll()
    (_, state, error), good = repository.status("times")
    assert (state, good) == ("END", (1, "AVAILABLE", ""))
    if kind != "loop":
        assert "copy" in error
        assert "Received: a link to " in error
    events = [json.loads(record.message) for record in caplog.records]
    assert [event["event"] for event in events if event.get("version") == 9] == ["not loaded"]  # once


@pytest.mark.regression
def test_links_within_a_version_and_between_versions_are_followed(base):
    write_version(base, 9)
    data = base / "9" / "..2024"
    data.mkdir()  # as Kubernetes mounts a ConfigMap
    (base / "9" / "saved_model.pb").rename(data / "saved_model.pb")
    (base / "9" / "..data").symlink_to("..2024")
    (base / "9" / "saved_model.pb").symlink_to("..data/saved_model.pb")
    (base / "10").symlink_to("9")
    repository = Repository(base.parent, ["times"])
    repository.poll()
    assert repository.status("times") == [(10, "AVAILABLE", "")]


@pytest.mark.parametrize("damage", ["graph", "weights", "warmup", "signature", "memory"])
def test_a_damaged_version_does_not_replace_a_good_one(exported, tmp_path, damage, caplog, monkeypatch):
    folder = exported(tmp_path, "rotation_mnist_hyper")
    bad = folder / "rotation_mnist_hyper" / "2"
    shutil.copytree(bad.with_name("1"), bad)
    if damage == "graph":
        (bad / "saved_model.pb").write_bytes(b"\x0a\xff\xff")
    elif damage == "weights":
        (bad / "variables" / "variables.index").unlink()
    else:
        from keras_hypernet.serving import warmup
        from keras_hypernet.serving.signatures import Input, Signature

        signature = "nothing" if damage == "signature" else "serving_default"
        size = 2**50 if damage == "memory" else 3
        row = {"x": np.broadcast_to(np.uint8(0), (1, size))}
        monkeypatch.setattr(warmup, "example", lambda signature: row)
        warmup.write_warmup([Signature(signature, None, (Input("x", "uint8", (None, size)),))], bad, "any")
    engine = Engine(folder, ["rotation_mnist_hyper"])
    bad.rename(folder / "aside")
    engine.repository.poll()
    (folder / "aside").rename(bad)
    engine.repository.poll()
    engine.repository.poll()  # an unchanged version is not tried again
    (_, state, error), good = engine.repository.status("rotation_mnist_hyper")
    assert (state, good[1:]) == ("END", ("AVAILABLE", ""))
    expected = {
        "warmup": "A warm-up request for 'serving_default' in ",
        "signature": "must be for a signature. Received: 'nothing'",
        "memory": "MemoryError: ",
    }
    assert expected.get(damage, "must hold a SavedModel") in error
    events = [json.loads(record.message) for record in caplog.records]
    assert [event["event"] for event in events if event.get("version") == 2] == ["not loaded"]
    shutil.rmtree(bad)
    shutil.copytree(bad.with_name("1"), bad)
    engine.repository.poll()
    assert engine.repository.status("rotation_mnist_hyper")[0][:2] == (2, "AVAILABLE")
    engine.close()


def test_an_incomplete_version_is_served_once_complete(exported, tmp_path):
    folder, whole, name = tmp_path / "models", tmp_path / "whole", "rotation_mnist_hyper"
    folder.mkdir()
    shutil.copytree(exported(folder, name) / name / "1", whole)
    repository = Repository(folder, [name])
    repository.poll()
    (folder / name / "2").mkdir()
    shutil.copy2(whole / "saved_model.pb", folder / name / "2")  # with its old time, as rsync does
    repository.poll()
    assert [state for _, state, _ in repository.status(name)] == ["END", "AVAILABLE"]
    shutil.copytree(whole, folder / name / "2", dirs_exist_ok=True)
    repository.poll()
    assert [state for _, state, _ in repository.status(name)] == ["AVAILABLE", "END"]


def test_a_folder_that_is_away_for_a_moment_changes_nothing(base, caplog):
    folder, away = base.parent, base.parent.with_name("away")
    (folder / "models.config").write_text(
        "model_config_list { config { name: 'times' base_path: '/models/times' version_labels { key: 'a' value: 1 } } }"
    )
    with serve(folder, "times") as server, Client(f"127.0.0.1:{server.rest_port}", "times", version="a") as client:
        folder.rename(away)
        wait_for(lambda: "the folder of models could not be read" in caplog.text)
        assert client.predict(np.float32([1])).tolist() == [1.0]
        away.rename(folder)
        write_version(base, 2)
        wait_for(lambda: Client(f"127.0.0.1:{server.rest_port}", "times").status().get(2) == "AVAILABLE")


def test_an_unreadable_model_folder_affects_no_other_model(base):
    folder = base.parent
    (folder / "after").mkdir()
    write_version(folder / "after", 1)
    repository = Repository(folder, ["times", "after"])
    repository.poll()
    base.rename(folder / "aside")
    base.touch()  # no folder: root could read one that is forbidden
    write_version(folder / "after", 2)
    with pytest.raises(NotADirectoryError):
        repository.poll()
    assert repository.status("times") == [(1, "AVAILABLE", "")]
    assert repository.status("after")[0] == (2, "AVAILABLE", "")
    base.unlink()
    repository.poll()  # the folder has been deleted
    assert repository.status("times") == [(1, "END", "")]


def test_an_emptied_folder_serves_nothing(base):
    with serve(base.parent, "times") as server:
        client = Client(f"127.0.0.1:{server.grpc_port}", "times", protocol="grpc")
        assert client.predict(np.float32([1])).tolist() == [1.0]
        shutil.rmtree(base / "1")
        wait_for(lambda: client.status() == {1: "END"})
        with pytest.raises(NotFoundError, match=r"Servable not found for request: Latest\(times\)"):
            client.predict(np.float32([1]))
        url = f"http://127.0.0.1:{server.rest_port}"
        answer = requests.get(f"{url}/v1/models/times", timeout=60).json()
        assert answer["model_version_status"][0]["state"] == "END"
        health = requests.get(f"{url}/healthz", timeout=60)
        assert (health.status_code, health.json()) == (
            503,
            {"error": "Every model must have a version that is available. Without: ['times']"},
        )
