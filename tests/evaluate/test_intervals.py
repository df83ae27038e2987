"""Intervals: their coverage, their limits, their honesty in degenerate cases."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from headstart import metrics
from headstart.core.errors import InputError
from headstart.evaluate import bootstrap, intervals, wilson


def calibrated(*, n, num_classes, seed, sharpness=1.0):
    """Return labels drawn from the probabilities themselves."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.normal(size=(n, num_classes))
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return (probabilities.cumsum(axis=1) > generator.random((n, 1))).argmax(axis=1), probabilities


def estimates(result):
    return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 13), (450, 500)])
def test_wilson_agrees_with_scipy(successes, n):
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    found = wilson(successes, n)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert (found.value, found.n, found.method) == (successes / n, n, "wilson")


@given(n=st.integers(1, 10_000), share=st.floats(0, 1), confidence=st.floats(0.01, 0.999))
def test_wilson_contains_its_value_and_stays_in_range(n, share, confidence):
    found = wilson(share * n, n, confidence=confidence)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_wilson_takes_averages_over_repeats():
    low, middle, high = wilson(7, 10), wilson(7.5, 10), wilson(8, 10)
    assert low.low < middle.low < high.low
    assert low.high < middle.high < high.high


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5), (math.nan, 5)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(InputError, match="expected 0 <= right"):
        wilson(successes, n)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95])
def test_refuses_an_impossible_confidence(confidence):
    with pytest.raises(InputError, match="between 0 and 1"):
        wilson(1, 2, confidence=confidence)


@pytest.mark.parametrize("num_classes", [2, 30])
def test_bootstrap_values_are_the_metrics(num_classes):
    labels, probabilities = calibrated(n=200, num_classes=num_classes, seed=0)
    for name, estimate in estimates(bootstrap(labels, probabilities, seed=0)).items():
        assert estimate.value == pytest.approx(getattr(metrics, name)(labels, probabilities)), name
        assert estimate.low < estimate.value < estimate.high or name == "calibration_error"
        assert (estimate.n, estimate.method) == (200, "bootstrap")


def test_bootstrap_is_decided_by_its_seed():
    labels, probabilities = calibrated(n=100, num_classes=3, seed=0)
    first = bootstrap(labels, probabilities, seed=1)
    assert bootstrap(labels, probabilities, seed=1) == first
    assert bootstrap(labels, probabilities, seed=2) != first


def test_bootstrap_does_not_depend_on_how_much_is_done_at_once(monkeypatch):
    labels, probabilities = calibrated(n=100, num_classes=3, seed=0)
    first = bootstrap(labels, probabilities, seed=1)
    monkeypatch.setattr(intervals, "_CELLS_AT_ONCE", 700)
    assert bootstrap(labels, probabilities, seed=1) == first


@given(
    n=st.integers(1, 40),
    num_classes=st.integers(1, 6),
    seed=st.integers(0, 1000),
    sharpness=st.sampled_from([0.0, 1.0, 30.0]),
)
def test_bootstrap_contains_its_value_and_stays_in_range(n, num_classes, seed, sharpness):
    labels, probabilities = calibrated(n=n, num_classes=num_classes, seed=seed, sharpness=sharpness)
    for name, estimate in estimates(bootstrap(labels, probabilities, num_resamples=50, seed=0)).items():
        assert 0 <= estimate.low <= estimate.value <= estimate.high, name
        assert estimate.high <= (math.inf if name == "log_loss" else 1), name
        assert math.isfinite(estimate.high), name


def test_degenerate_predictions_give_finite_answers():
    sure = np.eye(3)
    for labels in (np.zeros(5, dtype=int), np.arange(3).repeat(2), np.array([2])):
        right = estimates(bootstrap(labels, sure[labels], seed=0))
        assert [estimate.value for estimate in right.values()] == [1, 1, 0, 0]
        wrong = estimates(bootstrap(labels, sure[(labels + 1) % 3], seed=0))
        assert [round(estimate.value, 1) for estimate in wrong.values()] == [0, 0, 15.9, 1]


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "log_loss", "calibration_error"])
def test_bootstrap_covers_the_truth(name):
    """Over repeated draws the intervals hold what a very large sample gives, about 95 times in 100."""
    population = calibrated(n=100_000, num_classes=5, seed=0, sharpness=2)
    overconfident = population[1] ** 1.5
    overconfident /= overconfident.sum(axis=1, keepdims=True)
    truth = getattr(metrics, name)(population[0], overconfident)
    generator, covered = np.random.default_rng(1), 0
    for _ in range(200):
        draw = generator.integers(0, 100_000, size=400)
        estimate = getattr(
            bootstrap(population[0][draw], overconfident[draw], num_resamples=200, seed=0), name
        )
        covered += estimate.low <= truth <= estimate.high
    assert covered / 200 >= 0.90


def test_refuses_no_resamples():
    labels, probabilities = calibrated(n=5, num_classes=3, seed=0)
    with pytest.raises(InputError, match="0 resamples"):
        bootstrap(labels, probabilities, num_resamples=0, seed=0)


@given(
    right=st.integers(0, 50),
    n=st.integers(50, 400),
    more=st.sampled_from([1e-5, 1e-3, 0.1]),
    z=st.just(1.959964),
)
def test_more_variance_moves_the_ends_to_where_it_is_z_standard_errors(right, n, more, z):
    found, plain = wilson(right, n, more_variance=more), wilson(right, n)
    assert found.low <= plain.low <= found.value <= plain.high <= found.high
    for end in (found.low, found.high):
        if 0 < end < 1:
            assert (found.value - end) ** 2 == pytest.approx(z**2 * (end * (1 - end) / n + more), rel=1e-4)


def test_refuses_a_variance_below_zero():
    with pytest.raises(InputError, match=r"a variance of -0\.1 more"):
        wilson(5, 10, more_variance=-0.1)
