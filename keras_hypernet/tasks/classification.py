"""The classification task: the class of an image, by regression to one-hot vectors."""

import dataclasses
from typing import ClassVar

import numpy as np

from keras_hypernet.tasks.images import INITIALIZATION, PIXELS, ImageTask


@dataclasses.dataclass(frozen=True)
class ClassificationTask(ImageTask):
    """Predict the class of an image, without a condition; the target is one-hot and the loss the squared error.

    Batches are `(images: uint8 [B, height, width, channels], classes: float32 [B, 10])`.

    Args:
        data: Name of a data source with labels.

    Raises:
        ValueError: If the data source does not exist or has no labels.

    Example:

    >>> task = ClassificationTask("digits")
    >>> images, classes = next(iter(task.evaluation_dataset("test", batch_size=32)))
    >>> images.shape, classes.shape
    (TensorShape([32, 28, 28, 1]), TensorShape([32, 10]))

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, appendix, Assumption 2.
    """

    name = "classification"
    metric = "error"
    loss = "mse"
    inputs = ("x",)
    num_outputs = 10
    num_classes = 10
    purpose = "Tells the class of an image"
    limits = ("A network as small as the experiment asks for: far from the accuracy that its data allows.",)
    # rho and epsilon are the defaults of the authors' framework.
    paper_recipe: ClassVar = {
        **{"width": 29, "depth": 2, "activation": "elu", "epochs": 5},
        **{"optimizer": "adadelta", "learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-6},
    }
    provenance: ClassVar = {
        "text": ["That such an experiment validates Assumption 2."],
        "code": ["ELU; mean squared error to one-hot labels; Adadelta at the rate 1, rho 0.9; batch size 64."],
        "ours": [f"5 epochs. {INITIALIZATION} {PIXELS}"],
    }

    def rows(self, examples):
        images, labels = examples
        return images, np.eye(10, dtype="float32")[labels]
