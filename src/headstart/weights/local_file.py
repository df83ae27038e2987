"""A weights file on this machine: found, checked, put in its place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headstart.catalog.entry import WeightsSource
from headstart.catalog.pins import read_pin
from headstart.catalog.places import WeightsState, fetched_path, local_path
from headstart.core.files import storage_errors
from headstart.core.progress import Progress
from headstart.weights.checks import check_digest, digest_of, expected_digest, write_pin


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """A weights file on this machine whose content has been checked.

    Attributes:
        path: where it lies.
        sha256: 64 hex digits of its content.
        source: which of the row's sources it is the file of.
        state: "package", "cached" or "unverified" (fetched now or earlier), or "file" (the user's own).
    """

    path: Path
    sha256: str
    source: WeightsSource
    state: WeightsState

    @property
    def is_verified(self) -> bool:
        """Whether the whole sha256 was known beforehand, from the catalogue or from the user."""
        return self.source.is_verified


def use_local(source: WeightsSource, progress: Progress) -> WeightsFile | None:
    """Return the file of `source` where it is on this machine; a damaged one in our cache is removed.

    Raises:
        CorruptWeightsError: there is a file, but another one than is wanted; it stays.
        StorageError: the file cannot be read.
    """
    path = local_path(source)
    if path is None:
        return None
    if source.kind == "file" or path != fetched_path(source):
        digest = digest_of(path, None)
        check_digest(digest, expected_digest(source), name=str(path))
        state: WeightsState = "file" if source.kind == "file" else "package"
        return WeightsFile(path=path, sha256=digest, source=source, state=state)
    pin = read_pin(path)
    digest = digest_of(path, pin)
    if pin is not None and digest != pin.sha256:
        progress.note(f"{path.name} was damaged since it was fetched; it is not used")
        with storage_errors(path, "remove"):
            path.unlink(missing_ok=True)
        return None
    check_digest(digest, expected_digest(source), name=str(path))
    if pin is None or (source.is_verified and not pin.is_verified):
        write_pin(path, digest, is_verified=source.is_verified)
    return WeightsFile(path=path, sha256=digest, source=source, state=_state_in_cache(source))


def accept(part: Path, source: WeightsSource, *, place: str) -> WeightsFile:
    """Check a complete file and put it into our cache as the file of `source`.

    Args:
        part: the file; it is moved, or left where it is when it is the wrong one.
        source: whose file it shall be.
        place: where it came from, for the message.

    Raises:
        CorruptWeightsError: it is another file than is wanted.
        StorageError: it cannot be put in its place.
    """
    target = fetched_path(source)
    digest = digest_of(part, None)
    check_digest(digest, expected_digest(source), name=f"{target.name} from {place}", pin=read_pin(target))
    with storage_errors(target, "write"):
        with part.open("rb+") as file:
            os.fsync(file.fileno())  # or a power cut leaves an empty file under the final name
        os.replace(part, target)
    write_pin(target, digest, is_verified=source.is_verified)
    return WeightsFile(path=target, sha256=digest, source=source, state=_state_in_cache(source))


@contextmanager
def locked(target: Path, progress: Progress, *, work: str) -> Iterator[None]:
    """Keep other processes from making `target` inside the block; wait while one does.

    Args:
        target: the file that is made; its folder is made too.
        progress: told when there is a wait.
        work: what the other process does with the file, for the message: "fetches".
    """
    from filelock import FileLock, Timeout  # late: most runs make nothing

    with storage_errors(target.parent, "write"):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(target.name + ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.note(f"waiting for another process that {work} {target.name}")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _state_in_cache(source: WeightsSource) -> WeightsState:
    return "cached" if source.is_verified else "unverified"
