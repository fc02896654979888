"""Client: NumPy in and out, for TensorFlow Serving and the local server by REST or gRPC, and for KServe's protocol."""

import collections.abc
import contextlib
import random
import re
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_hypernet.common.checks import MOST_SECONDS, check_choice, finite, integer
from keras_hypernet.serving.config import FIRST_HALVES
from keras_hypernet.serving.errors import InvalidRequestError, UnavailableError
from keras_hypernet.serving.transports import GrpcTransport, KserveTransport, RestTransport

_LONGEST_WAIT = 5.0
_TRANSPORTS: dict[str, Any] = {"rest": RestTransport, "grpc": GrpcTransport, "kserve": KserveTransport}


class Client(contextlib.AbstractContextManager["Client"]):
    """Requests outputs and weights of this package's models from a server.

    Args:
        address: `host:port` of TensorFlow Serving or of `keras-hypernet serve`; usually 8501 for REST, 8500 for gRPC.
        model: Name of the model; if None, pass a name to every method.
        version: Number or label of a version; by default the latest.
        protocol: `"rest"` or `"grpc"`; or `"kserve"`, REST of KServe's open inference protocol, version 2, which Triton
            and other servers speak on port 8000 or 8080. A model then has `predict` alone, without the two halves.
        timeout: Maximum seconds for a response; None (wait forever) is not allowed.
        retries: Maximum number of retries of a request while the server is unavailable. The wait doubles each time up
            to five seconds, with a random part. Other failures are final; only if the inputs do not fit the known
            signatures and the server has new ones, the request is repeated once.
        backoff: Seconds of the first wait.
        max_rows: Maximum number of rows in a request; larger batches are sent in parts.

    Raises:
        ValueError: If the protocol is unknown, the address is not host:port, or a number is not valid.

    The last argument of every method, `model`, selects another model of this server. The methods raise ValueError if
    there is no model name, or the inputs have different numbers of rows (one row is always allowed); and
    `InvalidRequestError`, `NotFoundError`, `OverloadedError`, `UnavailableError` or `DeadlineError`, each a
    `ServingError` with the `code` and the `message` of the server.

    Example, with a server started by `keras-hypernet serve rotation_mnist_hyper`::

        client = keras_hypernet.serving.Client("localhost:8501", "rotation_mnist_hyper")
        logits = client.predict(x, condition)
        theta = client.generate_weights(condition[:1])  # once for this condition,
        logits = client.apply(x, theta)  # and then for many x
        logits = client.predict(x, condition, model="rotation_mnist_embed")
    """

    def __init__(
        self,
        address: str,
        model: str | None = None,
        version: int | str | None = None,
        protocol: str = "rest",
        timeout: float = 30.0,
        retries: int = 3,
        backoff: float = 0.1,
        max_rows: int = 256,
    ) -> None:
        check_choice("protocol", protocol, tuple(_TRANSPORTS))
        finite("timeout", timeout, 1e-3, MOST_SECONDS)
        finite("backoff", backoff, 0, MOST_SECONDS)
        integer("retries", retries, least=0)
        integer("max_rows", max_rows)
        if not isinstance(address, str) or not re.fullmatch(r"[^/]+:[0-9]+", address):
            raise ValueError(f"`address` must be host:port, without http://. Received: {address!r}")
        if version is not None and not isinstance(version, str):
            version = integer("version", version, least=0)
        self.model, self.version = model, version
        self._transport = _TRANSPORTS[protocol](address, timeout)
        self._retries, self._backoff, self._max_rows = retries, backoff, max_rows
        self._signatures: dict[str, Any] = {}

    def predict(self, x: Any, condition: Any = None, model: str | None = None) -> Any:
        """Returns the output of the model, a float32 array.

        Args:
            x: Array `[B, ...]`, or a dict of arrays like that of a condition.
            condition: Array `[B, ...]`, or `[1, ...]` for all x; None for a network of x alone. A condition of several
                parts is a dict of arrays, or nested dicts, with the names or numbers of the generator's inputs.
        """
        inputs = {**_parts("x", x), **({} if condition is None else _parts("condition", condition))}
        return self._run(model, "serving_default", inputs)

    def generate_weights(self, condition: Any, model: str | None = None) -> dict[str, Any]:
        """Returns the weights for conditions `[B, ...]`, a dict of arrays `[B, *shape]`, for `apply`.

        For the embedding method, the dict has one entry, `embedding`.
        """
        signatures = self.metadata(model)
        name = next((name for name in FIRST_HALVES if name in signatures), FIRST_HALVES[0])
        outputs = self._run(model, name, _parts("condition", condition))
        if isinstance(outputs, dict):
            return outputs
        (output,) = signatures[name][1]
        return {output: outputs}

    def apply(self, x: Any, weights: Mapping[str, Any], model: str | None = None) -> Any:
        """Returns the output for x `[B, ...]` and weights of one condition, `[1, *shape]`, or of one for each x."""
        return self._run(model, "apply", {**_parts("x", x), **weights})

    def metadata(self, model: str | None = None) -> dict[str, Any]:
        """Returns a dict from signature name to `(inputs, outputs)`, dicts from name to `(dtype, shape)`.

        The dtype has TensorFlow's name, and -1 is any size. The client caches the result until inputs do not fit it.
        """
        model = self._named(model)
        if model not in self._signatures:
            self._signatures[model] = self._retried(self._transport.signatures, model)
        return self._signatures[model]

    def status(self, model: str | None = None) -> dict[str, Any]:
        """Returns a dict from the versions of the model to their states, such as AVAILABLE."""
        return self._retried(self._transport.status, self._named(model))

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def __exit__(self, *_):
        self.close()

    def _named(self, model):
        if model is None and self.model is None:
            raise ValueError("Pass a `model` to the Client, or to this method. Received: none")
        return self.model if model is None else model

    def _run(self, model, signature, inputs):
        model = self._named(model)
        inputs = _arrays(inputs)
        known = self._signatures.get(model)
        try:
            return self._in_parts(model, signature, inputs)
        except (ValueError, InvalidRequestError):
            self._signatures.pop(model, None)
            if known is None or self.metadata(model) == known:
                raise
        # The cached signatures were those of an earlier version.
        return self._in_parts(model, signature, inputs)

    def _in_parts(self, model, signature, inputs):
        described = self.metadata(model).get(signature)
        inputs = _converted(described[0] if described else {}, inputs)
        rows = max(len(value) for value in inputs.values())
        parts = []
        for start in range(0, rows, self._max_rows):
            # An input with one row is sent with every part.
            part = {
                name: value if len(value) == 1 else value[start : start + self._max_rows]
                for name, value in inputs.items()
            }
            parts.append(self._retried(self._transport.predict, model, signature, part))
        outputs = parts[0]
        if len(parts) > 1:
            outputs = {name: np.concatenate([part[name] for part in parts]) for name in outputs}
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def _retried(self, method, model, *arguments):
        for attempt in range(self._retries + 1):
            try:
                return method(model, self.version, *arguments)
            except UnavailableError:
                if attempt == self._retries:
                    raise
                time.sleep(min(self._backoff * 2**attempt, _LONGEST_WAIT) * random.uniform(0.5, 1.5))


