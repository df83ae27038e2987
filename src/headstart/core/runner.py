"""Who runs the independent pieces of a job: this process by default, a cluster where one is given."""

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Runner(Protocol):
    """Runs independent pieces of work."""

    @property
    def is_local(self) -> bool:
        """Whether everything runs in this process.

        A job need not be cut into pieces then, and what a function leaves in memory is there afterwards.
        """
        ...

    @property
    def num_workers(self) -> int:
        """How many pieces run at the same time."""
        ...

    def map(
        self, function: Callable[[Item], Iterable[Result]], items: Iterable[Item], *, what: str = ""
    ) -> Generator[Result, None, None]:
        """Yield what ``function`` yields for each of `items`, in their order.

        Closing the generator ends the work.

        Args:
            function: what to do with a piece. Elsewhere than here it is a copy that does it, one in each
                worker, which keeps between its pieces what it holds.
            items: the pieces; they and the results can be pickled where the runner is not local.
            what: the work in a few words, for whoever watches.
        """
        ...

    def describe(self) -> list[str]:
        """Return who did how much so far, a line each; nothing where there is nobody but this process."""
        ...


class SerialRunner:
    """Runs one piece after another in this process."""

    is_local = True
    num_workers = 1

    def map(
        self, function: Callable[[Item], Iterable[Result]], items: Iterable[Item], *, what: str = ""
    ) -> Generator[Result, None, None]:
        """Yield what ``function`` yields for each of `items`, each computed when asked for."""
        for item in items:
            yield from function(item)

    def describe(self) -> list[str]:
        """Return nothing: there is nobody else."""
        return []
