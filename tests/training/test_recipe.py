"""Recipe: valid values and JSON."""

import dataclasses
import json

import numpy as np
import pytest

from keras_hypernet.training.recipe import Recipe

RECIPE = Recipe(width=8)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("width", 0), ("depth", 1), ("batch_size", 0), ("epochs", 0), ("seed", -1), ("epochs", 2.5)],
        *[("width", None), ("rank", 0), ("rank", 1.5), ("embedding_dim", 0), ("primary_units", 0)],
    ],
)
def test_integers_below_their_range_are_refused(field, value):
    with pytest.raises(ValueError, match=f"`{field}` must be an integer of at least .* Received: {value}"):
        dataclasses.replace(RECIPE, **{field: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 1001}, "`depth` must be an integer of at most 1000. Received: 1001"),
        *[
            ({"learning_rate": rate}, f"`learning_rate` must be positive and finite. Received: {rate}")
            for rate in (0, float("inf"), float("nan"))
        ],
        ({"initialization": "zeros"}, "`initialization` must be one of .* Received: 'zeros'"),
        *[
            (changes, rf"`momentum` must be in \[0, 1\), and 0 except for sgd. Received: {changes['momentum']}")
            for changes in ({"momentum": 1.0}, {"momentum": -0.5}, {"momentum": 0.5, "optimizer": "adam"})
        ],
        ({"rho": 0.9}, "`rho` and `epsilon` are settings of adadelta. Received: 0.9, None for 'sgd'"),
        ({"gradient_clipnorm": 0.0}, "`gradient_clipnorm` must be positive and finite, or None. Received: 0.0"),
    ],
)
def test_other_values_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(RECIPE, **changes)


def test_scalars_of_numpy_are_python_numbers():
    recipe = Recipe(width=np.int64(8), learning_rate=np.float32(0.5), seed=np.arange(3)[2])
    assert json.dumps(recipe.to_dict()) == json.dumps(dataclasses.replace(RECIPE, learning_rate=0.5, seed=2).to_dict())


def test_recipe_survives_json():
    changes = {"rank": 3, "embedding_dim": 5, "momentum": 0.5, "primary_units": 7}
    new = dataclasses.replace(RECIPE, **changes, initialization="unit_norm_uniform")
    for recipe in (RECIPE, new):
        assert Recipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert new.to_dict()["primary_units"] == 7
    assert "primary_units" not in RECIPE.to_dict()  # as in rows and cards that are older than the field
