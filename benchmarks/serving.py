"""The local server by REST and gRPC, against `model.predict` in this process and a FastAPI endpoint around it.

    python benchmarks/serving.py            # about 11 minutes on two cores; needs the extras serving and benchmarks
    python benchmarks/serving.py --quick    # a minute; writes benchmarks/serving_quick.json

rotation_cifar_hyper with a condition per row; one client, which waits for each answer. The contenders take turns. The
latency is that of the client, with its encoding and decoding. `apply` sends the weights of one condition with every
request; "one condition, kept" sends the condition with all rows, and the server caches the weights. The same signatures
of the SavedModel, run in this process, show the time without transport. Images as JSON take seconds in batches of 256,
so these contenders have fewer calls, spread among the others' calls; p99 of fewer than a hundred calls is nearly the
maximum. At the end, a fresh server's memory is measured after many requests, with a full cache that evicts.
"""

import argparse
import contextlib
import functools
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import requests
import tensorflow as tf
from measure import interleaved, report

import keras_hypernet as kh

NAME = "rotation_cifar_hyper"
BATCHES = (1, 256)
# About 68 conditions of the POOL, which recur during the measurement of memory.
CACHE_MIB, POOL = 8, 200
# The weights of 256 conditions take 151 MiB in JSON.
MAX_BODY_MIB = 256
# (calls of each contender at each batch size, calls with JSON in batches of 256, requests before the first and second
# measurement of memory)
SIZES = {False: ({1: 300, 256: 100}, 6, (1_000, 100_000)), True: ({1: 20, 256: 6}, 1, (100, 500))}


@contextlib.contextmanager
def process(command, ready):
    """Runs a server process; starts the block once `ready()` is true."""
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as running:
        try:
            end = time.monotonic() + 300
            while not ready():
                if running.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise RuntimeError(log.read().decode())
                time.sleep(0.05)
            yield running
        finally:
            running.terminate()


