"""Commands about served models: export, serve."""

import contextlib
import logging
import re
import sys
from pathlib import Path
from typing import Annotated

from rich.table import Table
from typer import Argument, Option

from keras_hypernet_cli.options import FORMATS, AsJson, Models
from keras_hypernet_cli.printing import console, show, show_json

_MODELS = Path("saved_models")


def export(
    name: Annotated[str, Argument(help="Name of a zoo entry, path to the folder of an entry (./my_entry), or all.")],
    to: Models = _MODELS,
    format: Annotated[list[str] | None, Option("--format", help=f"{FORMATS}; can be repeated.")] = None,
    condition: Annotated[
        Path | None,
        Option(help="Image or .npy of one condition: export g under it, by default as SavedModel, LiteRT and ONNX."),
    ] = None,
    keep: Annotated[int | None, Option(help="Older versions to keep; by default all.")] = None,
    served_as: Annotated[str | None, Option("--name", help="Name to serve the model under.")] = None,
    as_json: AsJson = False,
):
    """Write a model as a SavedModel, the next version for TensorFlow Serving; or as LiteRT, ONNX, OpenVINO, weights.

    Examples: keras-hypernet export rotation_mnist_hyper --to saved_models --keep 1

    keras-hypernet export rotation_mnist_hyper --condition image.png
    """
    from keras_hypernet.serving.specialized import DEFAULT_FORMATS, export_formats, read_condition
    from keras_hypernet.zoo.store import list_entries, load

    if name == "all" and (served_as is not None or condition is not None):
        raise ValueError("--name and --condition are for one model. Received: all")
    names = [card.name for card in list_entries()] if name == "all" else [name]
    formats = format or (["saved_model"] if condition is None else DEFAULT_FORMATS)
    values = None if condition is None else read_condition(condition, load(name))
    with console().status("Exporting"):
        files = [file for name in names for file in export_formats(name, to, served_as, formats, values, keep)]
    if as_json:
        return show_json(
            [
                {"format": file.format, "path": str(file.path), "bytes": file.num_bytes, "difference": file.difference}
                for file in files
            ]
        )
    table = Table("name", "format", "bytes", "differs from Keras")
    for file in files:
        table.add_row(str(file.path.relative_to(to)), file.format, f"{file.num_bytes:,}", f"{file.difference:.1g}")
    show(table)
    for file in files:
        show(str(file.path))


def serve(
    names: Annotated[
        list[str], Argument(help="Names of exported models or zoo entries, or paths to entries (./my_entry).")
    ],
    models: Models = _MODELS,
    host: Annotated[str, Option(help="Address to listen on; by default only this machine can connect.")] = "127.0.0.1",
    rest_port: Annotated[int, Option(help="Port of REST, the page and the metrics.")] = 8501,
    grpc_port: Annotated[int, Option(help="Port of gRPC.")] = 8500,
    weight_cache: Annotated[int, Option(help="MiB of generated weights to cache; 0 caches none.")] = 64,
    max_body: Annotated[int, Option(help="Largest request or response in MiB; at most 2046.")] = 64,
    max_rows: Annotated[int, Option(help="Largest number of rows in a request.")] = 4096,
    max_concurrent: Annotated[int, Option(help="Largest number of requests at a time; more are refused.")] = 256,
    max_connections: Annotated[int, Option(help="Largest number of REST connections, and of gRPC connections.")] = 1024,
    body_seconds: Annotated[int, Option(help="Time limit for a client to send a request.")] = 30,
    poll_seconds: Annotated[float, Option(help="Time between two searches for new versions.")] = 1.0,
    grace_seconds: Annotated[int, Option(help="Time limit for running requests at shutdown.")] = 20,
    access_log: Annotated[bool, Option(help="Write a line of JSON for every request.")] = True,
    page: Annotated[bool, Option(help="Serve a page at / that shows what the models do.")] = True,
    allow_host: Annotated[
        list[str] | None,
        Option(help="Host name of REST requests, besides localhost and IP addresses; can be repeated, or '*'."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        Option(
            help="Origin of web pages that may send requests (CORS): http://localhost:3000; can be repeated, or '*'."
        ),
    ] = None,
):
    """Serve models by TensorFlow Serving's REST and gRPC interfaces, for laptops, tests and demonstrations.

    Entries without an export are exported first, and an entry of your own if it has changed. SIGTERM and SIGINT stop
    the server after its running requests.

    Example: keras-hypernet serve rotation_mnist_hyper rotation_cifar_hyper
    """
    from keras_hypernet.serving.local.limits import Limits
    from keras_hypernet.serving.local.server import Server

    if weight_cache < 0:
        raise ValueError(f"--weight-cache must be at least 0, for none. Received: {weight_cache}")
    limits = Limits(
        max_body * 2**20, max_rows, max_concurrent, max_connections=max_connections, body_seconds=body_seconds
    )
    names = _export_entries(names, models)
    address = {"host": host, "rest_port": rest_port, "grpc_port": grpc_port}
    times = {"poll_seconds": poll_seconds, "grace_seconds": grace_seconds}
    callers = {"allow_hosts": allow_host or (), "allow_origins": allow_origin or ()}
    options = {"limits": limits, "cache_bytes": weight_cache * 2**20, "page": page}
    _log_to_standard_error(access_log)
    Server(models, names, **address, **times, **callers, **options).run()


def _export_entries(names, models):
    """Exports entries that have no export, and returns the names to serve; ValueError for any other name."""
    from keras_hypernet.common.suggestions import suggestion
    from keras_hypernet.serving.export import versions
    from keras_hypernet.serving.specialized import export_formats
    from keras_hypernet.zoo.card import Card, EntryError
    from keras_hypernet.zoo.store import find_entry, list_entries

    entries = {card.name for card in list_entries()}
    known = sorted(entries | {folder.name for folder in models.glob("*/")})
    served = []
    for name in names:
        card = Card.read(find_entry(name)) if "/" in name else None
        served.append(card.name if card else name)
        exported = versions(models / served[-1])  # a killed export leaves a folder without versions
        current = exported or name not in entries
        if card:
            current = False
            with contextlib.suppress(EntryError):
                current = exported and Card.read(exported[max(exported)] / "assets.extra") == card
        if not current:
            with console().status(f"Exporting {name}"):
                (export,) = export_formats(name, models, formats=["saved_model"])
            console().say("Exported", "green", f"{name} is now in {export.path}.")
        elif not exported and not (models / name).is_dir() and re.fullmatch(r"\w+", name):
            advice = suggestion(name, known, "`keras-hypernet list` shows all entries.")
            raise ValueError(f"There is no model {name!r} in {models}, and no entry of that name; {advice}")
    return served


def _log_to_standard_error(access_log):
    """Writes events and requests as lines of JSON, even if an import has changed the root logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("keras_hypernet.serving")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its warnings about input that is not HTTP are not JSON
    logging.getLogger("keras_hypernet.serving.access").setLevel(logging.INFO if access_log else logging.WARNING)
