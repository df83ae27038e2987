"""Intervals from repeated cross-validation: they cover the model fitted on all pictures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from headstart.core.errors import InputError
from headstart.evaluate import paired_difference, repeated_accuracy, repeated_difference, wilson
from headstart.evaluate.intervals import score_interval


def deal(generator, *, num_repeats, n, num_folds=5):
    """Return folds of as equal sizes as can be, of shape (R, N)."""
    return generator.permuted(np.tile(np.arange(n) % num_folds, (num_repeats, 1)), axis=1)


def answers(*, n, accuracy, seed, num_repeats=3):
    """Return correctness of shape (R, N): repeats mostly agree."""
    generator = np.random.default_rng(seed)
    ease = generator.normal(size=n) + 0.5 * generator.normal(size=(num_repeats, n))
    return ease < np.quantile(ease, accuracy), deal(generator, num_repeats=num_repeats, n=n)


def nearest(X, y, fresh):
    """Return the class of the nearest row."""
    return y[(np.square(X).sum(axis=1) - 2 * fresh @ X.T).argmin(axis=1)]


def nearest_mean(X, y, fresh):
    """Return the class whose mean is nearest."""
    means = np.stack([X[y == label].mean(axis=0) for label in range(10)])
    return (np.square(means).sum(axis=1) - 2 * fresh @ means.T).argmin(axis=1)


@pytest.fixture(scope="module")
def digits():
    """Cross-validated correctness on small draws, and the accuracy elsewhere of the model fitted on all."""
    X, y = load_digits(return_X_y=True)
    generator, draws = np.random.default_rng(0), []
    for _ in range(150):
        members = [generator.choice(np.flatnonzero(y == label), 10, replace=False) for label in range(10)]
        drawn = np.stack(members, axis=1).ravel()  # a picture of every class, ten times: folds are stratified
        rest, folds = np.setdiff1d(np.arange(len(y)), drawn), []
        for _ in range(2):
            folds.append(generator.permuted(np.tile(np.arange(10) % 5, (10, 1)), axis=1).T.ravel())
        right, truth = {}, {}
        for predict in (nearest, nearest_mean):
            right[predict] = np.empty((2, 100), np.bool_)
            for repeat, fold in np.ndindex(2, 5):
                held = folds[repeat] == fold
                fitted, tried = drawn[~held], drawn[held]
                right[predict][repeat, held] = predict(X[fitted], y[fitted], X[tried]) == y[tried]
            truth[predict] = (predict(X[drawn], y[drawn], X[rest]) == y[rest]).mean()
        draws.append((np.array(folds), right, truth))
    return draws


def test_covers_the_accuracy_of_the_model_fitted_on_all(digits):
    held = plain = 0
    for folds, right, truth in digits:
        found = repeated_accuracy(right[nearest], folds)
        held += found.low <= truth[nearest] <= found.high
        bare = wilson(float(right[nearest].mean()) * 100, 100)
        plain += bare.low <= truth[nearest] <= bare.high
    assert held / len(digits) >= 0.9
    assert plain / len(digits) <= 0.85  # without the correction


def test_covers_the_difference_of_the_models_fitted_on_all(digits):
    held = plain = 0
    for folds, right, truth in digits:
        a, b = right[nearest], right[nearest_mean]
        found, bare = repeated_difference(a, b, folds), paired_difference(a.mean(axis=0), b.mean(axis=0))
        difference = truth[nearest] - truth[nearest_mean]
        held += found.low <= difference <= found.high
        plain += bare.low <= difference <= bare.high
    assert held / len(digits) >= 0.93
    assert plain < held


def test_is_wilsons_interval_of_the_fitted_share_with_room_for_the_learning_curve():
    correct, folds = answers(n=100, accuracy=0.8, seed=0)
    found, bare = repeated_accuracy(correct, folds), wilson(float(correct.mean()) * 80, 80)
    assert found.value == pytest.approx(correct.mean())
    assert found.low == pytest.approx(bare.low)
    assert found.high == pytest.approx(1 - (1 - bare.high) * math.sqrt(0.8))
    assert (found.n, found.method) == (100, "repeated")


def test_difference_has_the_interval_of_as_many_pictures_as_a_fit_saw():
    a, folds = answers(n=100, accuracy=0.8, seed=0, num_repeats=1)
    b, _ = answers(n=100, accuracy=0.7, seed=1, num_repeats=1)
    found, differences = repeated_difference(a, b, folds), a[0].astype(float) - b[0]
    ends = score_interval(differences.mean(), np.square(differences).mean(), 80)
    assert (found.low, found.high) == pytest.approx(ends)
    assert found.value == pytest.approx(differences.mean())
    assert (found.confidence, found.n) == (0.95, 100)


def test_repeats_buy_no_certainty():
    correct, folds = answers(n=60, accuracy=0.8, seed=0, num_repeats=1)
    once = repeated_accuracy(correct, folds)
    assert repeated_accuracy(np.repeat(correct, 10, axis=0), np.repeat(folds, 10, axis=0)) == once


def test_all_right_still_has_an_interval():
    found = repeated_accuracy(np.ones((3, 50)), deal(np.random.default_rng(0), num_repeats=3, n=50))
    assert found.low < found.value == found.high == 1


@given(
    n=st.integers(2, 40),
    num_repeats=st.integers(1, 3),
    num_folds=st.integers(2, 6),
    seed=st.integers(0, 999),
    confidence=st.floats(0.01, 0.999),
)
@settings(deadline=None)
def test_values_lie_in_intervals_that_lie_in_range(n, num_repeats, num_folds, seed, confidence):
    generator = np.random.default_rng(seed)
    a, b = generator.integers(0, 2, (2, num_repeats, n))
    folds = deal(generator, num_repeats=num_repeats, n=n, num_folds=num_folds)
    found = repeated_accuracy(a, folds, confidence=confidence)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert repeated_accuracy(a, 7 - folds, confidence=confidence) == found  # numbers of folds mean nothing
    forth = repeated_difference(a, b, folds, confidence=confidence)
    back = repeated_difference(b, a, folds, confidence=confidence)
    assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert -1 <= forth.low <= forth.value <= forth.high <= 1


@pytest.mark.parametrize(
    ("correct", "folds", "message"),
    [
        ([1, 0], [0, 1], "expected \\(R, N\\)"),
        ([[1, 2]], [[0, 1]], "in \\[0, 1\\]"),
        ([[1, 0]], [[0, 1, 0]], "a whole number each"),
        ([[1, 0]], [[0.0, 1.0]], "a whole number each"),
        ([[1, 0], [1, 0]], [[0, 1], [2, 2]], "two folds or more"),
    ],
)
def test_refuses(correct, folds, message):
    with pytest.raises(InputError, match=message):
        repeated_accuracy(correct, folds)


def test_refuses_models_of_different_repeats():
    with pytest.raises(InputError, match="the same shape"):
        repeated_difference([[1, 0]], [[1, 0], [1, 0]], [[0, 1]])


def falling(*, n, error, exponent, seed):
    """Return correctness of fits on 4/5 and on 3/5 of n pictures: `error` of all, falling by a power."""
    generator = np.random.default_rng(seed)
    ease = generator.permutation((np.arange(n) + 0.5) / n)
    folds = deal(generator, num_repeats=3, n=n)
    seen, fewer = (np.tile(ease > error * share**-exponent, (3, 1)) for share in (0.8, 0.6))
    return seen, fewer, folds


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_the_interval_lies_about_what_the_power_law_says_of_all_pictures(exponent):
    seen, fewer, folds = falling(n=200, error=0.2, exponent=exponent, seed=0)
    found, plain = repeated_accuracy(seen, folds, fewer=fewer), wilson(0.8 * 160, 160)
    assert found.value == pytest.approx(seen.mean())
    assert (found.low + found.high) / 2 == pytest.approx((plain.low + plain.high) / 2, abs=0.005)
    assert plain.high - plain.low <= found.high - found.low < 1.3 * (plain.high - plain.low)
    assert (found.high - found.low > plain.high - plain.low) == (exponent > 0)


def test_a_curve_that_would_fall_is_taken_as_flat():
    seen, fewer, folds = falling(n=500, error=0.2, exponent=0.5, seed=0)
    found = repeated_accuracy(fewer, folds, fewer=seen)
    assert found.low < found.value < found.high
    assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=0.01)


def test_the_difference_moves_by_what_either_still_gains():
    steep, steep_fewer, folds = falling(n=400, error=0.2, exponent=1.0, seed=0)
    flat, flat_fewer, _ = falling(n=400, error=0.25, exponent=0.0, seed=1)
    plain = repeated_difference(steep, flat, folds)
    found = repeated_difference(steep, flat, folds, fewer=(steep_fewer, flat_fewer))
    assert found.value == plain.value
    assert (found.low + found.high) / 2 == pytest.approx(0.05, abs=0.005)
    assert (plain.low + plain.high) / 2 == pytest.approx(0.0, abs=0.005)
    differences = steep.astype(float) - flat
    low, high = score_interval(differences.mean(), np.square(differences).mean(), 400)
    assert found.high - found.low > high - low
    back = repeated_difference(flat, steep, folds, fewer=(flat_fewer, steep_fewer))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_fewer_pictures_need_a_third_fold():
    correct, folds = np.ones((1, 10)), np.array([[0, 1] * 5])
    with pytest.raises(InputError, match="three folds or more"):
        repeated_accuracy(correct, folds, fewer=correct)


def test_all_right_by_all_fits_still_has_an_interval():
    correct = np.ones((3, 50))
    found = repeated_accuracy(correct, deal(np.random.default_rng(0), num_repeats=3, n=50), fewer=correct)
    assert found.low < found.value == found.high == 1
