"""The race: candidates see more and more pictures, and fewer and fewer candidates go on.

Who is worse beyond doubt is dropped; whoever the budget has no room for is set aside, which says nothing
about how good it is. Both rest on training and validation pictures alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from headstart.compare.budget import OutOfBudgetError, Purse
from headstart.compare.schedule import MIN_FINALISTS, MIN_PER_CLASS, Rung, Schedule, draw_order
from headstart.compare.screening import Standing
from headstart.evaluate.paired import ERROR_RATE, paired_difference

Integers = npt.NDArray[np.int64]

MARGIN = 0.01
"""A candidate is dropped when it is worse by more than this, beyond doubt."""
FIRST_MARGIN = 0.03
"""The same at the first rung, where nothing was seen yet of how differences change with more pictures."""

CHEAP = 0.1
"""Of what those who go on cost, so much more is spent on others who would be set aside, the most promising
first: whoever costs next to nothing is not lost for want of budget."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entrant:
    """One who runs.

    Attributes:
        name: unique.
        cost: of one picture, in the unit of the budget.
        prior: published accuracy, in [0, 1]; None where there is none.
        latency_ms: of one picture on this machine; None where it was not measured.
        look: gives how it stands after it has seen pictures, or None where it fails; is given their indices,
            of shape (n,), and how many of them, the first, are training pictures.
    """

    name: str
    cost: float
    prior: float | None = None
    latency_ms: float | None = None
    look: Callable[[Integers, int], Standing | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """Why a candidate does not go on.

    Attributes:
        kind: "worse" beyond doubt, "set aside" for want of budget, or "failed".
        rung: after which rung, from 0.
        reason: in words.
    """

    kind: str
    rung: int
    reason: str


@dataclass(slots=True, kw_only=True, eq=False)
class Race:
    """A race on its way; its standings can be looked at whenever it is stopped.

    Attributes:
        entrants: all who run.
        labels: int64 of shape (N,), training pictures first.
        num_train: how many of them are training pictures.
        num_classes: K.
        schedule: its rungs; the last is not run here, it is that of the finalists.
        purse: what may be spent.
        seed: of the pictures' order.
        max_latency_ms: the best that is not slower stays in to the end; None protects nobody.
        decide: told every decision.
        prepare: told who will see which pictures, and how many of these are to train on, before they do.
        standings: by name, one a rung.
        exits: by name, of those who do not go on.
        spent: in the unit of the entrants' costs.
        num_pictures: how often a picture was shown to an entrant.
    """

    entrants: Sequence[Entrant]
    labels: Integers
    num_train: int
    num_classes: int
    schedule: Schedule
    purse: Purse
    seed: int
    max_latency_ms: float | None = None
    decide: Callable[[str], None] = lambda text: None
    prepare: Callable[[Sequence[Entrant], Integers, int], None] = lambda entrants, rows, num_train: None
    standings: dict[str, list[Standing]] = field(default_factory=dict)
    exits: dict[str, Exit] = field(default_factory=dict)
    spent: float = 0.0
    num_pictures: int = 0

    def run(self) -> list[Entrant]:
        """Run all rungs but the last; return the finalists, the most promising first."""
        for number, rung in enumerate(self.schedule.rungs[:-1]):
            if number and not self._make_room(number, rung):
                self._cut(number - 1, MIN_FINALISTS)
                break
            self.prepare(self.ordered(self.active()), self.rows(rung), rung.num_train)
            for entrant in self.ordered(self.active()):
                self._see(entrant, number, rung)
            self._drop(number)
            self._cut(number, self.schedule.rungs[number + 1].num_candidates)
        return self.ordered(self.active())

    def last_rung(self, finalists: Sequence[Entrant], *, num_after: int) -> Rung:
        """Return how many pictures the finalists see: all, or as many as the budget has room for.

        Args:
            finalists: the most promising first.
            num_after: pictures that the chosen one sees after them.
        """
        whole, leader = self.schedule.rungs[-1], finalists[0]
        seen = self.schedule.rungs[max(0, len(self.standings.get(leader.name, ())) - 1)]
        num_new = whole.num_pictures - seen.num_pictures
        cost = sum(each.cost for each in finalists[: whole.num_candidates]) * num_new
        cost += leader.cost * num_after
        share = min(1.0, max(0.0, self.purse.left() / max(cost, 1e-9)))
        return Rung(
            num_train=seen.num_train + int(share * (whole.num_train - seen.num_train)),
            num_val=seen.num_val + int(share * (whole.num_val - seen.num_val)),
            num_candidates=len(finalists),
        )

    def active(self) -> list[Entrant]:
        """Return those who are still in, in the order they were given."""
        return [each for each in self.entrants if each.name not in self.exits]

    def ordered(self, entrants: Sequence[Entrant]) -> list[Entrant]:
        """Return entrants with the best score first, after it the cheapest, those without a standing last."""
        return sorted(entrants, key=lambda each: (-self.score(each.name), each.cost, -(each.prior or 0.0)))

    def score(self, name: str) -> float:
        """Return the score of an entrant's last standing, minus infinity where there is none."""
        seen = self.standings.get(name)
        return seen[-1].score if seen else -np.inf

    def rows(self, rung: Rung) -> Integers:
        """Return the indices of a rung's pictures, training pictures first."""
        train = draw_order(self.labels[: self.num_train], seed=self.seed)
        val = draw_order(self.labels[self.num_train :], seed=self.seed) + self.num_train
        return np.concatenate([train[: rung.num_train], val[: rung.num_val]])

    def pictures_seen(self, name: str) -> int:
        """Return how many pictures an entrant has seen."""
        rungs = self.schedule.rungs[: len(self.standings.get(name, ()))]
        return rungs[-1].num_pictures if rungs else 0

    def charge(self, entrant: Entrant, num_pictures: int) -> None:
        """Count pictures that an entrant has seen."""
        self.num_pictures += num_pictures
        self.spent += entrant.cost * num_pictures
        self.purse.charge(entrant.cost * num_pictures)

    def has_room(self, entrant: Entrant, rung: Rung) -> bool:
        """Return whether what is left of the budget is enough for an entrant to see a rung's pictures."""
        return entrant.cost * (rung.num_pictures - self.pictures_seen(entrant.name)) <= self.purse.left()

    def _make_room(self, number: int, rung: Rung) -> bool:
        """Set aside whom the budget has no room for at a rung, the least promising first.

        There must be room for the two most promising ones to get to the end; return whether there is.
        """
        ordered = self.ordered(self.active())
        finalists = ordered[:MIN_FINALISTS]
        to_the_end = self.schedule.rungs[-1].num_pictures - rung.num_pictures
        left = self.purse.left() - sum(each.cost for each in finalists) * to_the_end
        fitting = []
        for entrant in ordered:
            cost = entrant.cost * (rung.num_pictures - self.pictures_seen(entrant.name))
            if cost <= left:
                fitting.append(entrant)
                left -= cost
        if len(ordered) < MIN_FINALISTS or not all(each in fitting for each in finalists):
            return False
        for entrant in ordered:
            if entrant not in fitting:
                self.leave(entrant, "set aside", number - 1, "the budget has no room for it")
        return True

    def _see(self, entrant: Entrant, number: int, rung: Rung) -> None:
        """Take an entrant through a rung, unless the budget has no room for it."""
        if self.standings and not self.has_room(entrant, rung):
            self.leave(entrant, "set aside", number, "the budget has no room for it")
            return
        num_new = rung.num_pictures - self.pictures_seen(entrant.name)
        try:
            standing = entrant.look(self.rows(rung), rung.num_train)
        except OutOfBudgetError:
            self.leave(entrant, "set aside", number, "the budget ended while it ran")
            return
        self.charge(entrant, num_new)
        if standing is None:
            self.exits[entrant.name] = Exit(kind="failed", rung=number, reason="it failed")
            return
        self.standings.setdefault(entrant.name, []).append(standing)

    def _drop(self, number: int) -> None:
        """Drop who is worse than the leader beyond doubt.

        The chance of ever dropping one who is no worse is at most `ERROR_RATE`: it is split over all looks
        and pairs, so the bound holds however often one looks and whoever leads by luck.
        """
        active = [each for each in self.active() if each.name in self.standings]
        if len(active) < 2 or not self._is_judgeable(self.schedule.rungs[number]):
            return
        leader = self.ordered(active)[0]
        margin = self._margin(number, leader)
        num_tests = (len(self.schedule.rungs) - 1) * len(self.entrants) * (len(self.entrants) - 1)
        confidence = 1 - 2 * ERROR_RATE / num_tests  # of a two-sided interval of which one side counts
        ahead = self.standings[leader.name][-1].correct
        spared = (leader, self._best_fast(self.ordered(active)))
        for entrant in active:
            if entrant in spared:
                continue
            behind = self.standings[entrant.name][-1].correct
            difference = paired_difference(ahead, behind, confidence=confidence)
            if difference.low > margin:
                reason = (
                    f"worse than {leader.name} by {100 * difference.value:.1f} points on {len(ahead)} "
                    f"validation pictures, by at least {100 * difference.low:.1f} beyond doubt"
                )
                self.leave(entrant, "worse", number, reason)

    def _is_judgeable(self, rung: Rung) -> bool:
        """Return whether candidates have seen `MIN_PER_CLASS` of every class, or all that there are."""
        there = np.bincount(self.labels[: self.num_train], minlength=self.num_classes)
        seen = np.bincount(self.labels[self.rows(rung)[: rung.num_train]], minlength=self.num_classes)
        return bool((seen >= np.minimum(there, MIN_PER_CLASS)).all())

    def _margin(self, number: int, leader: Entrant) -> float:
        """Return by how much a candidate must be worse: more than any caught up since the rung before."""
        if number == 0:
            return FIRST_MARGIN
        first = self.standings[leader.name]
        gains = [MARGIN]
        for entrant in self.active():
            own = self.standings.get(entrant.name, [])
            if len(own) == len(first) == number + 1:
                gaps = [first[at].score - own[at].score for at in (number - 1, number)]
                gains.append(gaps[0] - gaps[1])
        return max(gains)

    def _cut(self, number: int, num_candidates: int) -> None:
        """Set aside whom the next rung has no room for."""
        ordered = self.ordered(self.active())
        kept = self._protected(ordered)
        kept += [each for each in ordered if each not in kept][: max(0, num_candidates - len(kept))]
        cheap = self._cheap(ordered, kept)
        why = f"{len(kept)} with better evidence go on"
        if cheap:
            why += f", and {len(cheap)} that cost next to nothing"
        for entrant in ordered:
            if entrant not in kept and entrant not in cheap:
                self.leave(entrant, "set aside", number, why)

    def _cheap(self, ordered: Sequence[Entrant], kept: Sequence[Entrant]) -> list[Entrant]:
        """Return who else goes on because it costs next to nothing beside those who are kept."""
        left = CHEAP * sum(each.cost for each in kept)
        cheap = []
        for entrant in ordered:
            if entrant not in kept and entrant.cost <= left:
                cheap.append(entrant)
                left -= entrant.cost
        return cheap

    def _protected(self, ordered: Sequence[Entrant]) -> list[Entrant]:
        """Return whom the next rung has room for in any case: the leader, the best fast one, and the best by
        published accuracy, unless the evidence speaks against it."""
        protected = [*ordered[:1]]
        fast = self._best_fast(ordered)
        if fast is not None and fast not in protected:
            protected.append(fast)
        known = [each for each in ordered if each.prior is not None]
        if known:
            best = max(known, key=lambda each: each.prior or 0.0)
            leads, follows = (self.standings[each.name][-1].correct for each in (ordered[0], best))
            if best not in protected and paired_difference(leads, follows).low <= MARGIN:
                protected.append(best)
        return protected

    def _best_fast(self, ordered: Sequence[Entrant]) -> Entrant | None:
        """Return the most promising one that is fast enough, None where nobody is or nothing was asked."""
        limit = self.max_latency_ms
        if limit is None:
            return None
        return next(
            (each for each in ordered if each.latency_ms is not None and each.latency_ms <= limit), None
        )

    def leave(self, entrant: Entrant, kind: str, number: int, reason: str) -> None:
        """Take an entrant out of the race after a rung, counted from 0."""
        self.exits[entrant.name] = Exit(kind=kind, rung=number, reason=reason)
        self.decide(f"{entrant.name}: {kind} after rung {number + 1}: {reason}")
