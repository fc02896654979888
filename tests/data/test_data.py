"""Image sources: shapes, labels, splits without overlap, a missing network, damaged files."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import keras_hypernet as kh
from keras_hypernet.data.sources import SOURCES, SPLITS, get_source

SIZES = {
    "mnist": (55_000, 5_000, 10_000),
    "cifar10": (45_000, 5_000, 10_000),
    "digits": (1_197, 300, 300),
    "patches": (5_300, 900, 900),
}


@pytest.fixture(
    scope="module",
    params=["digits", "patches", *(pytest.param(name, marks=pytest.mark.full) for name in ("mnist", "cifar10"))],
)
def splits(request, source):
    images = source(request.param)
    return images, {split: images.load(split) for split in SPLITS}


def test_every_source_is_tested():
    assert set(SIZES) == set(SOURCES)


def test_splits_have_their_sizes_shape_and_dtype(splits):
    source, images = splits
    assert tuple(len(images[split]) for split in SPLITS) == SIZES[source.name]
    for array in images.values():
        assert array.shape[1:] == source.image_shape
        assert array.dtype == np.uint8
        assert array.max() > 200


def test_no_validation_or_test_image_is_trained_on(splits):
    source, images = splits
    seen = {split: {image.tobytes() for image in array} for split, array in images.items()}
    # MNIST and CIFAR-10 hold a few images twice. More common images would mean that a split is read twice.
    for left, right in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert len(seen[left] & seen[right]) <= 5, (source.name, left, right)


@pytest.mark.full
def test_reading_gives_no_warning(source):
    """In a new process, since TensorFlow Datasets warns once per process."""
    source("mnist")
    code = "from keras_hypernet.data import get_source; get_source('mnist').load('test')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "WARNING:absl:" not in done.stderr


def test_order_is_the_same_whenever_a_split_is_read(splits):
    source, images = splits
    np.testing.assert_array_equal(source._load("validation"), images["validation"])  # past the cache of `load`


@pytest.mark.parametrize("name", ["digits", "patches"])
def test_images_are_read_once_and_cannot_be_changed(name):
    _check_shared(get_source(name).load)


def test_labels_are_read_once_and_cannot_be_changed():
    _check_shared(get_source("digits").load_labels)


def _check_shared(read):
    array = read("test")
    assert read("test") is array
    assert read("validation") is not array
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("mnist", "test"),
        pytest.param("mnist", "validation", marks=pytest.mark.full),
        pytest.param("cifar10", "validation", marks=pytest.mark.full),
        pytest.param("cifar10", "test", marks=pytest.mark.full),
    ],
)
def test_images_and_labels_match_tensorflow_datasets(source, name, split):
    import tensorflow_datasets as tfds

    data = source(name)
    images, labels = data.load(split), data.load_labels(split)
    assert labels.shape == images.shape[:1]
    assert labels.dtype == np.int32
    assert set(labels) == set(range(10))
    part = "train[-20:]" if split == "validation" else "test[-20:]"
    builder = tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"), try_gcs=False)
    examples = list(tfds.as_numpy(builder.as_dataset(split=part)))
    np.testing.assert_array_equal(images[-20:], [example["image"] for example in examples])
    np.testing.assert_array_equal(labels[-20:], [example["label"] for example in examples])


def test_patches_of_different_splits_share_no_pixels():
    from sklearn.datasets import load_sample_images

    # A crop starts every 8 pixels, so every 4th crop of a row covers its pixels without overlap.
    strips = {"train": (0, 448), "validation": (448, 544), "test": (544, 640)}
    for split, (left, right) in strips.items():
        crops = get_source("patches").load(split)
        columns = (right - left - 32) // 8 + 1
        rows = (427 - 32) // 8 + 1
        assert len(crops) == 2 * rows * columns
        photograph = load_sample_images().images[1]
        np.testing.assert_array_equal(crops[-1], photograph[8 * (rows - 1) :, right - 32 : right][:32])


def test_labels_of_digits_match_scikit_learn():
    from sklearn.datasets import load_digits

    digits = get_source("digits")
    labels = [digits.load_labels(split) for split in SPLITS]
    assert [len(array) for array in labels] == [len(digits.load(split)) for split in SPLITS]
    assert {array.dtype.name for array in labels} == {"int32"}
    np.testing.assert_array_equal(np.concatenate(labels), load_digits().target)


@pytest.mark.parametrize("split", SPLITS)
def test_images_and_labels_of_digits_are_aligned(split):
    digits = get_source("digits")
    means = np.stack([digits.load("train")[digits.load_labels("train") == digit].mean(axis=0) for digit in range(10)])
    differences = np.abs(digits.load(split)[:, np.newaxis] - means).mean(axis=(2, 3, 4))
    # An image is nearest to the mean of its own digit, mostly; of shuffled labels, a tenth of the time.
    assert (differences.argmin(axis=1) == digits.load_labels(split)).mean() > 0.8


def test_digits_match_scikit_learn():
    from sklearn.datasets import load_digits

    images = get_source("digits").load("train")[..., 0]
    small = load_digits().images[: len(images)]
    # A pixel of the original is 3.5 wide, so the one around its centre is nearly the original's.
    centres = (3.5 * np.arange(8) + 1.75).astype(int)
    sampled = images[:, centres[:, np.newaxis], centres]
    assert np.abs(sampled / 255 - small / 16).mean() < 0.05
    for flipped in (small[:, ::-1], small[:, :, ::-1], small.transpose(0, 2, 1)):
        assert np.abs(sampled / 255 - flipped / 16).mean() > 0.2


def test_any_image_data_set_of_tensorflow_datasets_is_a_source(prepare):
    prepare("tiny_shapes", {"train": 25, "test": 6})
    task = kh.RotationTask("tiny_shapes")
    assert (task.x_shape, task.config()) == ((5, 7, 3), {"name": "rotation", "data": "tiny_shapes"})
    images, labels = ({split: load(split) for split in SPLITS} for load in (task.source.load, task.source.load_labels))
    assert {split: len(array) for split, array in images.items()} == {"train": 23, "validation": 2, "test": 6}
    for split in SPLITS:
        assert images[split].dtype == np.uint8
        np.testing.assert_array_equal(
            images[split], np.broadcast_to(labels[split][:, None, None, None], images[split].shape)
        )
    assert sorted([*labels["train"], *labels["validation"]]) == list(range(25))
    assert sorted(labels["test"]) == list(range(25, 31))
    assert task.data_facts()["origin"].startswith("tiny_shapes in TensorFlow Datasets")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"shape": (None, None, 3)},
            r"or be given as arrays. Received: images of type uint8 and shape \(None, None, 3",
        ),
        ({"dtype": "uint16"}, "Received: images of type uint16 and"),
        ({"given": ("label",)}, "or be given as arrays. Received: no images"),
        (
            {"sizes": {"train": 8}},
            r"'tiny' must have the splits train and test. Received: \['train'\]. Divide the images",
        ),
    ],
)
def test_data_sets_of_other_kinds_are_refused(prepare, options, message):
    prepare("tiny", **{"sizes": {"train": 8, "test": 3}, **options})
    with pytest.raises(ValueError, match=message):
        kh.RotationTask("tiny")


def test_unknown_source_and_split():
    with pytest.raises(ValueError, match="There is no data source 'imagenet'; choose one of .*'cifar10', 'digits'"):
        get_source("imagenet")
    for read in (get_source("digits").load, get_source("digits").load_labels):
        with pytest.raises(ValueError, match=r"The split must be one of .* Received: 'all'"):
            read("all")


def test_sources_without_labels_name_sources_with_labels():
    message = r"The images of 'patches' have no labels; choose one of \['cifar10', 'digits', 'mnist'\]"
    for ask in (get_source("patches").check_labels, lambda: get_source("patches").load_labels("test")):
        with pytest.raises(ValueError, match=message):
            ask()
    get_source("digits").check_labels()


# First no data set; then three images as TensorFlow Datasets keeps MNIST, and one damage of the files after another.
_DAMAGES = """
import json, pathlib, shutil, sys
import numpy as np
import tensorflow as tf
from keras_hypernet.data import DataUnavailableError, get_source

