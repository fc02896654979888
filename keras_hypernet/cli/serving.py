"""Commands about served models: export, serve."""

import pathlib
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from keras_hypernet.cli.common import AsJson, app, console, print_json
from keras_hypernet.serving.specialized import FORMATS, export_formats, read_condition
from keras_hypernet.zoo import list_entries, load


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
    with Console(stderr=True).status("Exporting"):
        written = [exported for name in names for exported in export_formats(name, to, served_as, formats, given, keep)]
    if as_json:
        return print_json(
            [
                {"format": one.format, "path": str(one.path), "bytes": one.num_bytes, "difference": one.difference}
                for one in written
            ]
        )
    table = Table("format", "bytes", "differs from Keras", "path")
    for one in written:
        table.add_row(one.format, f"{one.num_bytes:,}", f"{one.difference:.1g}", str(one.path))
    console.print(table)
