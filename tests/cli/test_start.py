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
def test_closed_streams_are_no_error_and_the_end_looks_through_nothing_that_was_imported(tmp_path):
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 100_000, len(gc.get_objects())))\n"
        "import keras_hypernet_cli as script; sys.argv[1:] = ['list', '--json']; script.main()"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} <&- 2>&-"
    # And what the configuration file of Keras says is not what the command line needs.
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        command,
        shell=True,
        env={**environment, "KERAS_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    *cards, counts = done.stdout.splitlines()
    assert "rotation_mnist_hyper" in [card["name"] for card in json.loads("".join(cards))]
    frozen, looked_through = counts.split()
    assert frozen == "True"
    assert int(looked_through) < 10_000


@pytest.mark.regression
@pytest.mark.parametrize("backend", ["jax", "torch", "openvino", "nothing"])
def test_another_backend_is_one_line(backend):
    done = _script("list", KERAS_BACKEND=backend)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: The command line needs KERAS_BACKEND=tensorflow. Received: {backend!r}\n"


def test_debug_keeps_the_exception(monkeypatch):
    """Of which Python shows the traceback."""
    from keras_hypernet_cli.app import run

    monkeypatch.setattr(sys, "argv", ["keras-hypernet", "info", "nothing", "--debug"])
    with pytest.raises(ValueError, match="There is no entry 'nothing'"):
        run()


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
