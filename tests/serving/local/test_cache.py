"""The weight cache: its entries, the work that it saves, and equal answers without it."""

import json

import keras
import numpy as np
import pytest
from helpers import pixels
from servers import assert_close

import keras_hypernet as kh
from keras_hypernet.data.sources import get_source
from keras_hypernet.serving.local.cache import WeightCache, run_default
from keras_hypernet.serving.local.engine import Engine
from keras_hypernet.serving.local.servable import Servable


@pytest.fixture(scope="module")
def folder(tmp_path_factory, exported):
    names = "rotation_mnist_hyper", "rotation_mnist_embed", "assumption1_mnist_f1"
    return exported(tmp_path_factory.mktemp("saved_models"), *names)


class _Counting:
    """A servable that counts the runs of each signature."""

    def __init__(self, servable):
        self._servable, self.runs = servable, []

    def __getattr__(self, name):
        return getattr(self._servable, name)

    def run(self, signature, inputs):
        self.runs.append(signature)
        return self._servable.run(signature, inputs)


@pytest.fixture(scope="module", params=["rotation_mnist_hyper", "rotation_mnist_embed"])
def loaded(request, folder):
    return Servable(request.param, 1, folder / request.param / "1")


@pytest.fixture
def servable(loaded):
    return _Counting(loaded)


def _inputs(conditions, rows, seed=0):
    """Real digits, of whose conditions some are the same."""
    images = kh.tasks.get_task("rotation", data="digits").load("test")
    return {"x": images[seed : seed + rows], "condition": images[100 + np.arange(rows) % conditions]}


@pytest.mark.parametrize(("conditions", "rows"), [(1, 1), (1, 40), (2, 40), (40, 40)])
def test_the_cache_does_not_change_answers(servable, conditions, rows):
    inputs, cache, none = _inputs(conditions, rows), WeightCache(2**24), WeightCache(0)
    without = np.asarray(run_default(servable, inputs, none)["logits"])
    for _ in range(3):
        np.testing.assert_array_equal(np.asarray(run_default(servable, inputs, cache)["logits"]), without)
    assert (len(none), none.hits, none.misses) == (0, 0, 0)
    assert (cache.hits, cache.misses) == ((2, 1) if conditions == 1 else (0, 0))
    # Of the largest: sums of float32 in another order.
    assert_close(without, servable.run("serving_default", inputs)["logits"].numpy(), 5e-6)


@pytest.mark.full
@pytest.mark.parametrize("name", ["rotation_cifar_hyper", "rotation_cifar_embed"])
def test_the_cache_does_not_change_answers_with_3072_pixels(exported, tmp_path, name):
    images = get_source("patches").load("test")
    engine = Engine(exported(tmp_path, name), [name])
    engine.repository.poll()
    with engine.repository.use(name) as servable:
        for rows in (1, 64):
            inputs = {"x": images[:rows], "condition": images[100:101]}
            answers = [run_default(servable, inputs, one) for one in (WeightCache(0), engine.cache, engine.cache)]
            for answer in answers[1:]:
                np.testing.assert_array_equal(answer["logits"], answers[0]["logits"])
    assert engine.cache.hits == 3
    engine.close()


def _in_float64(model):
    """The same network with the same weights in float64."""
    config = json.dumps(keras.saving.serialize_keras_object(model)).replace('"float32"', '"float64"')
    exact = keras.saving.deserialize_keras_object({**json.loads(config), "compile_config": None})
    image = np.zeros((1, *model.x_shape[1:]), "uint8")
    exact({"x": image, "condition": image})
    for weight, given in zip(exact.weights, model.weights, strict=True):
        weight.assign(np.asarray(given, "float64"))
    return exact


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("rotation_mnist_hyper", "digits"),
        pytest.param("rotation_mnist_embed", "digits", marks=pytest.mark.full),
        pytest.param("rotation_cifar_hyper", "patches", marks=pytest.mark.full),
        pytest.param("rotation_cifar_embed", "patches", marks=pytest.mark.full),
    ],
)
def test_the_halves_differ_from_the_whole_by_rounding(exported, tmp_path, name, source):
    """Relative to the largest output, on real images: the halves are about as near to float64 as `serving_default`.

    `generate_weights` reads one condition, so the halves round as `serving_default` does with single rows. How much
    that is depends on the processor's order of sums.
    """
    images = get_source(source).load("test")
    engine = Engine(exported(tmp_path, name), [name])
    engine.repository.poll()
    exact, differences = _in_float64(kh.load(name)), []
    with engine.repository.use(name) as servable:
        for number in range(5):
            x, condition = images[:64], np.repeat(images[100 + number :][:1], 64, axis=0)
            inputs = {"x": x, "condition": condition}
            expected = np.asarray(exact(inputs))
            assert expected.dtype == "float64"
            whole = servable.run("serving_default", inputs)["logits"].numpy()
            halves = np.asarray(run_default(servable, inputs, engine.cache)["logits"])
            rows = [{"x": x[row : row + 1], "condition": condition[:1]} for row in range(64)]
            single = np.concatenate([servable.run("serving_default", row)["logits"].numpy() for row in rows])
            scale = np.abs(expected).max()
            pairs = [(whole, halves), (halves, expected), (whole, expected), (single, expected)]
            differences.append([np.abs(a - b).max() / scale for a, b in pairs])
    assert engine.cache.misses == 5  # the halves ran
    engine.close()
    apart, of_halves, of_whole, of_single = np.max(differences, axis=0)
    print(
        f"{name}: the halves differ from serving_default by {apart:.1e}, from float64 by {of_halves:.1e}; "
        f"serving_default from float64 by {of_whole:.1e}, with single rows by {of_single:.1e}"
    )
    rounding = max(of_whole, of_single)
    assert 0 < rounding < 1e-4  # numbers of 16 bits are off by more
    assert apart <= 4 * rounding
    assert of_halves <= 4 * rounding


