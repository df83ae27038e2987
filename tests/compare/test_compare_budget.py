"""Budgets: how they are written, what is left of them, and what ends when they end."""

import pytest

from headstart.compare import budget
from headstart.compare.budget import Budget, Deadline, OutOfBudgetError, Purse, parse_budget
from headstart.core.errors import InputError
from headstart.core.progress import SILENT


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("10m", 600, "seconds"),
        ("10 min", 600, "seconds"),
        ("1.5h", 5400, "seconds"),
        ("90s", 90, "seconds"),
        ("2H", 7200, "seconds"),
        ("50000images", 50000, "pictures"),
        ("50000 pictures", 50000, "pictures"),
    ],
)
def test_budgets_are_read(text: str, amount: float, unit: str) -> None:
    assert parse_budget(text) == Budget(amount=amount, unit=unit)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "10", "0m", "-5m", "ten minutes", "10 parsecs", "m", "nan m", "1e3s"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        parse_budget(text)
    assert "10m" in caught.value.hint


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budget.time, "monotonic", clock)
    return clock


def test_time_passes_by_itself(clock: Clock) -> None:
    purse = Purse(Budget(amount=60, unit="seconds"))
    purse.charge(1e9)  # what work costs is told by the clock alone
    clock.now += 20
    purse.reserve = 6
    assert purse.spent() == 20
    assert purse.left() == 34
    purse.resume(30)
    assert purse.left() == 4


def test_pictures_are_counted(clock: Clock) -> None:
    purse = Purse(Budget(amount=60, unit="pictures"))
    clock.now += 1e6
    purse.charge(45)
    purse.resume(30)  # they come out of the cache, and are counted as they do
    assert purse.left() == 15


def test_work_ends_with_the_time(clock: Clock) -> None:
    deadline = Deadline(SILENT, Purse(Budget(amount=60, unit="seconds")))
    with deadline.leaving(20):
        clock.now += 39
        deadline.advance()
        clock.now += 2
        with pytest.raises(OutOfBudgetError):
            deadline.advance()
    deadline.advance()  # nothing is stopped outside the block


def test_counted_work_is_not_ended_by_the_clock(clock: Clock) -> None:
    deadline = Deadline(SILENT, Purse(Budget(amount=60, unit="pictures")))
    with deadline.leaving(20):
        clock.now += 1e6
        deadline.advance()
