"""table: the lines of a table in Markdown."""


def table(columns, rows):
    """Returns the lines of a table with these names of columns; a row may have fewer values.

    >>> table(("depth", "error"), [(2, 0.5), (3,)])
    ['| depth | error |', '|---|---|', '| 2 | 0.5 |', '| 3 | |']
    """
    lines = [(" | ".join(map(str, values)), len(columns) - len(values)) for values in (columns, *rows)]
    head, *body = [f"| {text} |{' |' * missing}" for text, missing in lines]
    return [head, "|---" * len(columns) + "|", *body]
