"""Gaussian processes: samples, posterior and log-likelihood against closed forms and plain NumPy."""

import keras
import numpy as np
import pytest
from scipy import stats

from keras_hypernet.tasks import GaussianProcessTask
from keras_hypernet.tasks.gaussian_process import KERNELS, NOISE, NormalExcess, covariance, posterior, sample

kernels = pytest.mark.parametrize("kernel", KERNELS)
X = np.array([-1.3, -0.2, 0.0, 0.3, 1.0])


def _kernel(kernel, distance):
    if kernel == "rbf":
        return np.exp(-2 * distance**2)
    if kernel == "matern":
        r = 2 * np.sqrt(5) * distance
        return (1 + r + r**2 / 3) * np.exp(-r)
    return np.exp(-8 * np.sin(np.pi * distance) ** 2)


@kernels
def test_covariance_is_the_kernel(kernel):
    expected = [[_kernel(kernel, abs(first - second)) for second in X] for first in X]
    np.testing.assert_allclose(covariance(kernel, X, X), expected, atol=1e-12)


@kernels
@pytest.mark.parametrize("xp", [np, keras.ops], ids=["numpy", "ops"])
def test_samples_have_the_covariance_of_the_process(kernel, xp):
    normals = np.random.default_rng(3).standard_normal((40_000, len(X))).astype("float32")
    drawn = np.asarray(sample(kernel, np.broadcast_to(X.astype("float32"), normals.shape), normals, xp))
    expected = covariance(kernel, X, X) + NOISE**2 * np.eye(len(X))
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.03)


@kernels
def test_exact_log_likelihoods_are_the_conditional_of_the_joint_normal(kernel):
    """A density of the target given the set is the quotient of two joint densities."""
    task = GaussianProcessTask(kernel, members=4, num_points=3, num_test=5)
    examples = task.load("test")

    def joint(points):
        total = covariance(kernel, points[:, 0], points[:, 0]) + NOISE**2 * np.eye(len(points))
        return stats.multivariate_normal(np.zeros(len(points)), total).logpdf(points[:, 1])

    for x, y, members in zip(*(examples[name].astype("float64") for name in ("x", "y", "condition")), strict=True):
        for target, (value, exact) in zip(x[:, 0], y, strict=True):
            expected = joint(np.vstack([members, [target, value]])) - joint(members)
            assert exact == pytest.approx(expected, abs=1e-4)


def test_the_prior_is_standard_normal_with_noise():
    mean, variance = posterior("rbf", None, np.zeros((2, 3)))
    np.testing.assert_array_equal(mean, np.zeros((2, 3)))
    np.testing.assert_allclose(variance, 1 + NOISE**2)
    task = GaussianProcessTask("rbf", members=2, num_test=20)
    examples = task.load("test")
    expected = stats.norm(0, np.sqrt(1 + NOISE**2)).logpdf(examples["y"][..., 0])
    np.testing.assert_allclose(task.exact(examples, use_set=False), expected, rtol=1e-5)


def test_the_loss_is_the_exact_log_likelihood_minus_that_of_the_prediction():
    y, outputs = np.random.default_rng(4).standard_normal((2, 6, 5, 2)).astype("float32")
    density = stats.norm(outputs[..., 0], 0.01 + np.log1p(np.exp(outputs[..., 1])))
    expected = y[..., 1] - density.logpdf(y[..., 0])
    np.testing.assert_allclose(NormalExcess(reduction=None)(y, outputs), expected, rtol=1e-4, atol=1e-5)


def test_training_draws_functions_of_the_process():
    task = GaussianProcessTask("matern", members=3, num_points=4, num_train=3000)
    ((inputs, y),) = task.training_dataset(task.load("train"), 3000, 0, 0)
    x = np.concatenate([inputs["condition"][..., 0], inputs["x"][..., 0]], axis=1).astype("float64")
    values = np.concatenate([inputs["condition"][..., 1], y[..., 0]], axis=1).astype("float64")
    totals = covariance("matern", x, x) + NOISE**2 * np.eye(7)
    whitened = np.linalg.solve(np.linalg.cholesky(totals), values[..., None])[..., 0]
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(7), atol=0.15)
    assert (np.asarray(y[..., 1]) == 0).all()


@pytest.mark.parametrize("method", GaussianProcessTask.methods)
def test_the_order_of_a_set_makes_no_difference(method):
    import keras_hypernet as kh

    task = GaussianProcessTask("rbf", members=5, num_points=3, num_test=4)
    model = kh.build_model(task, method, kh.Recipe(width=8, optimizer="adam"))
    examples = task.load("test")
    same = model({"x": examples["x"], "condition": examples["condition"]})
    other = model({"x": examples["x"], "condition": examples["condition"][:, ::-1]})
    np.testing.assert_allclose(same, other, atol=1e-5)
    assert kh.evaluate(model, task)["excess"] > 0


@pytest.mark.regression
def test_there_is_no_training_split_to_evaluate():
    with pytest.raises(ValueError, match="Each epoch draws new functions"):
        GaussianProcessTask("rbf").evaluation_dataset("train")
    with pytest.raises(ValueError, match="`kernel` must be one of"):
        GaussianProcessTask(["rbf"])
