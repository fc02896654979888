"""Engine: the common part of REST and gRPC: selection of a version, limits, input checks, execution, counting."""

import asyncio
import concurrent.futures
import os
import time
from typing import NamedTuple

import numpy as np

from keras_hypernet.layers.contraction import may_match
from keras_hypernet.models.shapes import fits
from keras_hypernet.serving.errors import ServingError, invalid, too_large
from keras_hypernet.serving.local.bodies import Buffered
from keras_hypernet.serving.local.cache import WeightCache, run_default
from keras_hypernet.serving.local.limits import Limits
from keras_hypernet.serving.local.metrics import Metrics
from keras_hypernet.serving.local.repository import Repository


class ModelSpec(NamedTuple):
    """The model of a request, and one of its versions by number or label; by default the latest."""

    name: str
    version: int | None = None
    label: str | None = None


class Engine:
    """Runs requests in threads with the models of a `Repository`; arguments are those of `Server`."""

    def __init__(self, folder, names, limits=None, cache_bytes=64 * 2**20):
        self.limits = limits or Limits()
        self.cache = WeightCache(cache_bytes)
        self.repository = Repository(folder, names, on_unload=self.cache.drop)
        self.metrics = Metrics(self)
        self.buffered = Buffered(self.limits)
        # Of requests, until their threads are done, which may be after the client has disconnected.
        self.running = set()
        # More threads than processors, so that one request is parsed while another runs.
        self._threads = concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1), "serving")

    def close(self):
        """Ends the threads after their current requests."""
        self._threads.shutdown(wait=True)

    async def predict(self, api, spec, work, read=None):
        """Reads a request of `"REST"` or `"gRPC"`, executes it in a thread within the limits, and counts it.

        The coroutine function `read` reads the body. A request still being read does not count as running, so that slow
        clients do not block other clients. `work` receives the `Servable`, and returns the response.
        """
        started, code = time.perf_counter(), "INTERNAL"
        try:
            if read is not None:
                await read()
            result = await asyncio.wrap_future(self._start(spec, work))
            code = "OK"
            return result
        except (ServingError, asyncio.CancelledError) as error:
            code = getattr(error, "code", "CANCELLED")
            raise
        finally:
            self.metrics.count(spec.name, api, code, time.perf_counter() - started)

    def _start(self, spec, work):
        if len(self.running) >= self.limits.max_concurrent:
            works = f"The server is working on {len(self.running)} requests, as many as it accepts."
            raise ServingError("RESOURCE_EXHAUSTED", f"{works} Try again later.")
        future = self._threads.submit(self._work, spec, work)
        self.running.add(future)
        future.add_done_callback(self.running.discard)
        return future

    def _work(self, spec, work):
        with self.repository.use(*spec) as servable:
            try:
                return work(servable)
            except MemoryError as error:
                raise ServingError("RESOURCE_EXHAUSTED", "The request needs more memory than there is.") from error

    def run(self, servable, signature, inputs, facts, value_bytes=None):
        """Checks inputs, a dict of arrays of the correct dtypes, runs a signature of a `Servable`, and returns arrays.

        The facts for the log receive the number of rows. For the limit on the response, a value counts as
        `value_bytes`; by default, as the size of its dtype.
        """
        facts["rows"] = max((len(value) for value in inputs.values() if np.ndim(value)), default=0)
        rows = self._check(servable, signature, inputs)
        infos = servable.outputs[signature].values()
        self._check_answer(rows * sum((info.row_values or 0) * (value_bytes or info.dtype.itemsize) for info in infos))
        if signature == "serving_default":
            outputs = run_default(servable, inputs, self.cache)
        else:
            outputs = servable.run(signature, inputs)
        outputs = {name: np.asarray(value) for name, value in outputs.items()}
        # Again, because some sizes are unknown before the run.
        self._check_answer(sum(value.size * (value_bytes or value.itemsize) for value in outputs.values()))
        return outputs

    def _check(self, servable, signature, inputs):
        """Raises ServingError unless inputs fit a signature; returns the number of rows."""
        rows = {}
        for name, info in servable.inputs[signature].items():
            shape, expected = inputs[name].shape, info.shape
            if expected is not None and not fits(shape, expected):
                sizes = ",".join("?" if size is None else str(size) for size in expected)
                raise invalid(f"Input {name!r} must have the shape [{sizes}]. Received: [{','.join(map(str, shape))}]")
            if shape and expected and expected[0] is None:
                rows[name] = shape[0]
        of_x = next((number for name, number in rows.items() if name == "x" or name.startswith("x_")), None)
        for name, number in rows.items():
            if not may_match(of_x, number):
                raise invalid(f"Input {name!r} must have one row, or as many as x, {of_x}. Received: {number}")
        most, allowed = max(rows.values(), default=1), self.limits.max_batch_rows
        if most > allowed:
            raise too_large(f"A request may have {allowed} rows. Received: {most}. Send it in parts.")
        return most

    def _check_answer(self, size):
        allowed = self.limits.max_body_bytes
        if size > allowed:
            raise too_large(f"The response would have {size:,} bytes, of {allowed:,} allowed. Send it in parts.")
