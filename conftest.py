"""Fixtures for all tests, those of the package's doctests included."""

import functools
import gc
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Threads of OpenBLAS wait actively, so the workers of pytest would take processors from each other. OpenBLAS 0.3.31 can
# also wait forever, because a fork ends its threads even while another thread multiplies matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis  # noqa: F401  (once imported, it does not look for its objects among those frozen below)
import pytest

# Fixtures import Keras: the process that only distributes the tests starts its workers without it.

# The search for doctests would import the first module a second time, under another name; only the interpreter of
# Triton can import the second module.
collect_ignore = ["tests/product_task.py", "tests/serving/triton_model.py"]


def pytest_collection_finish():
    gc.enable()
    gc.collect()
    gc.freeze()  # what is imported is not looked through again after each model, which takes longer than many a test


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also run the tests marked `full`: load, attacks, repetitions")


# For `pytest -m gpu`: products in full precision, in which results are compared, and several processes on one device.
ON_GPU = {
    "JAX_DEFAULT_MATMUL_PRECISION": "float32",
    "NVIDIA_TF32_OVERRIDE": "0",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


def _for_gpu(config):
    return "gpu" in config.getoption("markexpr").split()


def pytest_configure(config):
    gc.disable()  # until all modules are imported
    if _for_gpu(config):
        os.environ.update(ON_GPU)


# Files of the longest tests: begun last, they would keep one worker busy after all others have ended.
FIRST = [
    "tests/runs/test_cluster.py",
    "tests/test_examples.py",
    "tests/test_readme.py",
    "tests/tuning/test_workers.py",
    "tests/experiments/test_runner.py",
]


def pytest_collection_modifyitems(config, items):
    files = {config.rootpath / name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: files.get(item.path, len(files)))
    if not config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason="takes long: `pytest --full` runs it"))
    if _for_gpu(config):
        import keras

        from keras_hypernet.common.backends import device

        if device() == "cpu":
            reason = f"needs an accelerator, and Keras's backend {keras.config.backend()!r} finds none"
            for item in items:
                if item.get_closest_marker("gpu"):
                    item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _seeded():
    import keras

    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True)
def _names(doctest_namespace):
    import keras

    import keras_hypernet

    doctest_namespace.update(keras=keras, keras_hypernet=keras_hypernet)


@pytest.fixture(scope="module", autouse=True)
def _frozen():
    gc.freeze()  # Keras collects garbage after each trial and run: among what the tests before have left, too


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Returns a function that returns a folder which another function fills: once for the tests of all processes."""
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    base = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    base.mkdir(exist_ok=True)

    def once(name, fill):
        folder, complete = base / name, base / f"{name}.complete"
        with FileLock(base / f"{name}.lock"):
            if not complete.exists():
                fill(folder)
                complete.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def exported(once):
    """Returns a function that puts exports of zoo entries into a folder, each of which is made once in all tests."""
    import keras_hypernet
    from keras_hypernet.serving.config import write_configs

    def put(folder, *names):
        for name in names:
            made = once(f"export_{name}", functools.partial(keras_hypernet.export, name))
            shutil.copytree(made / name / "1", folder / name / "1")
            write_configs(folder, name)
        return folder

    return put


@pytest.fixture(scope="session")
def searched(once):
    """The result of two trials of a grid over the depths of the tiny task."""
    from tiny_search import tiny_search

    from keras_hypernet.tuning.result import SearchResult

    return SearchResult.read(once("searched", lambda folder: tiny_search(trials=2, directory=folder)))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def source():
    """Returns a function that returns a data source, or skips the test if this machine does not have it."""

    def get(name):
        from keras_hypernet.data.sources import get_source
        from keras_hypernet.data.tfds import prepared_in

        data = get_source(name)
        if data.in_paper and prepared_in(name) is None:
            pytest.skip(f"the data set {name} is not on this machine: see TFDS_DATA_DIR in docs/experiments.md")
        return data

    return get


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Returns a function that prepares a data set, which TensorFlow Datasets does not know, on disk.

    The pixels of an image are its label; the images of the training split come first.
    """
    import numpy as np
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    def prepare(name, sizes, shape=(5, 7, 3), dtype="uint8", given=("image", "label")):
        ends = np.cumsum(list(sizes.values()))

        class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                image = tfds.features.Image(shape=shape, dtype=np.dtype(dtype).type)
                features = {
                    "image": image,
                    "label": tfds.features.ClassLabel(num_classes=int(ends[-1])),
                    "id": np.int64,
                }
                features = {feature: features[feature] for feature in (*given, "id")}
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

            def _split_generators(self, manager):
                return {split: self._generate(end - sizes[split], end) for split, end in zip(sizes, ends, strict=True)}

            def _generate_examples(self):
                raise NotImplementedError

            def _generate(self, first, end):
                for number in range(first, end):
                    size = [5 + number % 2 if side is None else side for side in shape]
                    example = {"image": np.full(size, number, dtype), "label": number, "id": number}
                    yield number, {feature: example[feature] for feature in (*given, "id")}

        Tiny.name = name
        Tiny(data_dir=tmp_path).download_and_prepare()

    return prepare


@pytest.fixture
def run_command(monkeypatch, capfd):
    """Returns a function that runs `keras-hypernet` in this process."""
    from keras_hypernet_cli.app import run

    def run_command(*arguments):
        monkeypatch.setattr(sys, "argv", ["keras-hypernet", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            run()
        captured = capfd.readouterr()
        return SimpleNamespace(returncode=stopped.value.code, stdout=captured.out, stderr=captured.err)

    return run_command


@pytest.fixture
def run_tune(monkeypatch, run_command, tmp_path):
    """Returns a function that runs `keras-hypernet tune` in this process, in a folder of its own, on a tiny task."""
    from tiny_search import TASK

    import keras_hypernet

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments, tiny=True, command="tune"):
        if tiny:
            monkeypatch.setattr(keras_hypernet.tuning, "get_search_task", lambda name, seed, quick: TASK, raising=False)
        done = run_command(command, *arguments)
        monkeypatch.undo() if not tiny else None
        return done

    return run
