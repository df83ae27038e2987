"""The closed form against the long way: every row left out by hand, shrinkage by scikit-learn."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge

from headstart.train import moments
from headstart.train.closed_form import STRENGTHS, Spectrum, Trial, fit_closed_form, left_out_scores
from headstart.train.moments import Moments

NUM_CLASSES = 10


@pytest.fixture(params=[60, 300], ids=["fewer rows than features", "more rows than features"])
def rows(request: pytest.FixtureRequest) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    features, labels = load_digits(return_X_y=True)
    kept = np.random.default_rng(0).permutation(len(labels))[: request.param]
    return features[kept], labels[kept].astype(np.int64)


def standardised(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    deviation = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


def test_rows_are_left_out_exactly(
    rows: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]],
) -> None:
    features, labels = rows
    fitted = fit_closed_form(features, labels, num_classes=NUM_CLASSES)
    inputs, targets = standardised(features), np.eye(NUM_CLASSES)[labels]
    for row in range(0, len(labels), 7):
        others = np.arange(len(labels)) != row
        ridge = Ridge(alpha=len(labels) * fitted.strength).fit(inputs[others], targets[others])
        np.testing.assert_allclose(
            ridge.predict(inputs[row : row + 1])[0], fitted.left_out_scores[row], atol=1e-8
        )


def test_new_rows_get_the_scores_of_ridge_regression(
    rows: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]],
) -> None:
    features, labels = rows
    fitted = fit_closed_form(features, labels, num_classes=NUM_CLASSES)
    ridge = Ridge(alpha=len(labels) * fitted.strength)
    ridge.fit(standardised(features), np.eye(NUM_CLASSES)[labels])
    np.testing.assert_allclose(ridge.predict(standardised(features)), fitted.scores(features), atol=1e-8)


def test_the_h_score_is_that_of_its_definition(
    rows: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]],
) -> None:
    features, labels = rows
    inputs = standardised(features)[:, features.std(axis=0) > 0]
    shrinkage = ledoit_wolf_shrinkage(inputs, assume_centered=True)
    covariance = inputs.T @ inputs / len(inputs)
    size = len(covariance)
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / size * np.eye(size)
    means = np.stack([inputs[labels == label].mean(axis=0) for label in range(NUM_CLASSES)])
    shares = np.bincount(labels, minlength=NUM_CLASSES)[:, None] / len(labels)
    expected = (1 - shrinkage) * np.trace(np.linalg.inv(shrunk) @ ((shares * means).T @ means))
    found = fit_closed_form(features, labels, num_classes=NUM_CLASSES)
    assert found.h_score == pytest.approx(expected, rel=1e-6)


def test_log_me_is_the_log_evidence_at_its_maximum() -> None:
    """The evidence by its definition, a Gaussian of n rows, is nowhere higher than what was found."""
    features, labels = load_digits(return_X_y=True)
    features, labels = features[:80], (labels[:80] > 4).astype(np.int64)
    inputs = standardised(features)
    target = (labels - labels.mean()).astype(np.float64)
    best = -np.inf
    for alpha in np.logspace(-1, 4, 21):
        for beta in np.logspace(-1, 4, 21):
            covariance = np.eye(80) / beta + inputs @ inputs.T / alpha
            sign, determinant = np.linalg.slogdet(covariance)
            assert sign > 0
            quadratic = target @ np.linalg.solve(covariance, target)
            best = max(best, -(quadratic + determinant + 80 * np.log(2 * np.pi)) / 160)
    found = fit_closed_form(features, labels, num_classes=2).log_me  # both classes have the same evidence
    assert found == pytest.approx(best, abs=0.01)


def test_constant_features_and_absent_classes_do_no_harm() -> None:
    features, labels = load_digits(return_X_y=True)
    features, labels = features[:50], np.minimum(labels[:50], 3).astype(np.int64)
    padded = np.column_stack([features, np.full(50, 7.25)])
    plain = fit_closed_form(features, labels, num_classes=4)
    wider = fit_closed_form(padded, labels, num_classes=9)
    assert np.isfinite(wider.left_out_scores).all()
    assert (wider.left_out_scores.argmax(1) == plain.left_out_scores.argmax(1)).all()
    assert wider.h_score == pytest.approx(plain.h_score)
    assert wider.log_me == pytest.approx(plain.log_me)


@pytest.mark.parametrize("height", [1, 7, 64])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_blocks_of_any_height_say_the_same(
    rows: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]],
    height: int,
    offset: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, labels = rows
    order = np.argsort(labels, kind="stable")  # so that most blocks lack most classes
    features, labels = features[order] + offset, labels[order]
    whole = fit_closed_form(features, labels, num_classes=NUM_CLASSES)
    monkeypatch.setattr(moments, "BLOCK_VALUES", features.shape[1] * height)
    found = fit_closed_form(features, labels, num_classes=NUM_CLASSES)
    assert found.strength == whole.strength
    np.testing.assert_allclose(found.left_out_scores, whole.left_out_scores, atol=1e-8)
    np.testing.assert_allclose(found.scores(features), whole.scores(features), atol=1e-8)
    assert found.h_score == pytest.approx(whole.h_score, rel=1e-8)
    assert found.log_me == pytest.approx(whole.log_me, rel=1e-8)


def test_shards_say_what_all_rows_say_in_one_place() -> None:
    """What a cluster does: moments of shards are added, every shard tries its own rows."""
    features, labels = load_digits(return_X_y=True)
    labels = labels.astype(np.int64)
    whole = fit_closed_form(features, labels, num_classes=NUM_CLASSES)
    shards = [slice(0, 40), slice(40, 1000), slice(1000, 1797)]
    first, second, third = (
        Moments.of(features[shard], labels[shard], num_classes=NUM_CLASSES) for shard in shards
    )
    for added in (first + second + third, third + (first + second)):
        spectrum = Spectrum.of(added)
        trials = [spectrum.leave_out(features[shard], labels[shard]) for shard in shards]
        best = Trial.joined(trials).best
        assert STRENGTHS[best] == whole.strength
        for shard, trial in zip(shards, trials, strict=True):
            fitted = (features[shard] - spectrum.mean) @ spectrum.weights(whole.strength) + spectrum.shares
            scores = left_out_scores(fitted, labels[shard], trial.leverages[:, best])
            np.testing.assert_allclose(scores, whole.left_out_scores[shard], atol=1e-9)
