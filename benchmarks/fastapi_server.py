"""A typical FastAPI server of a model: JSON in, `model.predict`, JSON out; the counterpart in serving.py.

python benchmarks/fastapi_server.py rotation_cifar_hyper 8600
"""

import sys

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

import keras_hypernet as kh

app = FastAPI()
model = kh.load(sys.argv[1])


class Request(BaseModel):
    """Images as nested lists."""

    x: list
    condition: list


@app.post("/predict")
def predict(request: Request):
    """Returns the logits as nested lists."""
    inputs = {"x": np.array(request.x, "uint8"), "condition": np.array(request.condition, "uint8")}
    return {"logits": model.predict(inputs, verbose=0).tolist()}


@app.get("/")
def ready():
    """Whether the server runs."""
    return "ready"


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
