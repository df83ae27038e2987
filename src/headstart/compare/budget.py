"""What a comparison may spend: time, or pictures that go through networks."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from headstart.compare.records import Tuning
from headstart.core.errors import InputError
from headstart.core.progress import Progress

_SECONDS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_BUDGET = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|sec|m|min|h|d|images|pictures)?")


class OutOfBudgetError(Exception):
    """The budget ended in the middle of a piece of work; a signal inside a comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a comparison may spend.

    Attributes:
        amount: above 0.
        unit: "seconds" of the clock, downloads included, or "pictures" that go through a network.
    """

    amount: float
    unit: Literal["seconds", "pictures"]


def parse_budget(text: str) -> Budget:
    """Return what "10m", "2h", "90s", "10 min" or "50000images" means.

    Raises:
        InputError: it is none of these, or nothing.
    """
    match = _BUDGET.fullmatch(text.strip().lower())
    if match is None or match[2] is None or float(match[1]) <= 0:
        raise InputError(
            f"a budget of {text!r} cannot be read", hint="for example 10m, 2h, 90s or 50000images"
        )
    if match[2] in ("images", "pictures"):
        return Budget(amount=float(match[1]), unit="pictures")
    return Budget(amount=float(match[1]) * _SECONDS[match[2]], unit="seconds")


class Purse:
    """A budget, and what is left of it.

    Seconds pass by themselves; pictures are counted by whoever sends them through a network, so that the same
    comparison always spends the same.

    Attributes:
        budget: the whole.
        reserve: what is kept back for the end.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.reserve = 0.0
        self._charged = 0.0
        self._started = time.monotonic()

    @property
    def is_clock(self) -> bool:
        """Whether time is what is spent."""
        return self.budget.unit == "seconds"

    def spent(self) -> float:
        """Return what was spent, in the budget's unit."""
        return self._charged + (time.monotonic() - self._started if self.is_clock else 0.0)

    def left(self) -> float:
        """Return what may still be spent; below 0 where it was too much."""
        return self.budget.amount - self.reserve - self.spent()

    def resume(self, spent: float) -> None:
        """Add the time that earlier starts spent; pictures are counted again, out of the cache."""
        if self.is_clock:
            self._charged += spent

    def charge(self, cost: float) -> None:
        """Say what was spent, in the budget's unit; nothing comes of it where that is time."""
        if not self.is_clock:
            self._charged += cost


def tuning_seconds(tuning: Tuning, purse: Purse | None, *, num_left: int) -> float:
    """Return the time for the next of so many fine-tunings; 0 for no limit.

    Raises:
        InputError: the budget is not a time.
    """
    own = parse_budget(tuning.budget) if tuning.budget else None
    if own is not None and own.unit != "seconds":
        raise InputError(f"a budget of {tuning.budget!r} is no time", hint="for example 10m, 2h or 90s")
    limits = [own.amount] if own is not None else []
    if purse is not None and purse.is_clock:
        limits.append(max(1.0, purse.left()) / num_left)
    return min(limits, default=0.0)


class Deadline:
    """A listener that ends a piece of work when there is no more time for it.

    Raises `OutOfBudgetError` out of `advance`, while a download or an embedding is on its way: what was
    fetched or embedded until then is kept by those who did it.
    """

    def __init__(self, progress: Progress, purse: Purse) -> None:
        self._progress = progress
        self._purse = purse
        self._reserved: float | None = None

    @contextmanager
    def leaving(self, seconds: float) -> Iterator[None]:
        """End the work in this block as soon as less than so many seconds are left."""
        self._reserved = seconds if self._purse.is_clock else None
        try:
            yield
        finally:
            self._reserved = None

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        """Pass it on."""
        self._progress.start(what, total=total, unit=unit)

    def advance(self, count: int = 1) -> None:
        """Pass it on.

        Raises:
            OutOfBudgetError: the time is over.
        """
        self._progress.advance(count)
        if self._reserved is not None and self._purse.left() < self._reserved:
            raise OutOfBudgetError("the budget ended")

    def note(self, text: str) -> None:
        """Pass it on."""
        self._progress.note(text)
