"""The demonstration page at `/`: the files of this folder, and the models and images that they show."""

import contextlib
import functools
import json
import pathlib

import numpy as np
from starlette.responses import Response

from keras_hypernet.data.sources import get_source
from keras_hypernet.serving.errors import ServingError

_MEDIA_TYPES = {"/": "text/html", "/page.js": "text/javascript", "/page.css": "text/css"}
_SAMPLES = 10
# Real images that come with the installation, by the input shape of a model.
_SOURCES = {(28, 28, 1): "digits", (32, 32, 3): "patches"}


def find(engine, path):
    """Returns the response of the page's file at a path, or None, for the models of an `Engine`."""
    if path == "/page/models.json":
        content, media_type = json.dumps(_models(engine)), "application/json"
    elif path in _MEDIA_TYPES:
        file = pathlib.Path(__file__).parent / (path[1:] or "index.html")
        content, media_type = file.read_bytes(), _MEDIA_TYPES[path]
    else:
        return None
    # No scripts but the page's own, from this server alone.
    headers = {"Content-Security-Policy": "default-src 'self'; img-src data:", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=media_type, headers=headers)


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
