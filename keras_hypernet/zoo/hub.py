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
    results = [
        (split, name, f"{value:.4g}")
        for split, metrics in card.metrics.items()
        for name, value in metrics.items()
        if name != "num_examples"
    ]
    counts = [(part, f"{number:,}") for part, number in card.num_parameters.items()]
    data = card.data
    blocks = [
        f"---\n{facts.to_yaml()}\n---",
        f"# {card.name}",
        card.description,
        f'```python\nimport keras_hypernet as kh\n\nmodel = kh.load("{PREFIX}{repo}")\n```',
        *_section("Results", table(("split", "metric", "value"), results)),
        *_section("Parameters", table(("part", "number"), counts)),
        *_section("Trivial predictors", table(("predictor", "test"), card.baseline.items()) if card.baseline else ()),
        f"## Data\n\n{data['name']}: {data['origin']}. License: {data['license']}. {data['note']}",
        f"## Training\n\n`{card.command}`. Chosen: {card.selection}.",
        f"```json\n{json.dumps(card.recipe, indent=2)}\n```",
        *_section("Deviations from the paper", [f"- {sentence}" for sentence in card.deviations]),
        *_section("Limits", [f"- {sentence}" for sentence in card.limits]),
    ]
    return "\n\n".join(blocks) + "\n"


def _section(title, lines):
    return [f"## {title}", "\n".join(lines)] if lines else []


def _parse(address):
    parts = re.fullmatch(rf"{PREFIX}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", address)
    if not parts or ".." in address:
        raise EntryError(f"The address of an entry on the Hub must be hf://user/repo[@revision]. Received: {address!r}")
    return parts.groups()
