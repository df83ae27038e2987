"""Races of drawn candidates whose quality is known: who is dropped, who is kept, and what it costs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from headstart.compare.budget import Budget, OutOfBudgetError, Purse
from headstart.compare.race import Entrant, Race
from headstart.compare.schedule import MIN_PER_CLASS, plan
from headstart.compare.screening import Standing, screen

NUM_CLASSES, NUM_TRAIN, NUM_VAL = 4, 1200, 300
LABELS = np.random.default_rng(0).integers(0, NUM_CLASSES, NUM_TRAIN + NUM_VAL)

Seen = dict[str, list[int]]


def features(quality: float, seed: int) -> npt.NDArray[np.float32]:
    """Return rows whose classes lie `quality` standard deviations apart."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(len(LABELS), 16))
    noise[np.arange(len(LABELS)), LABELS] += quality
    return noise.astype(np.float32)


def entrant(
    name: str,
    quality: float,
    *,
    seed: int | None = None,
    seen: Seen | None = None,
    cost: float = 1.0,
    prior: float | None = None,
    latency_ms: float | None = None,
) -> Entrant:
    rows_of = features(quality, seed=sum(map(ord, name)) if seed is None else seed)

    def look(rows: npt.NDArray[np.int64], num_train: int) -> Standing:
        if seen is not None:
            seen.setdefault(name, []).append(len(rows))
        return screen(rows_of[rows], LABELS[rows], num_train=num_train, num_classes=NUM_CLASSES)

    return Entrant(name=name, cost=cost, prior=prior, latency_ms=latency_ms, look=look)


def race(
    entrants: list[Entrant],
    budget: float = 1e9,
    *,
    seed: int = 0,
    max_latency_ms: float | None = None,
    decide: Callable[[str], None] = lambda text: None,
) -> Race:
    schedule = plan(
        [each.cost for each in entrants],
        num_train=NUM_TRAIN,
        num_val=NUM_VAL,
        num_classes=NUM_CLASSES,
        budget=budget,
    )
    purse = Purse(Budget(amount=budget, unit="pictures"))
    return Race(
        entrants=entrants,
        labels=LABELS,
        num_train=NUM_TRAIN,
        num_classes=NUM_CLASSES,
        schedule=schedule,
        purse=purse,
        seed=seed,
        max_latency_ms=max_latency_ms,
        decide=decide,
    )


def names(entrants: list[Entrant]) -> list[str]:
    return [each.name for each in entrants]


def test_the_good_get_to_the_end_and_the_hopeless_are_dropped() -> None:
    seen: Seen = {}
    field = [entrant(f"poor {i}", 0.3, seen=seen) for i in range(4)]
    field += [entrant("good", 3.0, seen=seen), entrant("as good", 3.0, seen=seen)]
    ran = race(field)
    assert set(names(ran.run())) == {"good", "as good"}
    assert {each.kind for each in ran.exits.values()} == {"worse"}
    assert all("beyond doubt" in each.reason for each in ran.exits.values())
    assert seen["poor 0"] == [ran.schedule.rungs[0].num_pictures]
    assert ran.num_pictures == ran.spent == sum(max(each) for each in seen.values())


def test_with_room_for_all_nobody_is_set_aside() -> None:
    field = [entrant(f"alike {i}", 1.5) for i in range(6)]
    ran = race(field)
    assert len(ran.run()) == 6


def test_a_tight_budget_sets_aside_and_says_so() -> None:
    told: list[str] = []
    field = [entrant(f"alike {i}", 1.5) for i in range(9)]
    ran = race(field, budget=6000, decide=told.append)
    finalists = ran.run()
    assert 2 <= len(finalists) <= 3
    assert {each.kind for each in ran.exits.values()} == {"set aside"}
    assert len(told) == 9 - len(finalists)
    rung = ran.last_rung(finalists, num_after=100)
    left = sum(each.cost * (rung.num_pictures - ran.pictures_seen(each.name)) for each in finalists)
    assert ran.spent + left + 100 <= 6000


def test_who_costs_next_to_nothing_is_not_set_aside() -> None:
    """A tenth of what the others cost is spent on them, the most promising first."""
    told: list[str] = []
    field = [entrant(f"dear {i}", 1.6) for i in range(6)]
    field += [entrant(f"cheap {i}", 1.2, cost=0.04) for i in range(12)]
    ran = race(field, budget=5000, decide=told.append)
    finalists = ran.run()
    dear = [each for each in finalists if each.cost == 1]
    cheap = [each for each in finalists if each not in dear]
    assert len(dear) < 6
    assert 0 < sum(each.cost for each in cheap) <= 0.1 * len(dear)
    assert len(cheap) == min(12, int(0.1 * len(dear) / 0.04 + 1e-9))
    assert any("that cost next to nothing" in each for each in told)


