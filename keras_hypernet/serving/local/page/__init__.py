"""The demonstration page at `/`: the files of this folder, and the models and images that they show."""

import contextlib
import functools
import json
import pathlib

import numpy as np
from starlette.responses import Response

from keras_hypernet.data.sources import get_source
from keras_hypernet.serving.errors import ServingError

_FILES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
_MEDIA_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
_SAMPLES = 10
# Real images that come with the installation, by the input shape of a model.
_SOURCES = {(28, 28, 1): "digits", (32, 32, 3): "patches"}


def find(engine):
    """Returns a function from a path to the response of the page's file there, or None, for an `Engine`'s models."""
    # No scripts but the page's own, from this server alone.
    headers = {"Content-Security-Policy": "default-src 'self'; img-src data:", "X-Content-Type-Options": "nosniff"}

    def response(path):
        if path == "/page/models.json":
            return Response(json.dumps(_models(engine)), media_type="application/json", headers=headers)
        if path not in _FILES:
            return None
        file = pathlib.Path(__file__).parent / _FILES[path]
        return Response(file.read_bytes(), media_type=_MEDIA_TYPES[file.suffix], headers=headers)

    return response


def _models(engine):
    """The models that the page can show: those of images, each with sample images."""
    models = []
    for name in engine.repository.names():
        # A model without a version at the moment is left out.
        with contextlib.suppress(ServingError), engine.repository.use(name) as servable:
            default = servable.inputs.get("serving_default", {})
            shapes = {key: info.shape[1:] for key, info in default.items() if info.dtype == "uint8" and info.shape}
            shape = shapes.get("x")
            if shapes == {"x": shape, "condition": shape} and shape in _SOURCES:
                kernel = servable.outputs.get("generate_weights", {}).get("hidden_kernel")
                units = kernel.shape[-1] if kernel else None
                models.append({"name": name, "shape": shape, "units": units, "images": _samples(shape)})
    return models


@functools.cache
def _samples(shape):
    images = get_source(_SOURCES[shape]).load("test")
    contrast = images.std(axis=(1, 2, 3))
    images = images[contrast >= np.median(contrast)]  # plain sky looks the same when turned
    return images[np.linspace(0, len(images) - 1, _SAMPLES).astype(int)].tolist()
