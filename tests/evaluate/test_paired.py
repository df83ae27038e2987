"""Paired differences and rankings: agreement with the source, coverage, consistency."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import minimize_scalar

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


def answers_of(*, both, a_only, b_only, neither):
    """Return how right A and B were, from the two-by-two table."""
    counts = [both, a_only, b_only, neither]
    return np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)


def standard_errors(value, table, difference):
    """Return how far a difference is from the measured one, by maximising the likelihood numerically."""
    n, (b, c) = sum(table.values()), (table["a_only"], table["b_only"])

    def loss(only_b):
        shares = (difference + only_b, only_b, 1 - difference - 2 * only_b)
        counts = (b, c, n - b - c)
        return -sum(k * math.log(max(share, 1e-300)) for k, share in zip(counts, shares, strict=True) if k)

    low, high = max(0.0, -difference), (1 - difference) / 2
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (value - difference) / math.sqrt((difference + 2 * best - difference**2) / n)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.9999])
@pytest.mark.parametrize(
    "table",
    [
        {"both": 40, "a_only": 12, "b_only": 3, "neither": 45},
        {"both": 20, "a_only": 1, "b_only": 5, "neither": 4},
        {"both": 500, "a_only": 30, "b_only": 30, "neither": 40},
    ],
)
def test_ends_are_z_standard_errors_of_the_most_likely_pictures_away(table, confidence):
    found, z = (
        paired_difference(*answers_of(**table), confidence=confidence),
        NormalDist().inv_cdf((1 + confidence) / 2),
    )
    n = sum(table.values())
    assert found.value == pytest.approx((table["a_only"] - table["b_only"]) / n)
    assert standard_errors(found.value, table, found.low) == pytest.approx(z, abs=1e-4)
    assert standard_errors(found.value, table, found.high) == pytest.approx(-z, abs=1e-4)
    assert (found.confidence, found.n) == (confidence, n)


@pytest.mark.parametrize(("a_only", "b_only"), [(10, 2), (10, 3), (4, 0), (3, 0), (60, 40), (59, 40)])
def test_zero_is_outside_where_mcnemars_test_says_so(a_only, b_only):
    found = paired_difference(*answers_of(both=200, a_only=a_only, b_only=b_only, neither=50))
    assert (found.low > 0) == ((a_only - b_only) / math.sqrt(a_only + b_only) > 1.959964)


def test_identical_answers_leave_room_for_what_was_not_seen():
    found = paired_difference(*answers_of(both=70, a_only=0, b_only=0, neither=30))
    assert found.high == -found.low == pytest.approx(1.959964**2 / (100 + 1.959964**2), abs=1e-6)


def test_a_tiny_error_rate_is_kept_where_all_that_differ_are_for_one_side():
    """The race drops at such rates. With 150 pictures, of which 3.5 % are for A and 0.5 % for B, the adjusted
    Wald interval lies below the truth in 0.5 % of all draws, where 0.01 % is allowed."""
    generator = np.random.default_rng(0)
    counts = generator.multinomial(150, [0.035, 0.005, 0.96], size=5000)
    seen, times = np.unique(counts, axis=0, return_counts=True)
    below = sum(
        number
        for (a_only, b_only, same), number in zip(seen.tolist(), times.tolist(), strict=True)
        if paired_difference(
            *answers_of(both=same, a_only=a_only, b_only=b_only, neither=0), confidence=1 - 2e-4
        ).high
        < 0.03
    )
    assert below / 5000 <= 0.001


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