folder = pathlib.Path(sys.argv[1]) / "mnist" / "3.0.1"
feature = "tensorflow_datasets.core.features."
image = {"dtype": "uint8", "shape": {"dimensions": ["28", "28", "1"]}}
features = {
    "image": {"pythonClassName": feature + "image_feature.Image", "image": image},
    "label": {"pythonClassName": feature + "class_label_feature.ClassLabel", "classLabel": {"numClasses": "10"}},
}
info = {
    "name": "mnist",
    "version": "3.0.1",
    "fileFormat": "tfrecord",
    "moduleName": "tensorflow_datasets.image_classification.mnist",
    "splits": [
        {
            "name": name,
            "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            "numBytes": "1",
            "shardLengths": ["3"],
        }
        for name in ("train", "test")
    ],
}
images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1)).astype("uint8")


def write(first=None):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps(info))
    everything = {"featuresDict": {"features": features}, "pythonClassName": feature + "features_dict.FeaturesDict"}
    (folder / "features.json").write_text(json.dumps(everything))
    with tf.io.TFRecordWriter(str(records)) as writer:
        for number, pixels in enumerate(images):
            encoded = first if first and number == 0 else tf.io.encode_png(pixels).numpy()
            values = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())


try:
    get_source("mnist").load("test")
except DataUnavailableError as error:
    missing = str(error)
