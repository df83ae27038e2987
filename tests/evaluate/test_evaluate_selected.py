"""The winner's corrected score: without bias where the measured one has it, sound in degenerate cases."""

import dataclasses
import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headstart.core.errors import InputError
from headstart.evaluate import corrected_best, wilson

CORRECTNESS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 5), st.integers(1, 30)),
    elements=st.sampled_from([0, 1 / 3, 0.5, 2 / 3, 1]),
)


def race(accuracies, *, n, seed):
    """Return (M, n) booleans: candidates that tend to be right on the same, easier pictures."""
    generator = np.random.default_rng(seed)
    ease = (generator.normal(size=n) + generator.normal(size=(len(accuracies), n))) / math.sqrt(2)
    return ease < np.array([NormalDist().inv_cdf(each) for each in accuracies])[:, None]


def run_races(accuracies, *, n, num_races):
    """Return the errors of the corrected and of the measured score of the winner, and the share covered."""
    truth, rows = np.array(accuracies), []
    for seed in range(num_races):
        correct = race(accuracies, n=n, seed=seed)
        best = correct.mean(axis=1).argmax()
        found = corrected_best(correct, seed=seed)
        covered = found.low <= truth[best] <= found.high
        rows.append((found.value - truth[best], correct[best].mean() - truth[best], covered))
    return np.array(rows).mean(axis=0)


def test_takes_the_luck_out_of_the_best_of_equal_candidates():
    corrected, measured, covered = run_races([0.8] * 15, n=200, num_races=150)
    assert measured > 0.03
    assert abs(corrected) < 0.01
    assert covered > 0.9


def test_takes_little_from_spread_candidates():
    corrected, measured, covered = run_races(np.linspace(0.7, 0.85, 8), n=200, num_races=150)
    assert measured > 0.008
    assert abs(corrected) < 0.008
    assert covered > 0.9


def test_takes_nothing_from_a_clear_winner():
    correct = race([0.9, 0.6, 0.5], n=300, seed=0)
    found = corrected_best(correct, seed=0)
    assert found.value == pytest.approx(correct[0].mean())
    expected = wilson(int(correct[0].sum()), 300)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.2)


def test_an_interval_after_a_choice_among_equals_is_wider_than_without_one():
    correct = race([0.8] * 20, n=200, seed=1)
    found, alone = corrected_best(correct, seed=0), wilson(160, 200)
    assert found.high - found.low > 1.1 * (alone.high - alone.low)


@pytest.mark.parametrize("n", [1, 2, 7, 250, 1234])
def test_a_single_candidate_has_its_own_score_and_interval(n):
    correct = race([0.8], n=n, seed=n)
    found, expected = corrected_best(correct, seed=0), wilson(int(correct.sum()), n)
    assert dataclasses.astuple(found)[:3] == pytest.approx(dataclasses.astuple(expected)[:3])
    assert (found.n, found.method) == (n, "corrected")


@given(correct=CORRECTNESS, seed=st.integers(0, 3), confidence=st.floats(0.01, 0.999))
@settings(max_examples=40, deadline=None)
def test_is_no_better_than_measured_and_lies_in_its_interval(correct, seed, confidence):
    found = corrected_best(correct, seed=seed, confidence=confidence)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.value <= correct.mean(axis=1).max() + 1e-9
    assert found.n == correct.shape[1]


def test_more_pictures_than_blocks_are_all_counted_once():
    correct = race([0.9, 0.3], n=1501, seed=0)
    assert corrected_best(correct, seed=0).value == pytest.approx(correct[0].mean())


def test_equal_candidates_are_the_first_however_they_were_summed():
    row = race([0.7], n=90, seed=0)[0] / 1.0
    thirds = np.stack([row, row * (0.1 + 0.2) / 0.3, row])
    assert corrected_best(thirds.clip(0, 1), seed=0).value == pytest.approx(row.mean())


@pytest.mark.parametrize("share", [0, 1])
def test_all_right_or_all_wrong_still_has_an_interval(share):
    found = corrected_best(np.full((3, 50), share), seed=0)
    assert found.value == share
    assert found.high - found.low == pytest.approx(wilson(0, 50).high)


def test_the_seed_decides():
    correct = race([0.8] * 10, n=100, seed=0)
    assert corrected_best(correct, seed=1) == corrected_best(correct, seed=1)
    assert corrected_best(correct, seed=1) != corrected_best(correct, seed=2)


@pytest.mark.parametrize(
    ("correct", "message"),
    [
        ([1, 0], "expected \\(M, N\\)"),
        (np.empty((0, 3)), "not empty"),
        ([[1, 2]], "in \\[0, 1\\]"),
        ([[1, math.nan]], "in \\[0, 1\\]"),
    ],
)
def test_refuses(correct, message):
    with pytest.raises(InputError, match=message):
        corrected_best(correct, seed=0)


def test_refuses_a_confidence_of_one():
    with pytest.raises(InputError, match="between 0 and 1"):
        corrected_best([[1, 0]], seed=0, confidence=1)
