"""Sampled variances of generated weights and of pre-activations against the formulas."""

import keras
import numpy as np
import pytest
from helpers import array, normal

from keras_hypernet.bases.initializers import FanInUniform, HyperfanIn, HyperfanOut, UnitIncomingNorm
from keras_hypernet.layers import HyperDense

FAN_IN, RANK, UNITS, SAMPLES = 300, 40, 200, 200


def _sample(kernel_initializer, bias_initializer="zeros", second_moment=1.0, fan_in=FAN_IN):
    """Generated kernels and biases under many conditions, and outputs for inputs of second moment one."""
    layer = HyperDense(UNITS, kernel_initializer=kernel_initializer, bias_initializer=bias_initializer)
    x = normal((SAMPLES, fan_in))
    condition = normal((SAMPLES, RANK), seed=1) * np.sqrt(second_moment).astype("float32")
    y = array(layer(x, condition))
    weights = {name: array(value) for name, value in layer.generate(condition).items()}
    return weights["kernel"].var(), weights["bias"].var(), y.var()


@pytest.mark.parametrize("second_moment", [1.0, 0.25])
@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_hyperfan_in_keeps_the_variance_of_activations(gain, second_moment):
    kernel, bias, y = _sample(HyperfanIn(gain, second_moment), second_moment=second_moment)
    assert kernel == pytest.approx(gain / FAN_IN, rel=0.05)
    assert bias == 0
    assert y == pytest.approx(gain, rel=0.05)


def test_hyperfan_in_shares_the_variance_with_a_generated_bias():
    initializer = HyperfanIn(2.0, generates_bias=True)
    kernel, bias, y = _sample(initializer, initializer)
    assert kernel == pytest.approx(1 / FAN_IN, rel=0.05)
    assert bias == pytest.approx(1, rel=0.05)
    assert y == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("second_moment", [1.0, 0.25])
def test_hyperfan_out_keeps_the_variance_of_gradients(second_moment):
    kernel, _, y = _sample(HyperfanOut(2.0, second_moment), second_moment=second_moment)
    assert kernel == pytest.approx(2 / UNITS, rel=0.05)
    # A gradient that arrives with variance one at the outputs leaves with the gain: fan_out * Var(K).
    assert UNITS * kernel == pytest.approx(2, rel=0.05)
    assert y == pytest.approx(2 * FAN_IN / UNITS, rel=0.05)


def test_hyperfan_out_bias_makes_up_the_rest_of_the_variance():
    fan_in = 80
    initializer = HyperfanOut(fan_in=fan_in)
    kernel, bias, y = _sample(initializer, initializer, fan_in=fan_in)
    assert kernel == pytest.approx(1 / UNITS, rel=0.05)
    assert bias == pytest.approx(1 - fan_in / UNITS, rel=0.05)
    assert y == pytest.approx(1, rel=0.05)


def test_hyperfan_starts_without_a_constant_term():
    for initializer in (HyperfanIn(), HyperfanOut()):
        basis = array(initializer((5, RANK + 1, UNITS)))
        assert (basis[:, RANK] == 0).all()
        assert (basis[:, :RANK] != 0).mean() > 0.99


def test_authors_scheme_on_the_basis():
    # The bias has no more than 41 x 200 numbers: the mean of ten samples is as precise as the kernel's variance.
    samples = [_sample(FanInUniform(RANK), FanInUniform(RANK), second_moment=0.5) for _ in range(10)]
    kernel, bias, y = np.mean(samples, axis=0)
    variance = 1 / (3 * RANK)  # of each of the RANK slopes and of the constant term
    assert kernel == pytest.approx((RANK * 0.5 + 1) * variance, rel=0.05)
    assert bias == pytest.approx((RANK * 0.5 + 1) * variance, rel=0.05)
    assert y == pytest.approx((FAN_IN + 1) * (RANK * 0.5 + 1) * variance, rel=0.05)


def test_authors_scheme_is_uniform_of_variance_a_third_of_one_over_fan_in():
    values = array(FanInUniform(fan_in=64)((64, 5000)))
    assert values.var() == pytest.approx(1 / (3 * 64), rel=0.05)
    assert np.abs(values).max() <= 1 / 8
    # A uniform distribution has the kurtosis 9 / 5.
    assert (values**4).mean() / values.var() ** 2 == pytest.approx(1.8, rel=0.02)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("shape", [(100, 20), (1, 20), (3, 3, 4, 20)])
def test_incoming_weights_of_each_unit_have_norm_one(distribution, shape):
    kernel = array(UnitIncomingNorm(distribution)(shape)).reshape(-1, 20)
    np.testing.assert_allclose(np.sqrt((kernel**2).sum(axis=0)), 1, atol=1e-6)
    assert (kernel > 0).any()
    assert (kernel < 0).any()


@pytest.mark.parametrize(("distribution", "kurtosis"), [("normal", 3), ("uniform", 9 / 5)])
def test_incoming_weights_keep_the_shape_of_their_distribution(distribution, kurtosis):
    weights = array(UnitIncomingNorm(distribution)((1000, 300)))
    assert weights.mean() == pytest.approx(0, abs=3e-4)  # the standard error is 6e-5
    assert weights.var() == pytest.approx(1 / 1000, rel=0.01)
    assert (weights**4).mean() / weights.var() ** 2 == pytest.approx(kurtosis, rel=0.03)
    # A uniform distribution of variance 1 / 1000 ends at the square root of 3 / 1000.
    assert (np.abs(weights).max() < 1.1 * np.sqrt(3 / 1000)) == (distribution == "uniform")


@pytest.mark.parametrize(
    "initializer",
    [
        HyperfanIn(2.0, 0.5, True, 7),
        HyperfanOut(2.0, 0.5, 9, 7),
        FanInUniform(9, 7),
        UnitIncomingNorm("normal", 7),
        UnitIncomingNorm("uniform", 7),
    ],
)
def test_config_and_seed_make_the_same_values(initializer):
    copy = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    assert copy.get_config() == initializer.get_config()
    np.testing.assert_array_equal(array(copy((5, 4, 3))), array(initializer((5, 4, 3))))


@pytest.mark.parametrize(
    "make",
    [HyperfanIn, HyperfanOut, lambda: FanInUniform(9), UnitIncomingNorm, lambda: UnitIncomingNorm("uniform")],
)
def test_without_a_seed_every_call_draws_anew_and_the_global_seed_repeats(make):
    keras.utils.set_random_seed(1)
    first, second = array(make()((5, 4, 3))), array(make()((5, 4, 3)))
    assert (first != second).any()
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(array(make()((5, 4, 3))), first)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`gain` must be positive. Received: 0"):
        HyperfanIn(gain=0)
    with pytest.raises(ValueError, match="`condition_second_moment` must be positive"):
        HyperfanOut(condition_second_moment=-1.0)
    with pytest.raises(ValueError, match="`fan_in` must be positive. Received: -50"):
        HyperfanOut(fan_in=-50)
    with pytest.raises(ValueError, match="needs `fan_in`"):
        HyperfanOut()((4, 3))
    with pytest.raises(ValueError, match=r"A basis has the shape \[..., R \+ 1, units\]. Received: \(3,\)"):
        HyperfanIn()((3,))
    with pytest.raises(ValueError, match="`fan_in` must be positive"):
        FanInUniform(0)
    with pytest.raises(ValueError, match="`distribution` must be 'normal' or 'uniform'. Received: 'cauchy'"):
        UnitIncomingNorm("cauchy")
