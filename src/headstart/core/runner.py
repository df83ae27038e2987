"""Who runs the independent pieces of a job: this process by default, a cluster where one is given."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Runner(Protocol):
    """Runs independent pieces of work."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each of `items`, in their order."""
        ...


class SerialRunner:
    """Runs one piece after another in this process."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each of `items`, in their order, each computed when asked for."""
        return map(function, items)
