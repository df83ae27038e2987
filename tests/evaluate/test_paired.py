"""Paired differences and rankings: agreement with the source, coverage, consistency."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headstart.core.errors import InputError
from headstart.evaluate import paired_difference, rank

CORRECTNESS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 5), st.integers(1, 30)),
    elements=st.sampled_from([0, 1 / 3, 0.5, 2 / 3, 1]),
)


def correlated(generator, accuracies, *, num_draws, n):
    """Return (num_draws, M, n) booleans: models that tend to be right on the same, easier pictures."""
    shared = generator.normal(size=(num_draws, 1, n))
    own = generator.normal(size=(num_draws, len(accuracies), n))
    ease = (shared + own) / math.sqrt(2)
    thresholds = np.quantile(generator.normal(size=1_000_000), accuracies)
    return ease < thresholds[None, :, None]


def test_is_the_adjusted_wald_interval_of_the_two_by_two_table():
    both, a_only, b_only, neither = 40, 12, 3, 45
    a = np.repeat([1, 1, 0, 0], [both, a_only, b_only, neither])
    b = np.repeat([1, 0, 1, 0], [both, a_only, b_only, neither])
    found = paired_difference(a, b)
    # As the source writes it: cells a + 1/2, b + 1/2, c + 1/2, d + 1/2.
    n, p12, p21 = 102, 12.5 / 102, 3.5 / 102
    half = 1.959964 * math.sqrt(((p12 + p21) - (p12 - p21) ** 2) / n)
    assert found.value == pytest.approx(0.09)
    assert (found.low, found.high) == (
        pytest.approx(p12 - p21 - half, abs=1e-6),
        pytest.approx(p12 - p21 + half, abs=1e-6),
    )
    assert (found.confidence, found.n) == (0.95, 100)


@pytest.mark.parametrize("n", [30, 200])
@pytest.mark.parametrize("accuracies", [(0.8, 0.8), (0.95, 0.85)])
def test_interval_covers_the_truth(n, accuracies):
    draws = correlated(np.random.default_rng(0), accuracies, num_draws=2000, n=n)
    truth, covered = accuracies[0] - accuracies[1], 0
    for a, b in draws:
        found = paired_difference(a, b)
        covered += found.low <= truth <= found.high
    assert 0.935 <= covered / 2000 <= 0.99


def test_averages_over_repeats_narrow_the_interval():
    generator = np.random.default_rng(0)
    a, b = generator.random((2, 10, 200)) < 0.7
    single, averaged = paired_difference(a[0], b[0]), paired_difference(a.mean(axis=0), b.mean(axis=0))
    assert averaged.high - averaged.low < single.high - single.low


@given(correct=CORRECTNESS, confidence=st.floats(0.01, 0.999))
def test_difference_is_antisymmetric_and_holds_its_value(correct, confidence):
    a, b = correct[0], correct[-1]
    forth = paired_difference(a, b, confidence=confidence)
    back = paired_difference(b, a, confidence=confidence)
    assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert -1 <= forth.low <= forth.value <= forth.high <= 1


@given(correct=CORRECTNESS, data=st.data())
def test_ranking_is_consistent_with_its_ties(correct, data):
    num_models = len(correct)
    losses = data.draw(st.lists(st.sampled_from([0.1, 0.2]), min_size=num_models, max_size=num_models))
    ranking = rank(correct, losses)
    assert sorted(ranking.order) == list(range(num_models))
    keys = [(-correct[model].mean().round(9), losses[model], model) for model in ranking.order]
    assert keys == sorted(keys)
    best = ranking.order[0]
    assert ranking.tied[best]
    assert ranking.behind_best[best] is None
    for model, difference in enumerate(ranking.behind_best):
        if model != best:
            assert difference.value >= 0
            assert ranking.tied[model] == (difference.low <= 0)
            assert difference == paired_difference(
                correct[best], correct[model], confidence=1 - 0.05 / (num_models - 1)
            )


@given(correct=CORRECTNESS, data=st.data())
def test_ranking_does_not_depend_on_the_order_of_models_or_pictures(correct, data):
    num_models, n = correct.shape
    losses = np.arange(num_models)
    models = np.array(data.draw(st.permutations(range(num_models))))
    pictures = np.array(data.draw(st.permutations(range(n))))
    ranking, shuffled = rank(correct, losses), rank(correct[models][:, pictures], losses[models])
    assert tuple(models[list(shuffled.order)]) == ranking.order
    assert tuple(np.array(ranking.tied)[models]) == shuffled.tied


@pytest.mark.parametrize("num_models", [2, 8])
def test_the_truly_best_is_among_the_ties(num_models):
    """With equal models any one of them is truly best: the worst case, as the best measured one is luck."""
    accuracies = (0.85,) * num_models
    draws = correlated(np.random.default_rng(0), accuracies, num_draws=1000, n=150)
    losses = np.zeros(num_models)
    held = sum(rank(correct, losses).tied[0] for correct in draws)
    assert held / 1000 >= 0.95


def test_a_clearly_worse_model_is_no_tie():
    draws = correlated(np.random.default_rng(0), (0.9, 0.89, 0.6), num_draws=100, n=300)
    tied = np.array([rank(correct, np.zeros(3)).tied for correct in draws])
    assert not tied[:, 2].any()
    assert tied[:, 1].mean() > 0.9


def test_more_candidates_ask_for_stronger_evidence():
    a = np.repeat([1, 0], [90, 10])
    b = np.repeat([1, 0], [84, 16])
    assert not rank([a, b], [0, 0]).tied[1]
    assert rank([a, b] + [a * 0] * 30, [0] * 32).tied[1]


def test_a_single_model_is_best_and_alone():
    ranking = rank([[1, 0, 1]], [0.3])
    assert (ranking.order, ranking.behind_best, ranking.tied) == ((0,), (None,), (True,))


@pytest.mark.parametrize(
    ("correct", "tie_break", "message"),
    [
        ([1, 0], [0], "expected \\(M, N\\)"),
        (np.empty((0, 3)), [], "not empty"),
        ([[1, 2]], [0], "in \\[0, 1\\]"),
        ([[1, math.nan]], [0], "in \\[0, 1\\]"),
        ([[1, 0]], [0, 1], "tie break of shape \\(2,\\)"),
        ([[1, 0]], [math.nan], "expected a number each"),
    ],
)
def test_refuses_arrays_that_do_not_fit(correct, tie_break, message):
    with pytest.raises(InputError, match=message):
        rank(correct, tie_break)


def test_refuses_different_pictures():
    with pytest.raises(InputError, match="2 and 3 pictures"):
        paired_difference([1, 0], [1, 0, 1])