records = folder / "mnist-test.tfrecord-00000-of-00001"
described = folder / "dataset_info.json"
write()
whole, text = records.read_bytes(), described.read_text()
flipped = bytearray(whole)
flipped[len(whole) // 2] ^= 1
damages = {
    "truncated": lambda: records.write_bytes(whole[:-50]),
    "flipped": lambda: records.write_bytes(flipped),
    "empty": lambda: records.write_bytes(b""),
    "gone": lambda: records.unlink(),
    "no image": lambda: write(b"nothing"),
    "fewer records": lambda: described.write_text(text.replace('["3"]', '["4"]')),
    "description truncated": lambda: described.write_text(text[:100]),
    "description of something else": lambda: described.write_text("{}"),
    "description without the split": lambda: described.write_text(text.replace('"test"', '"rest"')),
    "description in bytes": lambda: described.write_bytes(bytes([255, 254])),
}
messages = {}
for name, damage in damages.items():
    write()
    damage()
    try:
        get_source("mnist").load("test")
    except DataUnavailableError as error:
        messages[name] = str(error)
write()
np.testing.assert_array_equal(get_source("mnist").load("test"), images)
np.testing.assert_array_equal(get_source("mnist").load_labels("test"), [0, 1, 2])
print(json.dumps([missing, list(damages), messages]))
"""


@pytest.mark.full
@pytest.mark.regression
def test_missing_and_damaged_files_are_named(tmp_path):
    """In a process whose only network is a proxy that does not answer."""
    nowhere = "http://127.0.0.1:9"
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"TFDS_DATA_DIR": str(tmp_path), "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere}
    command = [sys.executable, "-c", _DAMAGES, tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    missing, damages, messages = json.loads(done.stdout.splitlines()[-1])
    assert missing.startswith("The data set 'mnist' is not in")
    assert "Set TFDS_DATA_DIR" in missing
    assert "digits, patches" in missing
    assert list(messages) == damages
    for message in messages.values():
        assert message.startswith(f"The data set 'mnist' in {tmp_path / 'mnist'}")
        assert "If its files are damaged, delete this folder, and the data set is downloaded again" in message
        assert "\n" not in message
        assert len(message) < 600
    assert "3.0.1 cannot be read (DataLossError: corrupted record at " in messages["flipped"]
    assert "3.0.1 cannot be read (NotFoundError: " in messages["gone"]
