"""ImageTask: the base class of image tasks."""

import dataclasses
from typing import ClassVar

from keras_hypernet.data.sources import get_source, keep_images
from keras_hypernet.tasks.base import Task

INITIALIZATION = "Initialization uniform with variance 1 / (3 fan_in)."
PIXELS = "Pixels scaled as (v / 255 - 0.1307) / 0.3081 on any data."


@dataclasses.dataclass(frozen=True)
class ImageTask(Task):
    """Abstract: a task on the images of a data source.

    Args:
        data: Name of a data source or of any image data set of TensorFlow Datasets, or your own images; see
            `get_source` and `RotationTask`.
    """

    data: str
    x_dtype = "uint8"
    condition_dtype = "uint8"
    num_classes: ClassVar[int | None] = None  # of the labels; None for a task without labels

    def __post_init__(self):
        if not isinstance(self.data, str):
            object.__setattr__(self, "data", keep_images(self.data))  # the task is frozen
        source = self.source
        if self.num_classes:
            source.check_labels()

    @property
    def source(self):
        return get_source(self.data)

    @property
    def arrays_sha256(self):
        return self.source.sha256

    @property
    def x_shape(self):
        """`(height, width, channels)`."""
        return self.source.image_shape

    @property
    def panel(self):
        return self.data

    @property
    def held_out(self):
        if self.source.in_paper:
            return "The last 5,000 training examples are held out for validation (the paper has no validation split)."
        return "Some of the images are held out for validation."

    @property
    def deviations(self):
        if self.source.in_paper:
            return ["Trained on 5,000 images fewer than the paper, which are the validation split."]
        return [f"The images of {self.source.name} are not of the paper's data sets."]

    def data_facts(self):
        return {name: getattr(self.source, name) for name in ("name", "origin", "license", "note")}

    def load(self, split):
        """Images, uint8 `[N, height, width, channels]`; if `num_classes` is set, paired with labels, int32 `[N]`."""
        if not self.num_classes:
            return self.source.load(split)
        labels = self.source.load_labels(split)
        if labels.max(initial=0) >= self.num_classes:
            most = self.num_classes - 1
            raise ValueError(f"Labels must be at most {most}. Received: labels up to {labels.max()}, of {self.data!r}")
        return self.source.load(split), labels
