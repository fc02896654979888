"""Commands about served models: export, serve."""

import contextlib
import logging
import pathlib
import re
import sys
from typing import Annotated

import typer
from rich.table import Table

from keras_hypernet.cli.common import AsJson, app, console, print_json
from keras_hypernet.common.suggestions import suggestion
from keras_hypernet.common.terminal import LiteralConsole
from keras_hypernet.serving.conditions import read_condition
from keras_hypernet.serving.export import versions
from keras_hypernet.serving.specialized import FORMATS, export_formats
from keras_hypernet.zoo.store import list_entries, load


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="Name of a zoo entry, path to one (./my_entry), or all.")],
    to: Annotated[pathlib.Path, typer.Option(help="Folder of all exported models.")] = pathlib.Path("saved_models"),
    format: Annotated[
        list[str] | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; may be given several times.")
    ] = None,
    condition: Annotated[
        pathlib.Path | None,
        typer.Option(help="Image or .npy of one condition: export g alone, under it; by default in all formats."),
    ] = None,
    keep: Annotated[int | None, typer.Option(help="Older versions to keep; by default all.")] = None,
    served_as: Annotated[str | None, typer.Option("--name", help="Name to serve the model under.")] = None,
    as_json: AsJson = False,
):
    """Write a model as a SavedModel, as its next version, for TensorFlow Serving; or as LiteRT or ONNX.

    Examples: keras-hypernet export rotation_mnist_hyper --to saved_models --keep 1

    keras-hypernet export rotation_mnist_hyper --condition image.png
    """
    if name == "all" and (served_as is not None or condition is not None):
        raise ValueError("--name and --condition are for one model. Received: all")
    names = [card.name for card in list_entries()] if name == "all" else [name]
    formats = format or (["saved_model"] if condition is None else FORMATS)
    given = None if condition is None else read_condition(condition, load(name))
    with LiteralConsole(stderr=True).status("Exporting"):
        written = [exported for name in names for exported in export_formats(name, to, served_as, formats, given, keep)]
    if as_json:
        return print_json(
            [
                {"format": one.format, "path": str(one.path), "bytes": one.num_bytes, "difference": one.difference}
                for one in written
            ]
        )
    table = Table("name", "format", "bytes", "differs from Keras")
    for one in written:
        table.add_row(str(one.path.relative_to(to)), one.format, f"{one.num_bytes:,}", f"{one.difference:.1g}")
    console.print(table)
    for one in written:
        console.print(str(one.path), soft_wrap=True)


@app.command()
def serve(
    names: Annotated[list[str], typer.Argument(help="Names of models, exported ones or zoo entries.")],
    models: Annotated[pathlib.Path, typer.Option(help="Folder of all exported models.")] = pathlib.Path("saved_models"),
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default this machine alone can ask.")
    ] = "127.0.0.1",
    rest_port: Annotated[int, typer.Option(help="Port of REST, the page and the metrics.")] = 8501,
    grpc_port: Annotated[int, typer.Option(help="Port of gRPC.")] = 8500,
    weight_cache: Annotated[int, typer.Option(help="MiB of weights kept of earlier conditions; 0 keeps none.")] = 64,
    max_body: Annotated[int, typer.Option(help="MiB of a request, or of its answer; at most 2046.")] = 64,
    max_rows: Annotated[int, typer.Option(help="Rows of a request.")] = 4096,
    max_concurrent: Annotated[int, typer.Option(help="Requests that are worked on; a further one is told so.")] = 256,
    max_connections: Annotated[int, typer.Option(help="Connections by REST, and as many by gRPC.")] = 1024,
    body_seconds: Annotated[int, typer.Option(help="How long a client may take to send a request.")] = 30,
    poll_seconds: Annotated[float, typer.Option(help="How often to look for new versions.")] = 1.0,
    grace_seconds: Annotated[int, typer.Option(help="How long requests may still take at the end.")] = 20,
    access_log: Annotated[bool, typer.Option(help="Write a line of JSON for every request.")] = True,
    page: Annotated[bool, typer.Option(help="Serve a page at / that shows what the models do.")] = True,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name by which REST is asked, beside localhost and IP addresses; several times, or '*'."
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of other web pages that may ask (CORS), as http://localhost:3000; several, or '*'."),
    ] = None,
):
    """Serve models by TensorFlow Serving's REST and gRPC interfaces, for laptops, tests and demonstrations.

    A zoo entry that has not been exported yet is exported first. Stops on SIGTERM and SIGINT, when all is answered.

    Example: keras-hypernet serve rotation_mnist_hyper rotation_cifar_hyper
    """
    from keras_hypernet.serving.local.engine import Limits
    from keras_hypernet.serving.local.server import Server

    if weight_cache < 0:
        raise ValueError(f"--weight-cache must be at least 0, for none. Received: {weight_cache}")
    limits = Limits(
        max_body * 2**20, max_rows, max_concurrent, max_connections=max_connections, body_seconds=body_seconds
    )
    entries = {card.name for card in list_entries()}
    served = sorted(entries | {folder.name for folder in models.glob("*/")})
    for name in names:
        if name in entries and not versions(models / name):  # an export that was killed leaves a folder without any
            progress = LiteralConsole(stderr=True)
            with progress.status(f"Exporting {name}"):
                (exported,) = export_formats(name, models, formats=["saved_model"])
            progress.print(f"{name} had not been exported yet: {exported.path} is written.", soft_wrap=True)
        elif not (models / name).is_dir() and re.fullmatch(r"\w+", name):
            advice = suggestion(name, served, "`keras-hypernet list` shows all entries.")
            raise ValueError(f"There is no model {name!r} in {models}, and no entry of that name; {advice}")
    with _log_to_standard_error(access_log):
        Server(
            models,
            names,
            host,
            rest_port,
            grpc_port,
            limits,
            weight_cache * 2**20,
            poll_seconds,
            grace_seconds,
            page,
            allow_host or (),
            allow_origin or (),
        ).run()


@contextlib.contextmanager
def _log_to_standard_error(access_log):
    """Events and requests as lines of JSON, whatever an import has done to the root logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("keras_hypernet.serving")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what is not HTTP at all is no line of JSON
    logging.getLogger("keras_hypernet.serving.access").setLevel(logging.INFO if access_log else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
