"""What the user sees while waiting, and how an error looks."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headstart.cli.collector import wake_collector
from headstart.core.plain_progress import PlainProgress, Work, plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


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
    """Give a listener that shows progress on stderr: a bar on a terminal, lines elsewhere.

    What follows is the command's work, for which the modules are loaded.
    """
    wake_collector()
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
        from rich.console import Console, RenderableType
        from rich.text import Text

        def watched() -> "Iterable[Text]":
            return (Text(plain(line), no_wrap=True, overflow="ellipsis") for line in self._describe())

        class Display(bars.Progress):
            """A bar, and below it the lines of whoever is watched."""

            def get_renderables(self) -> "Iterable[RenderableType]":
                yield from super().get_renderables()
                yield from watched()

        self._describe: Callable[[], list[str]] = list
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bars: Progress = Display(
            bars.SpinnerColumn(),
            bars.TextColumn("{task.description}"),
            bars.BarColumn(bar_width=28),
            bars.TextColumn("{task.fields[figures]}"),
            bars.TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._work = Work("", None, "")
        self._bars.start()

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        """Show the next piece of work in place of the one before."""
        self._end_task()
        self._work = Work(what, total, unit)
        self._task = self._bars.add_task(plain(what), total=total, figures="")

    def advance(self, count: int = 1) -> None:
        """Move the bar."""
        self._work.done += count
        if self._task is not None:
            self._bars.update(self._task, advance=count, figures=self._work.figures())

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(plain(text))

    def watch(self, describe: Callable[[], list[str]]) -> None:
        """Show the lines that `describe` gives below the bar, as they are now."""
        self._describe = describe

    def close(self) -> None:
        """Take the bar away, and what is watched."""
        self._describe = list
        self._end_task()
        self._bars.stop()

    def _end_task(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
            if self._work.seconds() > 2:
                self._console.print(self._work.summary())
