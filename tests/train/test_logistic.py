"""The solver: it ends at the optimum, from wherever it starts and whatever it is told of the curvature."""

import dataclasses

import numpy as np
import pytest

from headstart.train.logistic import Curvature, fit_weights
from headstart.train.rows import HostRows, Weights, logits, softmax_in_place


def problem(*, n=200, num_features=30, num_classes=4, dtype=np.float64):
    """Return strongly correlated features and labels, and a start."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(n, num_features)) * np.logspace(1, -2, num_features)
    features @= np.linalg.qr(generator.normal(size=(num_features, num_features)))[0]
    features -= features.mean(axis=0)
    labels = (features[:, :num_classes] + generator.normal(size=(n, num_classes))).argmax(axis=1)
    start = Weights(coef=np.zeros((num_classes, num_features), dtype), intercept=np.zeros(num_classes, dtype))
    return features.astype(dtype), labels, start


def solve(features, labels, start, *, curvature=None, tolerance=1e-12, max_iter=5000, strength=0.01):
    return fit_weights(
        HostRows(features, labels),
        strength=strength,
        start=start,
        curvature=curvature or Curvature.of(features),
        tolerance=tolerance,
        max_iter=max_iter,
    )


def test_ends_where_the_gradient_is_zero():
    features, labels, start = problem()
    found = solve(features, labels, start)
    scores = logits(features, found.weights)
    errors = np.exp(scores - np.logaddexp.reduce(scores, axis=1)[:, None]) - np.eye(4)[labels]
    assert np.abs(errors.T @ features / 200 + 0.01 * found.weights.coef).max() < 1e-5
    assert np.abs(errors.mean(axis=0)).max() < 1e-5  # the intercepts are free of the penalty
    assert found.converged


def test_curvature_decides_the_speed_not_the_result():
    features, labels, start = problem()
    known = solve(features, labels, start)
    flat = dataclasses.replace(
        Curvature.of(features), directions=np.zeros((30, 1)), variances=np.ones(2), squares=np.ones((200, 2))
    )
    unknown = solve(features, labels, start, curvature=flat)
    np.testing.assert_allclose(known.weights.coef, unknown.weights.coef, atol=1e-3)
    assert known.num_iterations < unknown.num_iterations / 2


def test_the_start_does_not_matter():
    features, labels, start = problem()
    generator = np.random.default_rng(1)
    elsewhere = Weights(coef=generator.normal(size=start.coef.shape), intercept=generator.normal(size=4))
    np.testing.assert_allclose(
        solve(features, labels, start).weights.coef,
        solve(features, labels, elsewhere).weights.coef,
        atol=1e-3,
    )


def test_a_start_at_the_optimum_is_left_at_once():
    features, labels, start = problem()
    optimum = solve(features, labels, start)
    again = solve(features, labels, optimum.weights, tolerance=1e-6)
    assert again.num_iterations <= 2
    np.testing.assert_allclose(again.weights.coef, optimum.weights.coef, atol=1e-3)


def test_float32_stays_float32():
    features, labels, start = problem(dtype=np.float32)
    weights = solve(features, labels, start, tolerance=1e-6).weights
    assert (weights.coef.dtype, weights.intercept.dtype) == (np.float32, np.float32)


def test_says_when_the_limit_of_steps_ended_it():
    assert not solve(*problem(), max_iter=2).converged


def test_curvature_is_the_leading_part_of_the_covariance():
    features, _, _ = problem(n=500)
    curvature = Curvature.of(features)
    covariance = features.T @ features / len(features)
    rebuilt = (curvature.directions * curvature.variances[:-1]) @ curvature.directions.T
    np.testing.assert_allclose(rebuilt, covariance, atol=1e-3 * np.abs(covariance).max())
    identity = curvature.directions.T @ curvature.directions
    np.testing.assert_allclose(identity, np.eye(len(identity)), atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 40), (3000, 100), (2, 1)])
def test_curvature_of_any_shape_is_bounded_and_finite(shape):
    features = np.random.default_rng(0).normal(size=shape)
    features -= features.mean(axis=0)
    curvature = Curvature.of(features)
    assert curvature.directions.shape[1] <= min(64, *shape)
    assert all(np.isfinite(getattr(curvature, field.name)).all() for field in dataclasses.fields(curvature))
    assert (curvature.variances >= 0).all()


def test_cross_entropies_of_large_scores_are_finite():
    found = softmax_in_place(np.array([[1e4, 0.0], [1e4, 0.0], [0.0, 0.0]]), np.array([0, 1, 1]))
    np.testing.assert_allclose(found, [0, 1e4, np.log(2)])