def test_the_same_race_ends_the_same() -> None:
    def run(order: Callable[[list[Entrant]], list[Entrant]]) -> tuple[list[str], dict[str, str], float]:
        field = [entrant(f"candidate {i}", 0.5 + i / 4) for i in range(9)]
        ran = race(order(field), budget=6000)
        return names(ran.run()), {name: each.reason for name, each in ran.exits.items()}, ran.spent

    assert run(list) == run(list) == run(lambda field: field[::-1])


def test_nobody_is_dropped_before_20_pictures_a_class() -> None:
    field = [entrant("good", 4.0), *(entrant(f"poor {i}", 0.0) for i in range(8))]
    ran = race(field, budget=1500)
    assert ran.schedule.rungs[0].num_train < MIN_PER_CLASS * NUM_CLASSES
    ran.run()
    early = [each for each in ran.exits.values() if each.rung == 0]
    assert early
    assert {each.kind for each in early} == {"set aside"}


def test_the_best_by_prior_stays_unless_the_evidence_speaks_against_it() -> None:
    field = [entrant(f"alike {i}", 1.5) for i in range(8)]
    fine = race([*field, entrant("famous", 1.4, prior=0.9)], budget=6000)
    assert "famous" in names(fine.run())
    poor = race([*field, entrant("famous", 0.3, prior=0.9)], budget=6000)
    assert "famous" not in names(poor.run())


def test_the_best_that_is_fast_enough_stays() -> None:
    field = [entrant(f"slow {i}", 2.5, latency_ms=50) for i in range(8)]
    fast = entrant("fast", 1.6, latency_ms=5)
    assert "fast" in names(race([*field, fast], budget=6000, max_latency_ms=10).run())
    assert "fast" not in names(race([*field, fast], budget=6000).run())


def test_a_candidate_that_fails_does_not_stop_the_others() -> None:
    broken = replace(entrant("broken", 3.0), look=lambda rows, num_train: None)
    ran = race([broken, entrant("good", 2.0), entrant("poor", 0.5)])
    assert "good" in names(ran.run())
    assert ran.exits["broken"].kind == "failed"


def test_a_candidate_whose_time_ends_is_set_aside() -> None:
    def too_slow(rows: npt.NDArray[np.int64], num_train: int) -> Standing:
        raise OutOfBudgetError("the budget ended")

    ran = race([replace(entrant("slow", 3.0), look=too_slow), entrant("good", 2.0)])
    assert names(ran.run()) == ["good"]
    assert ran.exits["slow"].kind == "set aside"


def test_equally_good_candidates_are_hardly_ever_dropped() -> None:
    """In 60 races of 6 equals at most 1 in 20 may lose one to chance; the margin makes it far less."""
    dropped = 0
    for seed in range(60):
        field = [entrant(f"alike {i}", 1.5, seed=1000 * seed + i) for i in range(6)]
        ran = race(field, budget=8000, seed=seed)
        ran.run()
        dropped += any(each.kind == "worse" for each in ran.exits.values())
    assert dropped <= 3


@pytest.mark.parametrize("gain", [0.0, 0.3])
def test_the_margin_covers_what_was_caught_up(gain: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rival that is 10 points behind is dropped, unless it was 10 + 30 points behind one rung before."""
    ran = race([entrant("ahead", 2.0), entrant("behind", 2.0)])
    rungs = ran.schedule.rungs
    for at, rung in enumerate(rungs[:2]):
        for name, miss in (("ahead", 0.05), ("behind", 0.15 + (gain if at == 0 else 0.0))):
            right = np.arange(rung.num_val * 10) % 100 >= 100 * miss
            ran.standings.setdefault(name, []).append(standing(rung.num_train, right))
    ran._drop(1)
    assert ("behind" in ran.exits) == (gain == 0.0)


def standing(num_train: int, right: npt.NDArray[np.bool_]) -> Standing:
    return Standing(
        num_train=num_train,
        correct=right,
        probe=float(right.mean()),
        probe_loss=0.0,
        neighbours=0.0,
        h_score=0.0,
        log_me=0.0,
    )


def test_what_orders_candidates_is_said_of_pictures_that_were_left_out() -> None:
    """Features that say nothing of the labels are no better than chance, however many there are."""
    generator = np.random.default_rng(0)
    nothing = generator.normal(size=(200, 400)).astype(np.float32)
    found = screen(nothing, LABELS[:200], num_train=150, num_classes=NUM_CLASSES)
    assert abs(found.probe - 1 / NUM_CLASSES) < 0.12
    assert found.probe_loss > 1
    assert found.score < found.accuracy < 0.4


@pytest.mark.parametrize("counts", [(5, 1), (1, 30, 30)])
def test_classes_of_one_picture_are_screened_too(counts: tuple[int, ...]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    shown = features(3.0, seed=0)[: len(labels)]
    found = screen(shown, labels, num_train=len(labels) - 1, num_classes=len(counts))
    assert 0 <= found.probe <= 1
    assert np.isfinite(found.score)
