"""When to say "unknown": the promise holds in simulation, and hopeless cases promise nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from headstart.core.errors import InputError
from headstart.evaluate import choose_rejection, kept_share
from headstart.evaluate.rejection import HIGHEST_TARGET, RISK

WORLDS = {
    # Beta parameters of the doubt and its scale; how a confidence becomes the chance to be right.
    "good": (0.3, 3, 0.75, lambda confidence: confidence),
    "middling": (0.6, 1.5, 0.85, lambda confidence: confidence),
    "bad": (2, 2, 0.95, lambda confidence: confidence),
    "too sure": (0.3, 3, 0.75, lambda confidence: 0.95 * confidence**4),
}


def draw(world, n, generator):
    """Return confidences and correctness of n pictures."""
    a, b, scale, chance = WORLDS[world]
    confidence = 1 - scale * generator.beta(a, b, n)
    return confidence, generator.random(n) < chance(confidence)


def predictions(confidence, correct):
    """Return labels and probabilities, of shape (1, N, 40), that have these confidences and are so right."""
    confidence = np.asarray(confidence, np.float64)
    probabilities = np.repeat((1 - confidence[:, None]) / 39, 40, axis=1)
    probabilities[:, 0] = confidence
    return np.where(correct, 0, 1).astype(np.int64), probabilities[None]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("target", [None, 0.9])
@pytest.mark.parametrize("n", [200, 1000])
def test_the_kept_miss_their_target_at_most_as_often_as_promised(world, target, n):
    """Also where the target is drawn from the same pictures: half of their mistakes."""
    generator = np.random.default_rng(1)
    sure, right = draw(world, 400_000, generator)
    missed, num_draws = 0, 100
    for _ in range(num_draws):
        found = choose_rejection(*predictions(*draw(world, n, generator)), target=target)
        if found.threshold is not None:
            missed += right[sure >= found.threshold].mean() < found.target
    # As many misses or more would happen in one of a thousand such tests if the promise just held.
    assert missed <= binom.isf(1e-3, num_draws, RISK)


def test_it_keeps_nearly_what_it_might_where_there_are_many_pictures():
    generator = np.random.default_rng(0)
    sure, right = draw("good", 400_000, generator)
    order = np.argsort(-sure)
    found = choose_rejection(*predictions(*draw("good", 5000, generator)))
    reaches = np.flatnonzero(right[order].cumsum() / np.arange(1, len(order) + 1) >= found.target)
    best = (reaches[-1] + 1) / len(order)
    assert best - 0.07 < found.kept.coverage.value < best


def test_the_figures_are_those_of_the_threshold():
    labels, probabilities = predictions(*draw("middling", 2000, np.random.default_rng(3)))
    found = choose_rejection(labels, probabilities, target=0.9)
    assert found.kept == kept_share(labels, probabilities[0], found.threshold)
    assert found.kept.accuracy.value > 0.9 > found.curve[-1].accuracy.value
    assert found.threshold == round(found.threshold, 4)
    coverages = [each.coverage.value for each in found.curve]
    assert coverages == sorted(coverages)
    assert coverages[-1] == 1
    assert len(coverages) <= 100
    for each in found.curve[::10]:
        assert each == kept_share(labels, probabilities[0], each.threshold)


def test_repeats_count_for_one():
    labels, probabilities = predictions(*draw("middling", 400, np.random.default_rng(3)))
    once, thrice = (choose_rejection(labels, np.repeat(probabilities, r, axis=0)) for r in (1, 3))
    for field in ("target", "threshold"):
        assert getattr(once, field) == pytest.approx(getattr(thrice, field))
    assert once.kept.coverage.low == pytest.approx(thrice.kept.coverage.low)


def test_too_few_pictures_promise_nothing():
    found = choose_rejection(*predictions(np.linspace(0.5, 1, 30), np.arange(30) > 3))
    assert found.kept is found.threshold is None
    assert found.curve


def test_chance_promises_nothing():
    generator = np.random.default_rng(0)
    found = choose_rejection(*predictions(generator.random(5000), generator.random(5000) < 0.5))
    assert found.threshold is None


def test_where_all_are_right_nothing_is_unknown():
    labels, probabilities = predictions(np.linspace(0.4, 1, 1000), np.ones(1000, bool))
    found = choose_rejection(labels, probabilities)
    assert found.target == HIGHEST_TARGET
    assert found.kept.coverage.value == 1


def test_a_confidence_of_its_own_class_decides_nothing_where_all_are_alike():
    labels, probabilities = predictions(np.full(500, 0.7), np.arange(500) % 10 > 0)
    found = choose_rejection(labels, probabilities)
    assert found.threshold is None
    assert [each.threshold for each in found.curve] == [0.7]


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 300),
    target=st.floats(0.05, 0.98),
    repeats=st.integers(1, 3),
)
def test_a_higher_target_keeps_no_more(seed, n, target, repeats):
    generator = np.random.default_rng(seed)
    labels, probabilities = predictions(*draw("middling", n, generator))
    probabilities = np.repeat(probabilities, repeats, axis=0)
    lower, higher = (choose_rejection(labels, probabilities, target=each) for each in (target, target + 0.01))
    if higher.kept is not None:
        assert lower.kept is not None
        assert lower.threshold <= higher.threshold
        assert higher.kept.accuracy.value >= target
    for found in (lower, higher):
        for each in (found.kept, *found.curve):
            for estimate in () if each is None else (each.coverage, each.accuracy):
                assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_a_threshold_that_keeps_nothing_has_no_accuracy():
    labels, probabilities = predictions([0.5, 0.6], [True, False])
    assert kept_share(labels, probabilities[0], 0.7) is None
    assert kept_share(labels, probabilities[0], 0.6).accuracy.value == 0


@pytest.mark.parametrize("bad", [{"target": 0.0}, {"target": 1.0}, {"risk": 0.0}, {"risk": float("nan")}])
def test_numbers_out_of_range_are_refused(bad):
    with pytest.raises(InputError, match="expected both in"):
        choose_rejection(*predictions([0.5, 0.6], [True, False]), **bad)
