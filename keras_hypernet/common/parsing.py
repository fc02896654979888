"""Parsing of untrusted JSON, and checks by a schema; every fault is a ValueError."""

import json
import math
import pathlib

_LEVELS = 50
_TOO_DEEP = f"it is nested too deeply, in more than {_LEVELS} levels"


def parse_json(text):
    """Parses JSON text, a `str` or `bytes`.

    Raises ValueError if the text is not JSON, holds NaN or an infinite number, or has more than 50 nested levels:
    recursive functions, such as `check_schema`, would reach Python's recursion limit.

    >>> parse_json(b'{"depth": 2}')
    {'depth': 2}
    """
    try:
        content = json.loads(text, parse_constant=_number, parse_float=_number)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level = [content]
    for _ in range(_LEVELS + 1):
        containers = [value for value in level if isinstance(value, (dict, list))]
        level = [inner for value in containers for inner in (value.values() if isinstance(value, dict) else value)]
    if level:
        raise ValueError(_TOO_DEEP)
    return content


def check_schema(content, schema):
    """Raises ValueError, which names the position, if parsed JSON does not match a valid JSON schema.

    >>> check_schema({"seeds": ["0"]}, {"properties": {"seeds": {"items": {"type": "integer"}}}})
    Traceback (most recent call last):
    ...
    ValueError: at seeds/0: '0' is not of type 'integer'
    """
    import jsonschema

    # `jsonschema.validate` checks the schema too, which takes twenty times as long as the content of a card.
    validator = jsonschema.validators.validator_for(schema)(schema)
    if error := jsonschema.exceptions.best_match(validator.iter_errors(content)):
        where = "/".join(str(part) for part in error.absolute_path)
        raise ValueError(f"at {where or 'the top'}: {error.message}") from error


def read_json(path, schema, what, fix):
    """Reads a JSON file that matches a schema; otherwise, a ValueError states what the file must be, and the fix."""
    try:
        content = parse_json(pathlib.Path(path).read_bytes())
        check_schema(content, schema)
    except ValueError as error:
        raise ValueError(f"{path} must be {what}. Received: {error}. {fix}") from error
    return content


def _number(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it holds {text[:40]}, which is not a number in JSON")
    return number