def test_a_condition_is_read_once(servable):
    first = "generate_weights" if "generate_weights" in servable.inputs else "embed"
    cache = WeightCache(2**24)
    for number, expected in enumerate([[first, "apply"], ["apply"], ["apply"]]):
        servable.runs.clear()
        run_default(servable, {**_inputs(1, 1 + number, seed=number)}, cache)
        assert servable.runs == expected
    assert (cache.hits, cache.misses, len(cache)) == (2, 1, 1)
    servable.runs.clear()
    run_default(servable, {**_inputs(1, 16), "condition": _inputs(1, 1)["condition"]}, cache)  # one for all rows
    run_default(servable, _inputs(2, 16), cache)
    assert servable.runs == ["apply", "serving_default"]


def test_one_changed_pixel_is_another_condition(servable):
    cache, inputs = WeightCache(2**24), _inputs(1, 8)
    run_default(servable, inputs, cache)
    changed = {**inputs, "condition": inputs["condition"].copy()}
    changed["condition"][:, 5, 5, 0] ^= 1
    outputs = run_default(servable, changed, cache)
    assert_close(np.asarray(outputs["logits"]), servable.run("serving_default", changed)["logits"].numpy(), 5e-6)
    assert len(cache) == 2


def test_networks_of_x_alone_do_not_use_the_cache(folder):
    engine = Engine(folder, ["assumption1_mnist_f1"])
    engine.repository.poll()
    with engine.repository.use("assumption1_mnist_f1") as servable:
        assert run_default(servable, {"x": pixels((2, 28, 28, 1))}, engine.cache)["value"].shape == (2, 10)
    assert (engine.cache.hits, engine.cache.misses) == (0, 0)
    engine.close()


def test_the_least_recently_used_go_first():
    cache = WeightCache(100)
    keys = [cache.key("model", 1, {"condition": np.array([number])}) for number in range(4)]
    for key in keys[:2]:
        cache.put(key, {}, 40)
    assert cache.get(keys[0]) == {}
    cache.put(keys[2], {}, 40)
    assert [cache.get(key) is not None for key in keys[:3]] == [True, False, True]
    assert cache.num_bytes == 80
    cache.put(keys[3], {}, 101)  # larger than all that may be kept
    assert cache.get(keys[3]) is None
    cache.put(keys[2], {}, 60)  # again, and larger
    assert (cache.num_bytes, len(cache)) == (100, 2)
    cache.drop("model", 2)
    assert len(cache) == 2
    cache.drop("model", 1)
    assert (cache.num_bytes, len(cache)) == (0, 0)


@pytest.mark.regression
def test_keys_tell_models_versions_parts_shapes_and_values_apart():
    def key(model="a", version=1, **condition):
        return WeightCache.key(model, version, {name: np.array(part) for name, part in condition.items()})

    def word(text):  # another object in every call
        return np.array([[bytes(text, "utf-8")]], dtype=object)

    keys = [
        *(key(*which, a=[[0, 1]]) for which in (("a", 1), ("b", 1), ("a", 2))),
        *(key(a=part) for part in ([[0], [1]], [[0, 2]], [[0.0, 1.0]], word("one"), word("two"))),
        *(key(**parts) for parts in ({"b": [[0, 1]]}, {"a": [0], "b": [1]}, {"a": [1], "b": [0]})),
    ]
    assert len(set(keys)) == len(keys)
    assert key(a=word("one"), b=[1]) == key(b=[1], a=word("one"))
