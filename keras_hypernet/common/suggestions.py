"""suggestion: what an error says of a name that is not known."""

import difflib


def suggestion(name, names, otherwise=None):
    """The end of an error message about a name: the closest ones of those that there are, or all of them.

    Args:
        name: The name that was received.
        names: Those that there are.
        otherwise: What to say instead of all names, if none is close.

    Example:

    >>> suggestion("rotaton_depth", ["rotation_depth", "learning_rate"])
    'did you mean rotation_depth?'
    >>> suggestion("nothing", ["rotation_depth", "learning_rate"])
    'there are rotation_depth, learning_rate.'
    """
    closest = difflib.get_close_matches(name, names, cutoff=0.5)
    return f"did you mean {' or '.join(closest)}?" if closest else otherwise or f"there are {', '.join(names)}."
