"""Figures of predictions."""

import numpy as np

from keras_hypernet.common.figures import figure_class, save_figure
from keras_hypernet.tasks import evaluation_angles

_MOST = 8  # images


def save_predictions(model, task, path, split="test"):
    """Draws the first eight images of a split: conditions, rotated inputs, and their true and predicted angles.

    The suffix of the path is the format, such as `.png` or `.pdf`. Raises ValueError if Matplotlib does not write this
    format, ImportError without Matplotlib, and NotWritableError.
    """
    inputs, labels = next(iter(task.evaluation_dataset(split, _MOST)))
    num_images = len(labels)
    predictions = np.argmax(model.predict(inputs, verbose=0), axis=-1)
    angles = evaluation_angles(num_images)
    figure = figure_class()(figsize=(1.3 * num_images, 3.3), layout="constrained")
    axes = figure.subplots(2, num_images, squeeze=False)
    for column in range(num_images):
        for row, name in enumerate(("condition", "x")):
            axes[row, column].imshow(np.squeeze(inputs[name][column]), cmap="gray")
            axes[row, column].set(xticks=[], yticks=[])
        right = predictions[column] == labels[column]
        axes[1, column].set_xlabel(
            f"true {angles[column]:.0f}°\npredicted {30 * predictions[column]}°",
            color="black" if right else "firebrick",
        )
    axes[0, 0].set_ylabel("condition I")
    axes[1, 0].set_ylabel("input x")
    save_figure(figure, path)
