"""The configuration of a basis, also of a basis whose variables several layers share."""

import contextlib
import contextvars
import gc
from typing import Any

import keras

from keras_hypernet.bases.base import Basis
from keras_hypernet.bases.full import Full

_SHARED = contextvars.ContextVar("bases that layers of a model share", default=None)


@contextlib.contextmanager
def shared_bases(bases):
    """A context in which `serialize` puts a basis that layers share into the list `bases`, and returns its index."""
    token = _SHARED.set(bases)
    try:
        yield bases
    finally:
        _SHARED.reset(token)


def serialize(basis: Basis) -> Any:
    """The configuration of a layer's basis; if layers share the basis, its index in `shared_bases`.

    Raises:
        ValueError: If layers share variables of the basis, and the layer is saved outside a model that keeps the basis.
    """
    bases = _SHARED.get()
    if bases is None and _is_shared(basis):
        gc.collect()  # removes users that nothing refers to
    if not _is_shared(basis):
        return keras.saving.serialize_keras_object(basis)
    if bases is None:
        names = sorted(layer.name for layer in basis.users)
        raise ValueError(
            f"The layers {names} share one {type(basis).__name__}, but each would be loaded with its own. Save them as "
            "the `primary` of a `keras_hypernet.Hypernetwork`, which keeps the shared basis, or save only the weights."
        )
    if not any(basis is each for each in bases):
        bases.append(basis)
    return {"shared_basis": [basis is each for each in bases].index(True)}


def _is_shared(basis):
    return basis.shares_variables and len(basis.users) > 1


def get(basis: Basis | dict | None) -> Basis:
    """Returns the basis for an argument `basis`: a `Basis`, a result of `serialize`, or None for `Full()`."""
    if basis is None:
        return Full()
    if isinstance(basis, dict):
        bases = _SHARED.get()
        if "shared_basis" not in basis:
            basis = keras.saving.deserialize_keras_object(basis)
        elif bases is not None:
            basis = bases[basis["shared_basis"]]
    if not isinstance(basis, Basis):
        raise ValueError(f"`basis` must be a basis, such as `keras_hypernet.bases.LowRank(8)`. Received: {basis!r}")
    return basis
