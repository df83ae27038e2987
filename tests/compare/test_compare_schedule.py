"""Plans of races: what they cost, how they grow, and orders whose every beginning is stratified."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headstart.compare.schedule import MIN_PER_CLASS, Schedule, draw_order, plan


def cost(schedule: Schedule, costs: list[float]) -> float:
    """Return the cost of a plan if those that go on are half way between all and the most expensive."""
    total, seen = 0.0, 0
    for rung in schedule.rungs:
        each = (np.mean(costs) + np.mean(sorted(costs)[-rung.num_candidates :])) / 2
        total += each * rung.num_candidates * (rung.num_pictures - seen)
        seen = rung.num_pictures
    return total


@given(
    st.lists(st.floats(0.001, 10), min_size=1, max_size=40),
    st.integers(100, 50_000),
    st.integers(2, 50),
    st.floats(0.01, 1.5),
)
def test_a_plan_keeps_its_budget_and_grows(
    costs: list[float], num_train: int, num_classes: int, share: float
) -> None:
    num_val = num_train // 4
    budget = share * sum(costs) * (num_train + num_val)
    made = plan(costs, num_train=num_train, num_val=num_val, num_classes=num_classes, budget=budget)
    counts = [rung.num_candidates for rung in made.rungs]
    sizes = [rung.num_pictures for rung in made.rungs]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == len(costs)
    assert sizes == sorted(sizes)
    assert made.rungs[-1].num_train <= num_train
    np.testing.assert_allclose(made.expected_cost, cost(made, costs), rtol=1e-6)
    if share >= 1:
        assert made.rungs[-1].num_train == num_train
        assert set(counts) == {len(costs)}  # there is room for everybody to the end
    if share > 0.6 and len(costs) > 5:
        assert made.expected_cost <= budget * 1.0001


def test_no_candidate_is_judged_on_fewer_than_20_a_class_where_the_budget_allows() -> None:
    made = plan([1.0] * 15, num_train=4000, num_val=1000, num_classes=10, budget=30_000)
    assert made.rungs[0].num_train == 10 * MIN_PER_CLASS
    assert made.rungs[-1].num_train == 4000


def test_without_validation_pictures_there_is_one_rung() -> None:
    made = plan([1.0] * 3, num_train=400, num_val=0, num_classes=4, budget=10_000)
    assert [(rung.num_train, rung.num_val, rung.num_candidates) for rung in made.rungs] == [(400, 0, 3)]


def test_fixed_costs_and_the_test_pictures_count() -> None:
    plain = plan([1.0] * 4, num_train=1000, num_val=250, num_classes=2, budget=1e9)
    dear = plan([1.0] * 4, num_train=1000, num_val=250, num_classes=2, budget=1e9, fixed=5, num_after=100)
    visits = sum(rung.num_candidates for rung in plain.rungs)
    assert dear.expected_cost == plain.expected_cost + 5 * visits + 100


@given(st.lists(st.integers(1, 60), min_size=2, max_size=8), st.integers(0, 5))
def test_every_beginning_of_an_order_is_stratified(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    order = draw_order(labels, seed=seed)
    assert sorted(order) == list(range(len(labels)))
    first = order[: len(counts)]
    assert sorted(labels[first]) == list(range(len(counts)))  # one of each class before a second of any
    balanced = min(MIN_PER_CLASS, *counts) * len(counts)
    seen = np.bincount(labels[order[:balanced]], minlength=len(counts))
    assert (seen == balanced // len(counts)).all()


def test_behind_the_first_20_a_class_counts_as_it_is_common() -> None:
    labels = np.repeat([0, 1], [1020, 120])
    order = draw_order(labels, seed=0)
    seen = np.bincount(labels[order[40:590]])
    assert abs(seen[0] - 500) <= 2
