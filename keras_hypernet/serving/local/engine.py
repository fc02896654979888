"""Engine: what REST and gRPC have in common: which version answers, the limits, the checks, the run, the counting."""

import asyncio
import concurrent.futures
import dataclasses
import os
import time

import numpy as np

from keras_hypernet.layers.contraction import may_match
from keras_hypernet.serving.errors import ServingError, invalid, too_large
from keras_hypernet.serving.local.cache import WeightCache
from keras_hypernet.serving.local.halves import run_default
from keras_hypernet.serving.local.limits import Admission, Limits, Place
from keras_hypernet.serving.local.metrics import Metrics
from keras_hypernet.serving.local.repository import Repository


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """What a request asks for: the model, and one of its versions by number or label, or the latest."""

    name: str
    version: int | None = None
    label: str | None = None


class Engine:
    """Answers requests with the models of a `Repository`, in threads.

    Args:
        folder: Folder of all exported models.
        names: The models to serve.
        limits: `Limits`.
        cache_bytes: How much the weights of earlier conditions may take; 0 turns their cache off.
    """

    def __init__(self, folder, names, limits=None, cache_bytes=64 * 2**20):
        self.limits = limits or Limits()
        self.cache = WeightCache(cache_bytes)
        self.repository = Repository(folder, names, on_unload=self.cache.drop)
        self.metrics = Metrics(self)
        self.admission = Admission(self.limits)
        # More than there are processors: one request is parsed while another one runs.
        self._threads = concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1), "serving")

    def close(self):
        """Ends the threads, after what they are doing."""
        self._threads.shutdown(wait=True)

    @property
    def running(self):
        """Number of the requests that are worked on."""
        return self.admission.running

    async def predict(self, api, spec, work, read=None):
        """Reads a request and does its work in a thread, within the limit of concurrent requests, and counts it.

        Args:
            api: `"REST"` or `"gRPC"`, for the metrics.
            spec: The `ModelSpec`.
            work: Function of the `Servable`, and of the body if there is one to read, called in the thread.
            read: Coroutine function of the `Place` of the request that returns its body.

        Returns:
            What `work` returns.

        Raises:
            ServingError: If the request is one too many, or there is no such version; and those of `work` and `read`.
        """
        started, code = time.perf_counter(), "INTERNAL"
        try:
            result = await asyncio.wrap_future(await self._submit(spec, work, read))
            code = "OK"
            return result
        except ServingError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            self.metrics.count(spec.name, api, code, time.perf_counter() - started)

    async def _submit(self, spec, work, read):
        place, future = Place(self.admission), None
        try:
            body = () if read is None else (await read(place),)
            place.enter()
            future = self._threads.submit(self._work, spec, work, *body)
        finally:
            if future is None:
                place.leave()
        # Not when the client has gone, but when the thread is done.
        future.add_done_callback(lambda _: place.leave())
        return future

    def _work(self, spec, work, *body):
        with self.repository.use(spec.name, spec.version, spec.label) as servable:
            try:
                return work(servable, *body)
            except MemoryError as error:
                raise ServingError("RESOURCE_EXHAUSTED", "The request needs more memory than there is.") from error

    def run(self, servable, signature, inputs, value_bytes=None):
        """Checks the inputs of a request against a signature and runs it.

        Args:
            servable: A `Servable`.
            signature: Name of one of its signatures.
            inputs: Dict of arrays of the right dtypes.
            value_bytes: Bytes that a value of the answer will take; by default those of its dtype.

        Returns:
            A dict of arrays.

        Raises:
            ServingError: If a shape does not fit, a limit is exceeded, or TensorFlow refuses them.
        """
        rows = self._check(servable, signature, inputs)
        infos = servable.outputs[signature].values()
        self._check_answer(rows * sum((info.row_values or 0) * (value_bytes or info.dtype.itemsize) for info in infos))
        if signature == "serving_default":
            outputs = run_default(servable, inputs, self.cache)
        else:
            outputs = servable.run(signature, inputs)
        outputs = {name: np.asarray(value) for name, value in outputs.items()}
        # Again: not all sizes are known before.
        self._check_answer(sum(value.size * (value_bytes or value.itemsize) for value in outputs.values()))
        return outputs

    def _check(self, servable, signature, inputs):
        """Raises ServingError unless inputs fit a signature; returns the number of rows."""
        rows = {}
        for name, info in servable.inputs[signature].items():
            shape = inputs[name].shape
            sizes = info.shape
            fits = sizes is None or (
                len(shape) == len(sizes) and all(s in (None, r) for s, r in zip(sizes, shape, strict=True))
            )
            if not fits:
                expected = ",".join("?" if size is None else str(size) for size in sizes)
                raise invalid(
                    f"Input {name!r} must have the shape [{expected}]. Received: [{','.join(map(str, shape))}]"
                )
            if shape and sizes and sizes[0] is None:
                rows[name] = shape[0]
        for name, number in rows.items():
            if not may_match(rows.get("x"), number):
                raise invalid(f"Input {name!r} must have one row, or as many as x, {rows['x']}. Received: {number}")
        most = max(rows.values(), default=1)
        if most > self.limits.max_batch_rows:
            raise too_large(
                f"A request may have {self.limits.max_batch_rows} rows. Received: {most}. Send it in parts."
            )
        return most

    def _check_answer(self, size):
        if size > self.limits.max_body_bytes:
            raise too_large(
                f"The answer would take {size:,} bytes, and may {self.limits.max_body_bytes:,}. Send it in parts."
            )


def check_signature(servable, signature, code="INVALID_ARGUMENT"):
    """Raises ServingError unless a model has a signature, in the words of TensorFlow Serving's two interfaces."""
    if signature not in servable.inputs:
        if code == "FAILED_PRECONDITION":
            raise ServingError(code, f'Serving signature key "{signature}" not found.')
        raise invalid(f'Serving signature name: "{signature}" not found in signature def')
