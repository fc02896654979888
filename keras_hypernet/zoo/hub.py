"""Entries on the Hugging Face Hub: `load("hf://user/repo")`, and `push`."""

import json
import pathlib
import re

from keras_hypernet.common.extras import needs_extra
from keras_hypernet.common.markdown import table
from keras_hypernet.zoo.card import Card, EntryError

PREFIX = "hf://"
FILES = ("card.json", "model.keras")


def fetch(address):
    """Returns the folder of an entry on the Hub, `hf://user/repo` or `hf://user/repo@revision`, in the Hub's cache.

    Files in the cache are not downloaded again, and are used without a network. `load` checks the model against its
    card, as for every entry.

    Raises:
        EntryError: If the address is not valid, the repository does not exist, or no file can be downloaded.
        ImportError: If the extra `hub` is not installed.
    """
    repo, revision = _parse(address)
    with needs_extra("Entries on the Hub need", "hub"):
        import huggingface_hub as hub
    try:
        folder = hub.HfApi().snapshot_download(repo, revision=revision, allow_patterns=[*FILES])
    except (hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        raise EntryError(f"{address} cannot be fetched: {str(error).splitlines()[0]}") from error
    if not (pathlib.Path(folder) / FILES[0]).is_file():
        raise EntryError(f"{address} is not a zoo entry: it has no {FILES[0]}.")
    return pathlib.Path(folder)


def upload(folder, address, private=None):
    """Uploads the files of an entry's folder, and a README.md made from its card, in one commit; returns its URL.

    `keras_hypernet.push` first checks the entry.

    Raises:
        EntryError: If the address is not valid, or the Hub refuses the files.
        ImportError: If the extra `hub` is not installed.
    """
    repo, revision = _parse(address)
    with needs_extra("Entries on the Hub need", "hub"):
        import huggingface_hub as hub
    folder = pathlib.Path(folder)
    card = Card.read(folder)
    operations = [hub.CommitOperationAdd(name, str(folder / name)) for name in FILES]
    operations.append(hub.CommitOperationAdd("README.md", model_card(card, repo).encode()))
    try:
        api = hub.HfApi()
        api.create_repo(repo, private=private, exist_ok=True)
        done = api.create_commit(repo, operations, commit_message=f"{card.name}, {card.date}", revision=revision)
    except (hub.errors.HfHubHTTPError, OSError, ValueError) as error:
        raise EntryError(f"{card.name} cannot be pushed to {address}: {str(error).splitlines()[0]}") from error
    return done.commit_url


def model_card(card, repo):
    """The README.md of an entry on the Hub: Markdown, which begins with the Hub's YAML."""
    import huggingface_hub as hub

    facts = hub.ModelCardData(
        library_name="keras",
        tags=["keras_hypernet", "hypernetwork", card.method],
        metrics=sorted(set(card.metrics["test"]) - {"num_examples"}),
    )
    lines = [
        "---",
        facts.to_yaml(),
        "---",
        "",
        f"# {card.name}",
        "",
        card.description,
        "",
        "```python",
        "import keras_hypernet as kh",
        "",
        f'model = kh.load("{PREFIX}{repo}")',
        "```",
        "",
        *_table("Results", ("split", "metric", "value"), _results(card)),
        *_table(
            "Parameters", ("part", "number"), ((part, f"{number:,}") for part, number in card.num_parameters.items())
        ),
        *_table("Trivial predictors", ("predictor", "test"), (card.baseline or {}).items()),
        "## Data",
        "",
        f"{card.data['name']}: {card.data['origin']}. License: {card.data['license']}. {card.data['note']}",
        "",
        "## Training",
        "",
        f"`{card.command}`. Chosen: {card.selection}.",
        "",
        "```json",
        json.dumps(card.recipe, indent=2),
        "```",
        "",
        *_list("Deviations from the paper", card.deviations),
        *_list("Limits", card.limits),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _results(card):
    for split, metrics in card.metrics.items():
        yield from ((split, name, f"{value:.4g}") for name, value in metrics.items() if name != "num_examples")


def _table(title, columns, rows):
    rows = list(rows)
    return [f"## {title}", "", *table(columns, rows), ""] if rows else []


def _list(title, sentences):
    return [f"## {title}", "", *(f"- {sentence}" for sentence in sentences), ""] if sentences else []


def _parse(address):
    parts = re.fullmatch(rf"{PREFIX}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", address)
    if not parts or ".." in address:
        raise EntryError(f"The address of an entry on the Hub must be hf://user/repo[@revision]. Received: {address!r}")
    return parts.groups()
