"""The colorization task: grey against PIL, positions and colours of pixels against NumPy."""

import numpy as np
import pytest
from helpers import pixels
from PIL import Image

from keras_hypernet.data.sources import get_source
from keras_hypernet.tasks import ColorizationTask
from keras_hypernet.tasks.colorization import grey

HEIGHT, WIDTH = 5, 9  # no square, so that rows and columns differ


def _grey_with_pil(images):
    return np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])[..., np.newaxis]


def _position(row, column):
    """The position of a pixel in [-1, 1]^2, from the first row at -1 to the last at 1."""
    return np.stack([-1 + 2 * row / (HEIGHT - 1), -1 + 2 * column / (WIDTH - 1)], axis=-1)


def _pixel(positions):
    """Rows and columns of the pixels at positions."""
    row, column = np.moveaxis((positions.astype("float64") + 1) / 2 * [HEIGHT - 1, WIDTH - 1], -1, 0)
    np.testing.assert_allclose(row, np.round(row), atol=1e-5)
    np.testing.assert_allclose(column, np.round(column), atol=1e-5)
    return np.round(row).astype(int), np.round(column).astype(int)


def _epoch(images, num_points, seed=0, epoch=0):
    """Conditions, positions and colours of an epoch."""
    dataset = ColorizationTask("patches", num_points).training_dataset(images, 16, seed, epoch)
    batches = [(inputs["condition"].numpy(), inputs["x"].numpy(), colours.numpy()) for inputs, colours in dataset]
    return [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]


def _numbers(conditions, images):
    """The number of the image of each condition."""
    numbers = {image.tobytes(): number for number, image in enumerate(grey(images))}
    assert len(numbers) == len(images)
    return [numbers[condition.tobytes()] for condition in conditions]


def test_grey_matches_pil_for_every_colour():
    levels = np.arange(256, dtype="uint8")
    for red in np.split(levels, 16):
        colours = np.stack(np.meshgrid(red, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 256, 3)
        np.testing.assert_array_equal(grey(colours), _grey_with_pil(colours))


def test_an_evaluation_takes_every_pixel_in_order():
    images = pixels((7, HEIGHT, WIDTH, 3))
    batches = list(ColorizationTask("patches", num_points=4).evaluation_dataset(images, batch_size=3))
    assert [len(colours) for _, colours in batches] == [3, 3, 1]
    condition, x = (np.concatenate([inputs[name] for inputs, _ in batches]) for name in ("condition", "x"))
    colours = np.concatenate([colours for _, colours in batches])
    np.testing.assert_array_equal(condition, _grey_with_pil(images))
    rows, columns = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    expected = np.broadcast_to(_position(rows, columns).reshape(1, -1, 2), (7, HEIGHT * WIDTH, 2))
    np.testing.assert_allclose(x, expected, atol=1e-6)
    np.testing.assert_allclose(colours, images.reshape(7, -1, 3) / 255 * 2 - 1, atol=1e-6)


def test_a_split_is_evaluated_on_all_of_its_photographs():
    task, images = ColorizationTask("patches"), get_source("patches").load("validation")
    batches = list(task.evaluation_dataset("validation"))
    assert sum(len(colours) for _, colours in batches) == task.num_examples("validation") == 900
    inputs, colours = batches[-1]
    np.testing.assert_array_equal(inputs["condition"][-1], _grey_with_pil(images[-1:])[0])
    np.testing.assert_allclose(colours[-1], images[-1].reshape(-1, 3) / 127.5 - 1, atol=1e-6)
    assert inputs["x"].shape == (100, 32 * 32, 2)


def test_drawn_pixels_have_their_own_colours_and_every_image_is_drawn_from_once():
    images = pixels((40, HEIGHT, WIDTH, 3))
    conditions, positions, colours = _epoch(images, 30)
    numbers = _numbers(conditions, images)
    assert sorted(numbers) == list(range(40))
    assert numbers != list(range(40))
    assert positions.shape == (40, 30, 2)
    rows, columns = _pixel(positions)
    expected = images[np.array(numbers)[:, np.newaxis], rows, columns] / 127.5 - 1
    np.testing.assert_allclose(colours, expected, atol=1e-6)


def test_drawn_pixels_are_uniform_and_drawn_for_each_image_anew():
    _, positions, _ = _epoch(pixels((1000, HEIGHT, WIDTH, 3)), 45)
    rows, columns = _pixel(positions)
    counts = np.bincount((rows * WIDTH + columns).ravel(), minlength=HEIGHT * WIDTH)
    assert ((counts - 1000) ** 2 / 1000).sum() < 78.7  # chi-squared, 44 degrees of freedom, p = 0.001
    assert len({position.tobytes() for position in positions}) == 1000
    # With replacement: of 45 pixels, 45 (1 - 44/45)^45 are not drawn on average.
    different = np.mean([len(set(zip(*pair, strict=True))) for pair in zip(rows, columns, strict=True)])
    assert different == pytest.approx(45 * (1 - (44 / 45) ** 45), rel=0.02)


def test_an_epoch_draws_other_pixels():
    images = pixels((40, HEIGHT, WIDTH, 3))

    def by_image(**stream):
        conditions, positions, _ = _epoch(images, 30, **stream)
        return positions[np.argsort(_numbers(conditions, images))]

    first = by_image()
    np.testing.assert_array_equal(by_image(), first)
    for other in ({"epoch": 1}, {"seed": 1}):
        assert (by_image(**other) != first).any(axis=(1, 2)).all()


def test_arguments_out_of_range():
    with pytest.raises(ValueError, match=r"needs images in colour, of 3 channels. Received: digits, of \(28, 28, 1\)"):
        ColorizationTask("digits")
    for number in (0, 2.5):
        with pytest.raises(ValueError, match=f"`num_points` must be an integer of at least 1. Received: {number}"):
            ColorizationTask("patches", num_points=number)
    with pytest.raises(ValueError, match="There is no data source 'imagenet'"):
        ColorizationTask("imagenet")
