"""Exports of every kind through TensorFlow's own C++ loader, which TensorFlow Serving loads with, by a C program."""

import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from helpers import ROOT, mostly_full
from servers import entries_of_each_kind

import keras_hypernet as kh
from keras_hypernet.serving.signatures import signatures

SOURCE = pathlib.Path(__file__).parent / "run_saved_model.c"
COMMITTED = ROOT / "saved_models"
PLAIN = ("rotation_mnist_hyper",)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled program."""
    import tensorflow as tf

    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("c")
    # The linker looks for names without the number that the wheel's libraries have.
    for library in pathlib.Path(tf.sysconfig.get_lib()).glob("libtensorflow_*.so.2"):
        (folder / library.name.removesuffix(".2")).symlink_to(library)
    command = [
        *["gcc", "-std=c11", "-O1", "-Wall", "-Werror", "-o", folder / "run", SOURCE],
        *["-isystem", tf.sysconfig.get_include(), "-L", folder, "-l", "tensorflow_cc", "-l", "tensorflow_framework"],
        *["-lm", f"-Wl,-rpath,{tf.sysconfig.get_lib()}"],
        *(["-fuse-ld=gold"] if shutil.which("ld.gold") else []),  # links a gigabyte in a seventh of the time
    ]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def stored_examples(model, batch=3):
    """Pairs of inputs and expected outputs for each signature, computed by Keras."""
    rng, theta = np.random.default_rng(0), {}
    for signature in signatures(model):
        inputs = {}
        for tensor in signature.inputs:
            shape = [batch, *(size or 5 for size in tensor.shape[1:])]
            if tensor.name in theta:
                inputs[tensor.name] = theta[tensor.name][:1]  # one set of weights for all of x
            elif tensor.dtype == "uint8":
                inputs[tensor.name] = rng.integers(0, 256, shape, "uint8")
            elif tensor.dtype == "int32":  # numbers of tasks
                inputs[tensor.name] = rng.integers(0, 3, shape, "int32")
            else:
                inputs[tensor.name] = rng.normal(size=shape).astype("float32")
        outputs = {name: value.numpy() for name, value in signature.function(**inputs).items()}
        theta = theta or (outputs if signature.name in ("generate_weights", "embed") else {})
        yield signature.name, inputs, outputs


def write_manifest(model, version, folder):
    """Writes the tensors and the manifest of the program; returns its path and the names of the signatures."""
    from tensorflow.core.protobuf import saved_model_pb2

    meta = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes()).meta_graphs[0]
    lines, names = [], []
    for name, inputs, outputs in stored_examples(model):
        definition = meta.signature_def[name]
        assert set(definition.inputs) == set(inputs)
        assert set(definition.outputs) == set(outputs)
        lines.append(f"signature {name}")
        for kind, tensors, infos in (("input", inputs, definition.inputs), ("output", outputs, definition.outputs)):
            for tensor, value in tensors.items():
                path = folder / f"{name}.{kind}.{tensor}"
                path.write_bytes(np.ascontiguousarray(value).tobytes())
                operation, index = infos[tensor].name.split(":")
                shape = f"{infos[tensor].dtype} {value.ndim} {' '.join(map(str, value.shape))}"
                lines.append(f"{kind} {operation} {index} {f'{shape} ' if kind == 'input' else ''}{path}")
        lines.append("run")
        names.append(name)
    (folder / "manifest").write_text("\n".join(lines) + "\n")
    return folder / "manifest", names


def run(program, model, version, folder):
    """Runs every signature; returns the differences relative to the largest expected value of each."""
    manifest, names = write_manifest(model, version, folder)
    done = subprocess.run(
        [str(program), str(version), str(manifest)],
        capture_output=True,
        text=True,
        check=False,
        env={"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == names
    return {name: float(difference) / max(float(scale), 1e-3) for name, difference, scale in rows}


@pytest.mark.parametrize("name", mostly_full(entries_of_each_kind(*PLAIN), *PLAIN))
def test_entries_of_every_kind_run_without_python(program, exported, name, tmp_path):
    model, version = kh.load(name), exported(tmp_path, name) / name / "1"
    differences = run(program, model, version, tmp_path)
    assert set(differences) in [
        {"serving_default"},
        {"serving_default", "generate_weights", "apply"},
        {"serving_default", "embed", "apply"},
    ]
    assert max(differences.values()) < 2e-5, differences
    if name == "rotation_mnist_hyper":  # the program finds wrong outputs
        first = model.primary[-1].trainable_variables[0]
        first.assign(first * 1.01)
        assert run(program, model, version, tmp_path)["serving_default"] > 1e-3


@pytest.mark.parametrize("name", mostly_full(["rotation_mnist_hyper", "rotation_cifar_hyper"], "rotation_cifar_hyper"))
def test_committed_exports_run_without_python(program, name, tmp_path):
    if not COMMITTED.is_dir():
        pytest.skip("this is not a checkout: saved_models/ is not installed")
    (version,) = [path for path in (COMMITTED / name).iterdir() if path.name.isdecimal()]
    assert max(run(program, kh.load(name), version, tmp_path).values()) < 2e-5