def answers(url):
    """Whether a GET returns 200."""
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def free_ports(number):
    """Ports without a listener."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def serve(folder, cache):
    """The local server, its REST and gRPC ports."""
    rest, grpc = free_ports(2)
    options = {"--models": folder, "--rest-port": rest, "--grpc-port": grpc, "--weight-cache": cache}
    options["--max-body"] = MAX_BODY_MIB
    arguments = [str(part) for pair in options.items() for part in pair]
    command = [sys.executable, "-m", "keras_hypernet_cli", "serve", NAME, *arguments, "--no-access-log"]
    return process(command, lambda: answers(f"http://127.0.0.1:{rest}/v1/models/{NAME}")), rest, grpc


def resident_mib(pid):
    """The memory of a process."""
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run_signature(function, inputs):
    """Runs a signature of a SavedModel: NumPy in and out."""
    outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def contenders(batch, clients, cached, fastapi, model, saved_model):
    """Functions without arguments, by name; each sends one request and waits for the answer."""
    rng = np.random.default_rng(0)
    x, condition = rng.integers(0, 256, (2, batch, 32, 32, 3), "uint8")
    theta = clients["gRPC"].generate_weights(condition[:1])
    signatures = tf.saved_model.load(saved_model).signatures
    runs = {"predict, in this process": lambda: model.predict({"x": x, "condition": condition}, verbose=0)}
    for name, inputs in {"serving_default": {"x": x, "condition": condition}, "apply": {"x": x, **theta}}.items():
        runs[f"{name}, in this process"] = functools.partial(run_signature, signatures[name], inputs)
    for protocol, client in clients.items():
        runs[f"serving_default, {protocol}"] = lambda client=client: client.predict(x, condition)
        runs[f"generate_weights, {protocol}"] = lambda client=client: client.generate_weights(condition)
        runs[f"apply, {protocol}"] = lambda client=client: client.apply(x, theta)
    runs["serving_default, one condition, kept, gRPC"] = lambda: cached.predict(x, condition[:1])

    session = requests.Session()  # keeps the connection, as the other clients do

    def ask_fastapi():
        answer = session.post(fastapi, json={"x": x.tolist(), "condition": condition.tolist()}, timeout=600)
        return np.array(answer.json()["logits"])

    runs["predict, FastAPI"] = ask_fastapi
    expected = runs["predict, in this process"]()
    for name in ("serving_default, gRPC", "serving_default, REST", "predict, FastAPI"):
        np.testing.assert_allclose(runs[name](), expected, atol=1e-3)
    return runs


def main(quick):
    rounds, json_rounds, looks = SIZES[quick]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        saved_model = str(kh.export(NAME, folder))
        plain, rest, grpc = serve(folder, cache=0)
        stack.enter_context(plain)
        keeping, _, cached_grpc = serve(folder, cache=CACHE_MIB)
        stack.enter_context(keeping)
        (port,) = free_ports(1)
        fastapi = [sys.executable, str(pathlib.Path(__file__).parent / "fastapi_server.py"), NAME, str(port)]
        stack.enter_context(process(fastapi, lambda: answers(f"http://127.0.0.1:{port}/")))
        clients = {
            "REST": kh.serving.Client(f"127.0.0.1:{rest}", NAME, timeout=600),
            "gRPC": kh.serving.Client(f"127.0.0.1:{grpc}", NAME, protocol="grpc", timeout=600),
        }
        cached = kh.serving.Client(f"127.0.0.1:{cached_grpc}", NAME, protocol="grpc", timeout=600)
        model = kh.load(NAME)
        rows, rates = [], {}
        for batch in BATCHES:
            runs = contenders(batch, clients, cached, f"http://127.0.0.1:{port}/predict", model, saved_model)
            often = dict.fromkeys(runs, rounds[batch])
            if batch > 1:
                often.update({name: json_rounds for name in runs if name.endswith(("REST", "FastAPI"))})
            for name, times in interleaved(runs, often, warmup=1).items():
                rates[name, batch] = batch / float(np.mean(times))
                p50, p99 = np.percentile(times, [50, 99])
                rows.append([name, batch, len(times), 1000 * float(p50), 1000 * float(p99), rates[name, batch]])
    with tempfile.TemporaryDirectory() as folder:
        kh.export(NAME, folder)
        fresh, _, grpc = serve(folder, cache=CACHE_MIB)  # a fresh server
        with fresh as running, kh.serving.Client(f"127.0.0.1:{grpc}", NAME, protocol="grpc", timeout=600) as client:
            memory = grow(client, running.pid, looks)
    largest = BATCHES[-1]
    facts = {
        "grpc_over_fastapi": rates["serving_default, gRPC", largest] / rates["predict, FastAPI", largest],
        "apply_over_default_in_process": rates["apply, in this process", largest]
        / rates["serving_default, in this process", largest],
        "apply_over_default": rates["apply, gRPC", largest] / rates["serving_default, gRPC", largest],
        "kept_over_default": rates["serving_default, one condition, kept, gRPC", largest]
        / rates["serving_default, gRPC", largest],
        "memory_mib": memory,
        "memory_growth": memory[1] / memory[0] - 1,
        "memory_after_requests": looks,
    }
    print(json.dumps(facts, indent=2))
    columns = ["", "rows", "calls", "p50 (ms)", "p99 (ms)", "rows a second"]
    report("serving_quick" if quick else "serving", f"Serving {NAME}", columns, rows, **facts)


def grow(client, pid, looks):
    """The server's memory after two numbers of requests: every signature, with new and repeated conditions."""
    rng = np.random.default_rng(1)
    pool = rng.integers(0, 256, (POOL, 1, 32, 32, 3), "uint8")
    x = rng.integers(0, 256, (4, 32, 32, 3), "uint8")
    theta, memory = client.generate_weights(x[:1]), []
    for number in range(1, looks[1] + 1):
        if number % 3 == 0:
            client.apply(x, theta)
        elif number % 3 == 1:
            client.predict(x, pool[number % POOL])
        else:
            client.predict(x[:1], rng.integers(0, 256, (1, 32, 32, 3), "uint8"))
        if number in looks:
            memory.append(resident_mib(pid))
    return memory


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    main(parser.parse_args().quick)
