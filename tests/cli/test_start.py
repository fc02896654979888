"""The console script as a process: its streams, its backend, its imports, interrupts."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest


def _script(*arguments, **environment):
    """Runs the console script, as installed."""
    command = [sys.executable, "-m", "keras_hypernet_cli", *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_script_says_nothing_but_the_error():
    done = _script("info", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: There is no entry 'nothing'")


@pytest.mark.regression
@pytest.mark.full
def test_closed_streams_are_no_error(tmp_path):
    command = f"{shlex.quote(sys.executable)} -m keras_hypernet_cli list --json <&- 2>&-"
    # And what the configuration file of Keras says is not what the command line needs.
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        command, shell=True, env={**environment, "KERAS_HOME": str(tmp_path)}, stdout=subprocess.PIPE, check=True
    )
    assert "rotation_mnist_hyper" in [card["name"] for card in json.loads(done.stdout)]


@pytest.mark.regression
@pytest.mark.parametrize("backend", ["jax", "torch", "openvino", "nothing"])
def test_another_backend_is_one_line(backend):
    done = _script("list", KERAS_BACKEND=backend)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: The command line needs KERAS_BACKEND=tensorflow. Received: {backend!r}\n"


@pytest.mark.full
def test_debug_shows_the_traceback():
    done = _script("info", "nothing", "--debug")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_failing_import_is_shown(tmp_path):
    (tmp_path / "keras.py").write_text("import os\nos.write(2, b'held back')\nraise ImportError('no backend')")
    code = "import sys; sys.path.insert(0, sys.argv.pop()); import keras_hypernet_cli as script; script.main()"
    done = subprocess.run([sys.executable, "-c", code, "list", tmp_path], capture_output=True, text=True, check=False)
    assert done.stderr.startswith("held backTraceback")
    assert done.stderr.endswith("ImportError: no backend\n")


@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_an_interrupt_is_no_traceback(seconds):
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)  # which background jobs ignore\n"
        "import keras_hypernet_cli as script; print(flush=True); script.main()"
    )
    command = [sys.executable, "-c", code, "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)  # which a shell calls 130, too
    assert error == ""


@pytest.mark.full
@pytest.mark.regression
def test_a_command_that_is_done_ends_without_looking_through_all_that_was_imported():
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 100_000, len(gc.get_objects())))\n"
        "import keras_hypernet_cli as script; sys.argv[1:] = ['list', '--json']; script.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    frozen, looked_through = done.stdout.split()[-2:]
    assert frozen == "True"
    assert int(looked_through) < 10_000
