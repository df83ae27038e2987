"""What the user sees while waiting, and how an error looks."""

import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

# A terminal that is no terminal (a log file, a pipe) gets a line now and then instead of a moving bar.
_SECONDS_BETWEEN_LINES = 10.0

# Control and format characters, halves of characters, ends of lines and paragraphs.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINER = "\u200d"  # a format character that many emoji are made with


def print_error(message: str, hint: str = "") -> None:
    """Print an error and how to mend it, to stderr, a line each."""
    print(f"error: {plain(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {plain(hint)}", file=sys.stderr)


def stdout_console() -> "Console":
    """Return a rich console on stdout; without a terminal it prints plain text and does not wrap."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=240)
    return console


@contextmanager
def show_progress() -> Iterator["ConsoleProgress | PlainProgress"]:
    """Give a listener that shows progress on stderr: a bar on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield PlainProgress()
        return
    progress = ConsoleProgress()
    try:
        yield progress
    finally:
        progress.close()


class ConsoleProgress:
    """A bar with rate and time left for the work that is going on, and a line for what is done."""

    def __init__(self) -> None:
        from rich import progress as bars
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bars: Progress = bars.Progress(
            bars.SpinnerColumn(),
            bars.TextColumn("{task.description}"),
            bars.BarColumn(bar_width=28),
            bars.TextColumn("{task.fields[figures]}"),
            bars.TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._work = _Work("", None, "")
        self._bars.start()

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        """Show the next piece of work in place of the one before."""
        self._end_task()
        self._work = _Work(what, total, unit)
        self._task = self._bars.add_task(plain(what), total=total, figures="")

    def advance(self, count: int = 1) -> None:
        """Move the bar."""
        self._work.done += count
        if self._task is not None:
            self._bars.update(self._task, advance=count, figures=self._work.figures())

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(plain(text))

    def close(self) -> None:
        """Take the bar away."""
        self._end_task()
        self._bars.stop()

    def _end_task(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
            if self._work.seconds() > 2:
                self._console.print(self._work.summary())


class PlainProgress:
    """Lines on stderr: one when work begins, one every ten seconds."""

    def __init__(self) -> None:
        self._work = _Work("", None, "")
        self._printed = time.monotonic()

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        """Print what begins."""
        self._work = _Work(what, total, unit)
        self._printed = time.monotonic()
        count = f": {total:,} {unit}" if total is not None else ""
        print(f"{plain(what)}{count}", file=sys.stderr)

    def advance(self, count: int = 1) -> None:
        """Print a line when the last one is old."""
        self._work.done += count
        if time.monotonic() - self._printed > _SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            print(f"  {self._work.figures()}", file=sys.stderr)

    def note(self, text: str) -> None:
        """Print a line."""
        print(plain(text), file=sys.stderr)


class _Work:
    """One piece of work and how far it is."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what = plain(what)
        self.total = total
        self.unit = unit
        self.done = 0
        self._started = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def figures(self) -> str:
        rate = self.done / max(self.seconds(), 1e-3)
        if self.unit == "B":
            total = f" of {self.total / 1e6:.0f}" if self.total else ""
            return f"{self.done / 1e6:.0f}{total} MB, {rate / 1e6:.1f} MB/s"
        total = f" of {self.total:,}" if self.total else ""
        return f"{self.done:,}{total} {self.unit}, {rate:.0f}/s"

    def summary(self) -> str:
        figures = f": {self.figures()}" if self.done else ""
        return f"{self.what}{figures}, {self.seconds():.0f} s"


def plain(text: str) -> str:
    """Return `text` on one line, "?" for what could move the cursor: names of pictures may hold anything."""
    kept = (char == _JOINER or unicodedata.category(char) not in _UNSEEN for char in text)
    return "".join(char if keep else "?" for char, keep in zip(text, kept, strict=True))
