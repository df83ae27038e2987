"""A comparison under a budget: candidates are met and timed, the race is planned, run, and kept."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from headstart.compare.attempts import Attempts
from headstart.compare.budget import Deadline, OutOfBudgetError, Purse
from headstart.compare.candidates import Candidate, prior
from headstart.compare.field import Field, Measured
from headstart.compare.race import Entrant, Race
from headstart.compare.records import CompareOptions, RaceSummary, Row, Screening
from headstart.compare.run_folder import RunFolder
from headstart.compare.schedule import MIN_FINALISTS, Rung, Schedule, draw_order, plan
from headstart.compare.screening import Standing, screen
from headstart.core.progress import Progress, duration
from headstart.core.records import from_json, to_json
from headstart.core.runner import Runner
from headstart.data import ImageDataset, Splits
from headstart.data.dataset import concatenate
from headstart.embed import PixelStore
from headstart.evaluate import wilson

Integers = npt.NDArray[np.int64]

# Seconds, measured on two cores, for what is not embedding; an estimate is to be right within a quarter.
_FIT, _FIT_OF_A_VALUE = 1.0, 1.5e-7  # a probe that sweeps its strength, by rows times features
_SIGNS = 1.5  # what is looked at in a finalist besides its accuracy
_END = 5.0  # the head on pixels, thumbnails, model folder, report
_MAX_FINISH_SHARE = 0.4  # of the budget: where it is tiny, the end must not eat it up

TUNING_SHARE = 0.5
"""Of what is left when a race is planned, what is kept back for the fine-tuning of its finalists. One epoch
takes several times as long as embedding the same pictures once, so what a race leaves by itself would be
nothing to them. That it is half was not measured."""


class Contest:
    """One race of a comparison.

    Args:
        candidates: all that may run.
        splits: the pictures; those of the test part are only counted.
        sides: int64 of shape (N,): shorter sides of the pictures.
        options: limits, device, precision, plan, seed.
        store: the pixels that all candidates share.
        purse: the budget.
        decode_seconds: for one picture, where its pixels were not kept when it was scanned; else 0.
        folder: of the run; keeps what was measured and planned.
        attempts: where failures go.
        tell: told every decision.
        progress: told about everything that takes time.

    Attributes:
        field: the candidates' networks.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        splits: Splits,
        sides: Integers,
        *,
        options: CompareOptions,
        store: PixelStore,
        purse: Purse,
        decode_seconds: float,
        runner: Runner,
        folder: RunFolder,
        attempts: Attempts,
        tell: Callable[[str], None],
        progress: Progress,
    ) -> None:
        parts = [splits.train] if splits.val is None else [splits.train, splits.val]
        pictures = concatenate(parts)
        self._candidates = {each.name: each for each in candidates}
        self._splits = splits
        self._labels = pictures.labels
        self._options = options
        self._purse = purse
        self._decode_seconds = decode_seconds
        self._folder = folder
        self._kept = folder.load_progress()
        self._attempts = attempts
        self._tell = tell
        self._deadline = Deadline(progress, purse)
        self._measured: dict[str, Measured] = {}
        self._left_out: dict[str, str] = {}
        self._ahead: dict[str, Standing] = {}
        self._race: Race | None = None
        self._finished: set[str] = set()
        self._expected = 0.0
        self.field = Field(
            pictures,
            splits.train,
            sides,
            options=options,
            store=store,
            purse=purse,
            attempts=attempts,
            runner=runner,
            progress=self._deadline,
        )

    def run(self, gather: Callable[[Candidate, Splits, Progress], None]) -> None:
        """Run the race, and gather the evidence of the finalists, the most promising first.

        Args:
            gather: is given a finalist, the pictures that it is to see, and a listener that ends the work of
                all but the first when the time is over.
        """
        self._meet()
        if not self._measured:
            return
        self._race = Race(
            entrants=[self._entrant(name) for name in self._measured],
            labels=self._labels,
            num_train=len(self._splits.train),
            num_classes=self._splits.train.num_classes,
            schedule=self._plan(),
            purse=self._purse,
            seed=self._options.seed,
            max_latency_ms=self._options.max_latency_ms,
            decide=self._decide,
            prepare=self._look_ahead,
        )
        finalists = self._race.run()
        if not finalists:
            return
        rung = self._last_rung(finalists)
        splits = self._beginning(rung)
        self._prepare(finalists, rung, splits)
        for entrant in finalists:
            if self._finished and not self._has_room(entrant, rung):
                self._race.leave(entrant, "set aside", self._last, "the budget has no room for it")
                continue
            try:
                with self._deadline.leaving(0.0) if self._finished else nullcontext():
                    gather(self._candidates[entrant.name], splits, self._deadline)
            except OutOfBudgetError:
                self._race.leave(entrant, "set aside", self._last, "the budget ended while it ran")
                continue
            self._race.charge(entrant, rung.num_pictures - self._race.pictures_seen(entrant.name))
            self._finished.add(entrant.name)
            self._keep()

    def release_for_tuning(self) -> None:
        """Give back what was kept for fine-tuning: it begins."""
        self._purse.reserve -= float(self._kept.get("for_tuning", 0.0))

    def can_look(self, candidate: Candidate, num_pictures: int) -> bool:
        """Return whether the budget has room for a candidate to see so many pictures more."""
        return self._purse.left() >= self._cost(candidate.name) * num_pictures

    def _has_room(self, entrant: Entrant, rung: Rung) -> bool:
        """Return whether there is room for one more finalist, and for the chosen one's test pictures."""
        seen = self._race.pictures_seen(entrant.name) if self._race is not None else 0
        dearest = max(self._cost(name) for name in {entrant.name, *self._finished})
        needed = entrant.cost * (rung.num_pictures - seen) + dearest * len(self._splits.test or ())
        return needed <= self._purse.left()

    def _cost(self, name: str) -> float:
        return self._measured[name].seconds if self._purse.is_clock else 1.0

    def charge(self, candidate: Candidate, num_pictures: int) -> None:
        """Count pictures that a candidate sees after the race."""
        if self._race is not None:
            name = candidate.tuned_from or candidate.name
            entrant = next(each for each in self._race.entrants if each.name == name)
            self._race.charge(entrant, num_pictures)
            self._keep()

    def rows(self) -> list[Row]:
        """Return the rows of those that did not get to the end, the most promising first."""
        score = self._race.score if self._race is not None else lambda name: 0.0
        names = [name for name in self._candidates if name not in self._finished | {*self._attempts.failed}]
        return [self._row(name) for name in sorted(names, key=lambda name: -score(name))]

    def summary(self) -> RaceSummary:
        """Return what was spent on what, until now."""
        return RaceSummary(
            budget=self._options.budget,
            rungs=self._rungs(),
            expected=self._expected,
            spent=self._purse.spent(),
            unit=self._purse.budget.unit,
            num_pictures=self._race.num_pictures if self._race is not None else 0,
        )

    def _rungs(self) -> tuple[tuple[int, int, int], ...]:
        """Return training pictures, validation pictures and candidates of every rung that was run."""
        if self._race is None:
            return ()
        standings = self._race.standings.values()
        seen = [
            (rung.num_train, rung.num_val, sum(len(each) > at for each in standings))
            for at, rung in enumerate(self._race.schedule.rungs[:-1])
        ]
        last = self._kept.get("last_rung")
        if last is not None:
            seen.append((last["num_train"], last["num_val"], len(self._finished)))
        return tuple(each for each in seen if each[2])

    @property
    def _last(self) -> int:
        return len(self._race.schedule.rungs) - 1 if self._race is not None else 0

    def _decide(self, text: str) -> None:
        self._tell(text)
        self._keep()
        for name in self._race.exits if self._race is not None else ():
            self.field.dismiss(name)

    def _keep(self) -> None:
        """Write down what was measured, planned and spent."""
        record = {
            "measured": self._measured,
            "left_out": self._left_out,
            "spent": self._purse.spent(),
            "expected": self._expected,
        }
        self._kept = {**self._kept, **to_json(record)}
        self._folder.save_progress(self._kept)

    def _meet(self) -> None:
        """Load and time the candidates, or take what an earlier start measured."""
        if "measured" in self._kept:
            self._measured = from_json(dict[str, Measured], self._kept["measured"])
            self._left_out = dict(self._kept["left_out"])
            self._purse.resume(float(self._kept["spent"]))
            return
        self._measured = self.field.meet([*self._candidates.values()])
        self._left_out = self.field.left_out
        for name, reason in self._left_out.items():
            self._tell(f"{name}: left out: {reason}")
        self._keep()

    def _look_ahead(self, entrants: Sequence[Entrant], rows: Integers, num_train: int) -> None:
        """Let all who see some pictures see them together, until half of what is left is gone."""
        candidates = [self._candidates[each.name] for each in entrants]
        self._ahead = {}
        with suppress(OutOfBudgetError), self._deadline.leaving(self._purse.left() / 2):
            self._ahead = self.field.look_ahead(candidates, rows, num_train=num_train)

    def _prepare(self, finalists: Sequence[Entrant], rung: Rung, splits: Splits) -> None:
        """Let the finalists that there is room for see their pictures together; they are charged later."""
        if self._race is None:
            return
        left, fitting = self._purse.left(), list[Candidate]()
        for entrant in finalists:
            left -= entrant.cost * (rung.num_pictures - self._race.pictures_seen(entrant.name))
            if left < 0 and fitting:
                break
            fitting.append(self._candidates[entrant.name])
        with suppress(OutOfBudgetError), self._deadline.leaving(0.0):
            self.field.prepare(fitting, self._race.rows(rung), splits)

    def _entrant(self, name: str) -> Entrant:
        candidate, measured = self._candidates[name], self._measured[name]

        def look(rows: Integers, num_train: int) -> Standing | None:
            ahead = self._ahead.pop(name, None)
            if ahead is not None:
                return ahead
            with self._deadline.leaving(self._purse.left() / 2):
                features = self._attempts.run(candidate, lambda: self.field.features(candidate, rows))
            if features is None:
                return None
            num_classes = self._splits.train.num_classes
            return screen(features, self._labels[rows], num_train=num_train, num_classes=num_classes)

        return Entrant(
            name=name,
            cost=self._cost(name),
            prior=prior(candidate),
            latency_ms=measured.latency_ms,
            look=look,
        )

    def _plan(self) -> Schedule:
        """Plan the rungs, and say how long they will take; what an earlier start planned is kept."""
        finish = self._finish_seconds() if self._purse.is_clock else 0.0
        self._purse.reserve = min(finish, _MAX_FINISH_SHARE * self._purse.budget.amount)
        for_tuning = self._keep_for_tuning()
        if "schedule" in self._kept:
            self._expected = float(self._kept["expected"])
            return from_json(Schedule, self._kept["schedule"])
        measured = [*self._measured.values()]
        num_val = 0 if self._splits.val is None else len(self._splits.val)
        decoding = self._decode_seconds * len(self._labels)
        schedule = plan(
            [self._cost(name) for name in self._measured],
            fixed=float(np.mean([each.fixed_seconds for each in measured])),
            num_train=len(self._splits.train),
            num_val=num_val,
            num_classes=self._splits.train.num_classes,
            num_after=len(self._splits.test or ()),
            budget=self._purse.left() - decoding,
        )
        others = self._purse.spent() + decoding + finish if self._purse.is_clock else 0.0
        self._expected = others + schedule.expected_cost + for_tuning
        self._kept["schedule"] = to_json(schedule)
        self._decide(
            describe_schedule(
                schedule, self._expected, self._purse, self._splits, is_tuned=self._options.tuning is not None
            )
        )
        return schedule

    def _keep_for_tuning(self) -> float:
        """Keep back what the finalists' fine-tuning is to have; the same after a kill. Return it."""
        share = 0.0 if self._options.tuning is None else TUNING_SHARE
        kept = float(self._kept.setdefault("for_tuning", share * max(0.0, self._purse.left())))
        self._purse.reserve += kept
        return kept

    def _finish_seconds(self) -> float:
        """Return about how long heads, advice and report will take, embedding apart."""
        num_features = float(np.mean([each.feature_dim for each in self._measured.values()]))
        fit = _FIT + _FIT_OF_A_VALUE * num_features * len(self._labels)
        # Each finalist's head; the final one, and the learning curve's parts.
        return MIN_FINALISTS * (fit + _SIGNS) + 2 * fit + _END

    def _last_rung(self, finalists: Sequence[Entrant]) -> Rung:
        """Return what the finalists see; what an earlier start decided is kept."""
        if "last_rung" in self._kept:
            return from_json(Rung, self._kept["last_rung"])
        if self._race is None:
            raise RuntimeError("there is no race")
        rung = self._race.last_rung(finalists, num_after=len(self._splits.test or ()))
        self._kept["last_rung"] = to_json(rung)
        if rung.num_pictures < len(self._labels):
            self._decide(
                f"the budget has room for {rung.num_pictures:,} of {len(self._labels):,} pictures: the "
                "finalists are judged and trained on these"
            )
        self._keep()
        return rung

    def _beginning(self, rung: Rung) -> Splits:
        """Return the pictures of the last rung, and as large a share of the test part."""
        if rung.num_pictures >= len(self._labels):
            return self._splits
        share = rung.num_pictures / len(self._labels)
        splits, seed = self._splits, self._options.seed

        def first(part: ImageDataset, count: int) -> ImageDataset:
            return part.select(np.sort(draw_order(part.labels, seed=seed)[: max(1, count)]))

        return replace(
            splits,
            train=first(splits.train, rung.num_train),
            val=splits.val and first(splits.val, rung.num_val),
            test=splits.test and first(splits.test, round(share * len(splits.test))),
        )

    def _row(self, name: str) -> Row:
        candidate, measured = self._candidates[name], self._measured.get(name)
        return Row(
            name=name,
            model=candidate.entry.name,
            entry=candidate.entry,
            resolution=measured.resolution if measured is not None else 0,
            feature_dim=measured.feature_dim if measured is not None else 0,
            screening=self._screening(name),
        )

    def _screening(self, name: str) -> Screening:
        left = self._race.exits.get(name) if self._race is not None else None
        kind, reason = (left.kind, left.reason) if left else ("running", "the race was stopped")
        if name in self._left_out:
            kind, reason = "set aside", self._left_out[name]
        standings = self._race.standings.get(name, []) if self._race is not None else []
        if not standings:
            return Screening(exit=kind, reason=reason)
        last = standings[-1]
        num_pictures = last.num_train + len(last.correct)
        return Screening(
            exit=kind,
            reason=reason,
            num_train=last.num_train,
            num_val=len(last.correct),
            accuracy=wilson(round(last.accuracy * num_pictures), num_pictures),
            neighbours=last.neighbours,
            h_score=last.h_score,
            log_me=last.log_me,
        )


def describe_schedule(
    schedule: Schedule, expected: float, purse: Purse, splits: Splits, *, is_tuned: bool = False
) -> str:
    """Return what a race will do, in words."""
    first = [f"{rung.num_candidates} see {rung.num_pictures:,} pictures" for rung in schedule.rungs[:-1]]
    last = schedule.rungs[-1]
    steps = [*first, f"{last.num_candidates} are trained and judged on {last.num_pictures:,}"]
    if is_tuned:
        steps.append("the best of them are fine-tuned")
    if splits.test is not None:
        steps.append(f"the chosen one on {len(splits.test):,} test pictures")
    amount = purse.budget.amount
    if purse.is_clock:
        cost = f"about {duration(expected)} of {duration(amount)} in all, {duration(purse.spent())} gone"
    else:
        cost = f"about {expected:,.0f} of {amount:,.0f} pictures through networks"
    return f"the plan: {', '.join(steps)}; {cost}"
