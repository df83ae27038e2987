"""How a long function tells its caller how far it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """A listener for the progress of one piece of work after another."""

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        """Begin a piece of work; it ends when the next one starts.

        Args:
            what: the work in a few words, "embedding with efficientnet_lite0".
            total: how many units it has, None where that is not known.
            unit: what is counted, in the plural: "pictures", "B".
        """

    def advance(self, count: int = 1) -> None:
        """Say that `count` more units of the current work are done."""

    def note(self, text: str) -> None:
        """Tell the user one line that is worth keeping: a fallback taken, a file left out."""


class Silent:
    """A `Progress` that says nothing."""

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        """Say nothing."""

    def advance(self, count: int = 1) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


SILENT = Silent()


def duration(seconds: float) -> str:
    """Return a time as it is told: "42 s", "7:05 min"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"
