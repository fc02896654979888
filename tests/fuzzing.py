"""Valid, almost valid and invalid requests from a `random.Random`, for tests of the server's answers."""

import json
import string

PRINTABLE = string.ascii_letters + string.digits + "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
# Characters of one to four bytes in UTF-8, half of a surrogate pair, which UTF-8 cannot write, and signs of JSON.
CHARACTERS = 'aB0 "\\{[,:\n\0\x7f\xe4\u0669\ud7ff\ud800\uffff\U0001f600'
VERSIONS = ["", "", "/versions/3", "/versions/99999999999999999999", "/versions/-1", "/labels/x"]
VERBS = [("POST", ":predict")] * 8 + [("POST", ":classify"), ("GET", ""), ("GET", "/metadata")]
NAMES = ["other", "rotation_mnist_hyper", "nothing", "", ".", "..", "%2e%2e", "a:b", "%00", "other%2F"]
SIGNATURES = ["serving_default", "strings", "mixed", "unequal", "generate_weights", "apply", "nothing", ""]
KEYS = ["x", "condition", "text", "flag", "number", "big"]
FLOATS = [0.0, -0.0, 0.5, -1e-320, 1e38, 3.5e38, -1e308, float("inf"), float("-inf"), float("nan")]


def _text(rng, most, characters=CHARACTERS):
    return "".join(rng.choices(characters, k=rng.randint(0, most)))


def _number(rng):
    kind = rng.randrange(8)
    if kind < 2:
        return rng.randint(-3, 300)
    if kind == 2:
        return rng.getrandbits(rng.randint(1, 130)) * rng.choice([1, -1])
    if kind < 5:
        return rng.choice([*FLOATS, rng.uniform(-300, 300), rng.gauss(0, 1) * 10.0 ** rng.randint(-40, 40)])
    return rng.choice([True, False, None, _text(rng, 5), {"b64": "AA=="}])


def _json(rng, depth=3):
    kind = rng.randrange(4) if depth else 0
    if kind < 2:
        return _number(rng)
    if kind == 2:
        return [_json(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return {_text(rng, 3): _json(rng, depth - 1) for _ in range(rng.randint(0, 3))}


def _nested(rng, rank):
    return _number(rng) if rank == 0 else [_nested(rng, rank - 1) for _ in range(rng.randint(0, 3))]


def _tensor(rng):
    return _nested(rng, rng.randint(0, 5)) if rng.randrange(2) else _json(rng)


def _named(rng):
    return {rng.choice([*KEYS, _text(rng, 3)]): _tensor(rng) for _ in range(rng.randint(0, 3))}


def body(rng):
    """A body of a prediction: almost always an object like a valid one; otherwise any JSON, or any bytes."""
    kind = rng.randrange(10)
    if kind == 0:
        return rng.randbytes(rng.randint(0, 200))
    content = _json(rng) if kind == 1 else _prediction(rng)
    encoded = json.dumps(content).encode(errors="replace")
    if kind == 2:  # cut, or with a byte changed
        start = rng.randint(0, len(encoded) - 1)
        encoded = encoded[:start] + rng.randbytes(rng.randint(0, 2)) + encoded[start + rng.randint(0, 3) :]
    return encoded


def _prediction(rng):
    content = {}
    if rng.randrange(2):
        content["signature_name"] = rng.choice([*SIGNATURES, _json(rng)])
    if rng.randrange(4):
        content["inputs"] = rng.choice([_named, _tensor])(rng)
    if "inputs" not in content or not rng.randrange(6):
        make = rng.choice([_named, _tensor])
        content["instances"] = [make(rng) for _ in range(rng.randint(0, 3))] if rng.randrange(3) else _json(rng)
    return content


def target(rng):
    """A method and a path."""
    if not rng.randrange(10):
        return rng.choice(["GET", "POST", "HEAD", "PUT", "DELETE"]), "/" + _text(rng, 30, PRINTABLE)
    name = "other" if rng.randrange(4) else rng.choice([*NAMES, _text(rng, 8, PRINTABLE)])
    method, verb = rng.choice(VERBS)
    return method, f"/v1/models/{name}{rng.choice(VERSIONS)}{verb}"


def mutated(rng, messages):
    """One of some serialized messages, with a few bytes changed, inserted, cut or doubled."""
    message = bytearray(rng.choice(messages))
    for _ in range(rng.randint(0, 6)):
        start = rng.randint(0, max(0, len(message) - 1))
        kind = rng.randrange(4)
        if kind == 0:
            message[start : start + 1] = rng.randbytes(1)
        elif kind == 1:
            message[start:start] = rng.randbytes(rng.randint(1, 8))
        elif kind == 2:
            del message[start : start + rng.randint(1, 16)]
        else:
            message[start:start] = message[start : start + rng.randint(1, 32)]
    return bytes(message)
