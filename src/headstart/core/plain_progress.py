"""Progress as lines of plain text, for a log file, a pipe, and whoever has no terminal to draw a bar on."""

import sys
import time
import unicodedata
from collections.abc import Callable

# A terminal that is no terminal (a log file, a pipe) gets a line now and then instead of a moving bar.
_SECONDS_BETWEEN_LINES = 10.0

# Control and format characters, halves of characters, ends of lines and paragraphs.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINER = "\u200d"  # a format character that many emoji are made with


class PlainProgress:
    """Lines on stderr: one when work begins, one every ten seconds."""

    def __init__(self) -> None:
        self._work = Work("", None, "")
        self._printed = time.monotonic()
        self._describe: Callable[[], list[str]] = list

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        """Print what begins."""
        self._work = Work(what, total, unit)
        self._printed = time.monotonic()
        count = f": {total:,} {unit}" if total is not None else ""
        print(f"{plain(what)}{count}", file=sys.stderr)

    def advance(self, count: int = 1) -> None:
        """Print a line when the last one is old."""
        self._work.done += count
        if time.monotonic() - self._printed > _SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            for line in (self._work.figures(), *self._describe()):
                print(f"  {plain(line)}", file=sys.stderr)

    def watch(self, describe: Callable[[], list[str]]) -> None:
        """Print the lines that `describe` gives with each line that is printed now and then."""
        self._describe = describe

    def note(self, text: str) -> None:
        """Print a line."""
        print(plain(text), file=sys.stderr)


class Work:
    """One piece of work and how far it is."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what = plain(what)
        self.total = total
        self.unit = unit
        self.done = 0
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Return how long it has been going on."""
        return time.monotonic() - self._started

    def figures(self) -> str:
        """Return how far it is and how fast it goes."""
        rate = self.done / max(self.seconds(), 1e-3)
        if self.unit == "B":
            total = f" of {self.total / 1e6:.0f}" if self.total else ""
            return f"{self.done / 1e6:.0f}{total} MB, {rate / 1e6:.1f} MB/s"
        total = f" of {self.total:,}" if self.total else ""
        return f"{self.done:,}{total} {self.unit}, {rate:.0f}/s"

    def summary(self) -> str:
        """Return what was done and how long it took."""
        figures = f": {self.figures()}" if self.done else ""
        return f"{self.what}{figures}, {self.seconds():.0f} s"


def plain(text: str) -> str:
    """Return `text` on one line, "?" for what could move the cursor: names of pictures may hold anything."""
    kept = (char == _JOINER or unicodedata.category(char) not in _UNSEEN for char in text)
    return "".join(char if keep else "?" for char, keep in zip(text, kept, strict=True))
