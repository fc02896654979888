"""Requests that are almost right, and requests that are not: for the tests of what the server makes of them."""

import json

from hypothesis import strategies as st

PRINTABLE = st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters=" #")
VERSIONS = ["", "", "/versions/3", "/versions/99999999999999999999", "/versions/-1", "/labels/x"]
VERBS = [("POST", ":predict")] * 8 + [("POST", ":classify"), ("GET", ""), ("GET", "/metadata")]
NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.just({"b64": "AA=="}),
)
JSON = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=12,
)
NAMES = st.one_of(
    st.sampled_from(["other", "rotation_mnist_hyper", "nothing", "", ".", "..", "%2e%2e", "a:b", "%00", "other%2F"]),
    st.text(PRINTABLE, max_size=8),
)
SIGNATURES = ["serving_default", "strings", "mixed", "unequal", "generate_weights", "apply", "nothing", ""]
_KEYS = st.one_of(st.sampled_from(["x", "condition", "text", "flag", "number", "big"]), st.text(max_size=3))


def _nested(draw, rank):
    return draw(NUMBERS) if rank == 0 else [_nested(draw, rank - 1) for _ in range(draw(st.integers(0, 3)))]


@st.composite
def bodies(draw):
    """A body of a prediction: an object much like one, or any JSON, or any bytes."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        return _dump(draw(JSON))
    content = {}
    if draw(st.booleans()):
        content["signature_name"] = draw(st.one_of(st.sampled_from(SIGNATURES), JSON))
    tensor = st.one_of(JSON, st.builds(lambda draw_, rank: _nested(draw_, rank), st.just(draw), st.integers(0, 5)))
    named = st.dictionaries(_KEYS, tensor, max_size=3)
    if draw(st.integers(0, 3)):
        content["inputs"] = draw(st.one_of(named, tensor))
    if not content.keys() & {"inputs"} or not draw(st.integers(0, 5)):
        content["instances"] = draw(st.one_of(st.lists(named, max_size=3), st.lists(tensor, max_size=3), JSON))
    body = _dump(content)
    if kind == 2:  # cut, or with a byte changed
        place = draw(st.integers(0, max(0, len(body) - 1)))
        body = body[:place] + draw(st.binary(max_size=2)) + body[place + draw(st.integers(0, 3)) :]
    return body


@st.composite
def targets(draw):
    """A method and a path."""
    if not draw(st.integers(0, 9)):
        path = "/" + draw(st.text(PRINTABLE, max_size=30))
        return draw(st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE"])), path
    name = "other" if draw(st.integers(0, 3)) else draw(NAMES)
    method, verb = draw(st.sampled_from(VERBS))
    return method, f"/v1/models/{name}{draw(st.sampled_from(VERSIONS))}{verb}"


@st.composite
def mutated(draw, messages):
    """One of some serialized messages, with a few bytes changed, cut, doubled or put in."""
    message = bytearray(draw(st.sampled_from(messages)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, max(0, len(message) - 1)))
        kind = draw(st.integers(0, 3))
        if kind == 0 and message:
            message[place] = draw(st.integers(0, 255))
        elif kind == 1:
            message[place:place] = draw(st.binary(min_size=1, max_size=8))
        elif kind == 2:
            del message[place : place + draw(st.integers(1, 16))]
        else:
            message[place:place] = message[place : place + draw(st.integers(1, 32))]
    return bytes(message)


def _dump(content):
    return json.dumps(content).encode(errors="replace")
