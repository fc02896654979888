"""suggestion: close matches for an unknown name."""

import difflib


def suggestion(name, names, otherwise=None):
    """Returns the end of an error message about an unknown name: the closest known names, `otherwise`, or all names.

    >>> suggestion("rotaton_depth", ["rotation_depth", "learning_rate"])
    'did you mean rotation_depth?'
    >>> suggestion("nothing", ["rotation_depth", "learning_rate"])
    'there are rotation_depth, learning_rate.'
    """
    closest = difflib.get_close_matches(name, names, cutoff=0.5)
    return f"did you mean {' or '.join(closest)}?" if closest else otherwise or f"there are {', '.join(names)}."