def _parts(name, value):
    """The inputs of an x or a condition: one input, or one for each part."""
    if not isinstance(value, collections.abc.Mapping):
        return {name: value}
    parts = [_parts(f"{name}_{key}", part) for key, part in value.items()]
    return {name: array for part in parts for name, array in part.items()}


def _arrays(inputs):
    """The inputs as arrays. Checks the numbers of rows: the server sees only parts, and the last part may fit."""
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    for name, array in arrays.items():
        if array.ndim == 0:
            raise ValueError(f"`{name}` must be an array with the batch first. Received: {inputs[name]!r}")
    rows = max(len(array) for array in arrays.values())
    if any(len(array) not in (1, rows) for array in arrays.values()):
        received = {name: array.shape for name, array in arrays.items()}
        raise ValueError(f"All inputs must have the same number of rows, or one row. Received: shapes {received}")
    if rows == 0:  # JSON cannot hold such arrays
        raise ValueError(f"The inputs must have a row or more. Received: {', '.join(inputs)} without any")
    return arrays


def _converted(described, arrays):
    """Arrays in the dtypes of a signature, if the conversion loses nothing."""
    converted = {}
    for name, array in arrays.items():
        dtype = described[name][0].removeprefix("DT_").lower() if name in described else None
        dtype = {"float": "float32", "double": "float64"}.get(dtype, dtype)
        converted[name] = array if dtype in (None, "string", array.dtype) else _cast(name, array, np.dtype(dtype))
    return converted


def _cast(name, array, dtype):
    """An array in another dtype, if its values stay the same, apart from rounding of floats."""
    lost = np.ones(array.shape, bool)
    if array.dtype.kind in "biuf":
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(dtype)
            back = cast.astype(array.dtype)
        finite = array.dtype.kind == dtype.kind == "f"
        lost = np.isfinite(array) > np.isfinite(cast) if finite else (back != array) | ((cast < 0) != (array < 0))
    if lost.any():
        example = array[lost].flat[0]
        raise ValueError(
            f"`{name}` must be of dtype {dtype}, or convert to it safely. Received: {array.dtype}, with {example}"
        )
    return cast
