"""What is no set, or does not fit the sets, is refused with what was expected."""

import keras
import numpy as np
import pytest
from helpers import normal, pixels
from sets import (
    FEATURES,
    LENGTHS,
    MASK,
    MEMBERS,
    SETS,
    SIZE,
    built_model,
    image_model,
    make_embedding,
    make_primary,
    set_inputs,
)

import keras_hypernet as kh


@pytest.fixture(scope="module")
def called():
    """A model that has been called, directly and in a compiled function."""
    model = built_model()
    model(set_inputs(mask=MASK))
    model.predict(set_inputs(mask=MASK), verbose=0)
    return model


BUILT_FOR = r"built for `condition` of shape \(None, None, 3\). Received"


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"condition": normal((SETS, SIZE))}, ValueError, BUILT_FOR),
        ({"condition": normal((SETS, MEMBERS, 4))}, ValueError, BUILT_FOR),
        ({"condition": normal((SETS, 0, SIZE))}, ValueError, r"must have a member. Received: .*0, 3\)"),
        ({"mask": MASK, "lengths": LENGTHS}, ValueError, "either `mask` or `lengths`. Received: both"),
        ({"mask": MASK[:, :4]}, ValueError, r"`mask` must have the first dimensions of .*: \(6, 5\). Received: \(6, "),
        ({"mask": MASK[:, :1]}, ValueError, r"`mask` must have the first dimensions of .*: \(6, 5\). Received: \(6, "),
        ({"mask": MASK[:, 0]}, ValueError, r"`mask` must have .*: \(6, 5\). Received: (\(6,\)|another number of dim)"),
        ({"mask": MASK.astype("float32")}, TypeError, r"bool. Received: float32. Use `mask.astype\('bool'\)`"),
        ({"lengths": LENGTHS[:, None]}, ValueError, r"`lengths` must have .* as its shape: \(6,\). Received: \(6, 1\)"),
        ({"lengths": LENGTHS.astype("float32")}, TypeError, "`lengths` must be of dtype int. Received: float32."),
        (
            {"masks": MASK},
            ValueError,
            "may also hold 'mask' or 'lengths'. Received: a dict .*'condition', 'masks', 'x'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(called, change, error, message, compiled):
    # JAX's trainer keeps the state of a prediction that failed.
    model = called if keras.backend.backend() == "tensorflow" else built_model()
    call = (lambda inputs: model.predict(inputs, verbose=0)) if compiled else model
    with pytest.raises(error, match=message):
        call(set_inputs(**change))


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({"mask": MASK & (LENGTHS != 2)[:, np.newaxis]}, r"no True in these rows of `mask`: \[3\]"),
        ({"lengths": LENGTHS - 1}, r"must be from 1 to 5, the members of each set; leave .* Received: \[0\]"),
        ({"lengths": LENGTHS + 1}, r"must be from 1 to 5, .* Received: \[6, 6\]"),
    ],
)
def test_sets_without_members_are_refused_where_they_are_seen(which, message):
    model, inputs = built_model(), set_inputs()
    with pytest.raises(ValueError, match=message):
        model({**inputs, **which})
    with pytest.raises(ValueError, match=message):
        model.generate(inputs["condition"], **which)


def test_a_mask_for_other_sets_is_refused():
    with pytest.raises(ValueError, match=r"`mask` must have .* as its shape: \(6, 5\). Received: \(1, 5\)"):
        built_model()(set_inputs(mask=MASK[:1]))


def test_conditions_that_are_no_sets_are_refused():
    model = kh.ConditionalNeuralProcess(make_embedding(), make_primary())
    with pytest.raises(ValueError, match=r"sets, of shape \[batch, members, ...\].* \(6, 3\). To make sets of one"):
        model({"x": normal((SETS, FEATURES)), "condition": normal((SETS, SIZE))})
    images = pixels((SETS, 4, 4, 1))
    with pytest.raises(
        ValueError, match=r"members of the shape \(4, 4, 1\) that the embedding takes. Received: shape \(6, 4"
    ):
        image_model()({"x": images, "condition": images})
    built = built_model()
    for use in (built.generate, lambda condition: kh.specialize(built, condition)):
        with pytest.raises(ValueError, match=r"built for `condition` of shape \(None, None, 3\). Received: \(1, 3\)"):
            use(normal((1, SIZE)))
