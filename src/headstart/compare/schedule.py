"""The rungs of a race, planned before it starts: with how many pictures, and with how many candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

MIN_PER_CLASS = 20
"""Training pictures of a class, where there are so many, before a candidate may be judged."""
GROWTH = 3
"""How many times as many pictures the next rung has."""
MIN_FINALISTS = 2

_MIN_TRAIN = 60  # pictures of the first rung where the classes are few
_LAST_RUNG = 0.6  # share of all pictures above which a rung is as good as all


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One stage of a race: all of its candidates see the same pictures.

    Attributes:
        num_train: training pictures, the first of the race's order.
        num_val: validation pictures, likewise.
        num_candidates: how many run at it, unless more are worse beyond doubt.
    """

    num_train: int
    num_val: int
    num_candidates: int

    @property
    def num_pictures(self) -> int:
        """Pictures of both kinds."""
        return self.num_train + self.num_val


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What a race will do.

    Attributes:
        rungs: the last one is that of the finalists.
        expected_cost: of all rungs and of what the chosen one needs after them; in the unit of the budget.
    """

    rungs: tuple[Rung, ...]
    expected_cost: float


def draw_order(labels: Integers, *, seed: int) -> Integers:
    """Return an order of pictures of which every beginning is stratified.

    It begins with equal numbers of every class, up to `MIN_PER_CLASS` of each; from there on the classes
    come in proportion to what is left of them.

    Args:
        labels: int64 of shape (N,).
        seed: of the draw.

    Returns:
        int64 of shape (N,): indices of pictures.
    """
    generator = np.random.default_rng(seed)
    key = np.empty(len(labels))
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        first, rest = own[:MIN_PER_CLASS], own[MIN_PER_CLASS:]
        key[first] = np.arange(len(first)) - MIN_PER_CLASS
        key[rest] = (np.arange(len(rest)) + generator.uniform()) / max(1, len(rest))
    return np.lexsort((generator.permutation(len(labels)), key))


def plan(
    costs: Sequence[float],
    *,
    num_train: int,
    num_val: int,
    num_classes: int,
    num_after: int = 0,
    fixed: float = 0.0,
    budget: float,
) -> Schedule:
    """Return the rungs of a race that keeps a budget.

    Of the candidates at a rung, the same share goes on to each next one: the largest share with which all
    rungs are expected to fit the budget, at least 1 in `GROWTH`. Where even that is too much, all rungs get
    smaller. Without validation pictures there is one rung, for as many candidates as there is room for.

    Args:
        costs: of one picture, each candidate's, in the unit of the budget.
        num_train: training pictures that there are.
        num_val: validation pictures that there are; 0 where candidates are cross-validated.
        num_classes: K.
        num_after: pictures that the chosen candidate sees after the last rung: those of the test set.
        fixed: cost of each time that a candidate sees pictures, whatever their number.
        budget: for all of it.

    Source: the rungs of Jamieson and Talwalkar 2016, "Non-stochastic best arm identification",
        https://arxiv.org/abs/1502.07943.
    """
    sizes = _sizes(num_train, num_val, num_classes)
    if num_val == 0:
        mean_cost = float(np.mean(costs))
        room = int((budget - mean_cost * num_after) / (mean_cost * num_train + fixed))
        return _schedule(sizes, costs[: max(1, room)], 1.0, fixed, num_after)
    for share in np.linspace(1, 1 / GROWTH, 41):
        schedule = _schedule(sizes, costs, float(share), fixed, num_after)
        if schedule.expected_cost <= budget:
            return schedule
    for scale in np.linspace(0.95, 0.05, 19):
        smaller = [(max(num_classes, int(scale * t)), max(1, int(scale * v))) for t, v in sizes]
        schedule = _schedule(smaller, costs, 1 / GROWTH, fixed, int(scale * num_after))
        if schedule.expected_cost <= budget:
            return schedule
    return schedule


def _sizes(num_train: int, num_val: int, num_classes: int) -> list[tuple[int, int]]:
    """Return training and validation pictures of every rung."""
    sizes: list[tuple[int, int]] = []
    size = max(_MIN_TRAIN, MIN_PER_CLASS * num_classes)
    while num_val and size < _LAST_RUNG * num_train:
        sizes.append((size, min(num_val, size // 2)))
        size *= GROWTH
    return [*sizes, (num_train, num_val)]


def _schedule(
    sizes: Sequence[tuple[int, int]], costs: Sequence[float], share: float, fixed: float, num_after: int
) -> Schedule:
    rungs: list[Rung] = []
    total, seen, left = 0.0, 0, float(len(costs))
    for num_train, num_val in sizes:
        count = min(len(costs), max(MIN_FINALISTS, int(np.ceil(left - 1e-9))))
        if rungs and len(rungs) == len(sizes) - 1 and share <= 1 / GROWTH:
            count = min(len(costs), MIN_FINALISTS)
        rungs.append(Rung(num_train=num_train, num_val=num_val, num_candidates=count))
        total += count * (fixed + _expected_cost(costs, count) * (num_train + num_val - seen))
        seen, left = num_train + num_val, left * share
    return Schedule(rungs=tuple(rungs), expected_cost=total + _expected_cost(costs, 1) * num_after)


def _expected_cost(costs: Sequence[float], count: int) -> float:
    """Return what a picture is expected to cost, where `count` candidates are left.

    Those that go on are more often the larger ones: half way between all and the most expensive.
    """
    return float(np.mean(costs) + np.mean(sorted(costs)[-count:])) / 2
