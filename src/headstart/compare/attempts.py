"""What goes wrong with one candidate does not spoil the others: it becomes a row with its error."""

from collections.abc import Callable
from typing import TypeVar

from headstart.compare.candidates import Candidate
from headstart.compare.records import Row
from headstart.core.errors import ClusterError, DataError, HeadstartError, StorageError

Result = TypeVar("Result")

# What a candidate can be to blame for. HeadstartError: its weights cannot be had or do not fit. torch and
# timm raise the others where a network cannot take an input of some size: RuntimeError for a kernel larger
# than the map, no memory left or an operation that a device lacks (NotImplementedError is one), ValueError
# for one value a channel to normalise, AssertionError for timm's check of the size. All else is our mistake.
_CANDIDATE_ERRORS = (HeadstartError, RuntimeError, ValueError, AssertionError)
_RUN_ERRORS = (StorageError, DataError, ClusterError)  # a full disk spoils all, and so does a lost cluster


class Attempts:
    """Runs pieces of work for candidates.

    Attributes:
        failed: rows with errors, by name, of those with which something went wrong.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.failed: dict[str, Row] = {}
        self._tell = tell

    def run(self, candidate: Candidate, work: Callable[[], Result]) -> Result | None:
        """Return what a piece of work returns; None, with a row in `failed`, where the candidate fails.

        Raises:
            StorageError, DataError, ClusterError: something that is no fault of the candidate.
        """
        try:
            return work()
        except _RUN_ERRORS:
            raise
        except _CANDIDATE_ERRORS as error:
            message = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            self._tell(f"{candidate.name}: failed: {message}")
            self.failed[candidate.name] = Row(
                name=candidate.name,
                model=candidate.entry.name,
                entry=candidate.entry,
                resolution=0,
                error=message,
                hint=getattr(error, "hint", ""),
            )
            return None

    def run_together(self, work: Callable[[], Result]) -> Result | None:
        """Return what a piece of work for several candidates returns; None where one of them fails.

        Nobody is blamed: each is to be run alone then, which shows who it was.

        Raises:
            StorageError, DataError, ClusterError: something that is no fault of a candidate.
        """
        try:
            return work()
        except _RUN_ERRORS:
            raise
        except _CANDIDATE_ERRORS:
            return None
