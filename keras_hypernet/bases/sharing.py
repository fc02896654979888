"""The configuration of a basis, also of one whose variables layers share."""

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
    """Inside, a basis that layers share is its number in the list `bases`, to which `serialize` adds."""
    token = _SHARED.set(bases)
    try:
        yield bases
    finally:
        _SHARED.reset(token)


def serialize(basis: Basis) -> Any:
    """The configuration of a layer's basis; of a basis that layers share, its number in `shared_bases`.

    Raises:
        ValueError: If layers share variables of the basis, and no model that keeps the basis is being saved.
    """
    bases = _SHARED.get()
    if bases is None and _is_shared(basis):
        gc.collect()  # a layer that nothing refers to is a user until here
    if not _is_shared(basis):
        return keras.saving.serialize_keras_object(basis)
    if bases is None:
        names = sorted(layer.name for layer in basis.users)
        raise ValueError(
            f"The layers {names} share one {type(basis).__name__}, and would be loaded with one each. Save them as the "
            "`primary` of a `keras_hypernet.Hypernetwork`, which keeps what they share, or save weights alone."
        )
    if not any(basis is each for each in bases):
        bases.append(basis)
    return {"shared_basis": [basis is each for each in bases].index(True)}


def _is_shared(basis):
    return basis.shares_variables and len(basis.users) > 1


def get(basis: Basis | dict | None) -> Basis:
    """Returns the basis of an argument `basis`: a `Basis`, what `serialize` returned, or None for `Full()`."""
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
