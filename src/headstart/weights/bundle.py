"""Weights of several models in one file, for a machine without a network."""

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, TypeAlias

from headstart.catalog.entry import ModelEntry, WeightsSource
from headstart.catalog.places import fetched_path
from headstart.catalog.search import find_single
from headstart.core.errors import CorruptWeightsError, InputError
from headstart.core.files import atomic_path, storage_errors
from headstart.core.progress import SILENT, Progress
from headstart.weights.checks import expected_digest, sources_to_use
from headstart.weights.download import check_space
from headstart.weights.local_file import WeightsFile, accept, locked, use_local
from headstart.weights.manifest import (
    MANIFEST,
    UNREADABLE,
    BundledWeights,
    manifest_text,
    read_manifest,
)
from headstart.weights.weights_file import fetch

Outcome: TypeAlias = Literal["loaded", "here", "untrusted", "refused", "unknown"]
"""What became of a model in a bundle:

- "loaded": it was put into the cache;
- "here": its weights were on this machine already, and stay as they are;
- "untrusted": nobody but the bundle knows its whole sha256, and the bundle was not trusted;
- "refused": its file is damaged, or not the one that the catalogue means;
- "unknown": the catalogue here has no such model, or other files for it.
"""

_CHUNK_BYTES = 1 << 20

# SPDX identifiers of licences that let everybody pass a file on, for any purpose. Source: spdx.org/licenses,
# and for data and weights creativecommons.org.
_MAY_BE_PASSED_ON = (
    *("apache-2.0", "mit", "mit-0", "isc", "bsd-2-clause", "bsd-3-clause", "0bsd", "mpl-2.0", "zlib"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "unlicense"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWeights:
    """What became of one model of a bundle.

    Attributes:
        name: the row's full name.
        outcome: see `Outcome`.
        sha256: 64 hex digits of the file in the bundle.
        path: where the weights lie on this machine; None where they were not taken.
        reason: why not, or "".
    """

    name: str
    outcome: Outcome
    sha256: str
    path: Path | None = None
    reason: str = ""


def write_bundle(
    entries: Sequence[ModelEntry], path: Path, *, progress: Progress = SILENT
) -> tuple[BundledWeights, ...]:
    """Write the weights of rows, their settings, licences and digests into one file; return what is in it.

    Args:
        entries: rows of the catalogue; what is not on this machine yet is fetched.
        path: the file; one that exists is replaced once the new one is complete.
        progress: counts the bytes, and is warned of weights whose licence may not let them be passed on.

    Raises:
        InputError: a row is a file or folder of the user's own, which no other machine's catalogue knows.
        WeightsError, MissingExtraError: the weights of a row cannot be had.
        StorageError: the disk is full, or `path` may not be written to.
    """
    for entry in entries:
        if any(source.kind == "file" for source in entry.weights.sources):
            raise InputError(
                f"{entry.name} is a file of your own; a bundle holds models of the catalogue",
                hint="copy the file itself, and name it as ARCHITECTURE@FILE",
            )
    if not entries:
        raise InputError("no model was named", hint="see: headstart models")
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected the name of a file", hint="for example -o models.zip")
    files = [fetch(entry, progress=progress) for entry in entries]
    models = tuple(map(_bundled, entries, files))
    _warn_of_licences(models, progress)
    parts = {model.entry_name: (model, file) for model, file in zip(models, files, strict=True)}
    with storage_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
    check_space(path, sum(model.size_bytes for model, _ in parts.values()))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_info(MANIFEST), manifest_text(models))
        for model, file in parts.values():
            progress.start(f"writing {model.name}", total=model.size_bytes, unit="B")
            with (
                file.path.open("rb") as source,
                archive.open(_info(model.entry_name, size_bytes=model.size_bytes), "w") as part,
            ):
                _copy_checked(source, part, model, progress)
    return models


def read_bundle(path: Path, *, trust: bool = False, progress: Progress = SILENT) -> tuple[LoadedWeights, ...]:
    """Put the weights in a bundle where `fetch` finds them; return what became of each model.

    Every file must have the digest that the bundle states and, where the catalogue here knows it, the one
    that the catalogue states. No request is made.

    Args:
        path: what `write_bundle` wrote.
        trust: whether to take weights too whose whole sha256 nobody but the bundle knows.
        progress: counts the bytes.

    Raises:
        CorruptWeightsError: the file is no bundle, is incomplete, or was made to do harm; nothing is taken.
        StorageError: it cannot be read, has another format, or the disk is full; what was loaded stays.
    """
    with _opened(path) as archive:
        models = read_manifest(archive, path)
        return tuple(_take(model, archive, trust=trust, progress=progress) for model in models)


def _bundled(entry: ModelEntry, file: WeightsFile) -> BundledWeights:
    with storage_errors(file.path, "read"):
        size_bytes = file.path.stat().st_size
    return BundledWeights(
        name=entry.name,
        license=entry.weights.license,
        sha256=file.sha256,
        size_bytes=size_bytes,
        source=replace(file.source, sha256=file.sha256, size_bytes=size_bytes),
        settings=entry,
    )


def _warn_of_licences(models: Sequence[BundledWeights], progress: Progress) -> None:
    names: dict[str, list[str]] = {}
    for model in models:
        if model.license.lower() not in _MAY_BE_PASSED_ON:
            names.setdefault(model.license, []).append(model.name)
    for license, which in names.items():
        stated = f"the licence {license}" if license else "an unknown licence"
        progress.note(f"warning: {stated} may not let you pass on the weights of {', '.join(which)}")


def _info(name: str, *, size_bytes: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # with the date of 1980, so that the same models make the same bundle
    info.external_attr = 0o644 << 16
    info.file_size = size_bytes  # tells zipfile whether the entry needs the form for large files
    return info


def _copy_checked(source: IO[bytes], part: IO[bytes], model: BundledWeights, progress: Progress) -> None:
    sha = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        sha.update(chunk)
        part.write(chunk)
        progress.advance(len(chunk))
    if sha.hexdigest() != model.sha256:
        raise CorruptWeightsError(
            f"the weights of {model.name} have changed on this disk: their sha256 is {sha.hexdigest()}; "
            f"expected {model.sha256}",
            hint="remove the fetched copies (headstart cache) or reinstall the package, and try again",
        )


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with storage_errors(path, "read"):
        file = path.open("rb")
    with file:
        try:
            archive = zipfile.ZipFile(file)
        except UNREADABLE as error:
            raise CorruptWeightsError(
                f"{path} is not a bundle, or only a part of one: {error}",
                hint="copy it again; headstart bundle makes one",
            ) from error
        with archive:
            yield archive


def _take(
    model: BundledWeights, archive: zipfile.ZipFile, *, trust: bool, progress: Progress
) -> LoadedWeights:
    """Put one model's file in its place, unless something speaks against it; return what became of it."""

    def result(outcome: Outcome, reason: str = "", path: Path | None = None) -> LoadedWeights:
        return LoadedWeights(name=model.name, outcome=outcome, sha256=model.sha256, path=path, reason=reason)

    entry = _row_called(model.name)
    if entry is None:
        return result("unknown", "the catalogue here has no such model")
    source = _source_of(model, sources_to_use(entry.weights))
    if source is None:
        return result("unknown", "the catalogue here has other files for it")
    expected = expected_digest(source)
    if not model.sha256.startswith(expected):
        return result("refused", f"its sha256 is {model.sha256}; expected {expected}")
    try:
        here = use_local(source, progress)
    except CorruptWeightsError:
        here = None  # what lies in its place is not what the catalogue means
    if here is not None:
        other = "" if here.sha256 == model.sha256 else f"another file of it, {here.sha256}, is here and stays"
        return result("here", other, here.path)
    if not (source.is_verified or trust):
        return result("untrusted", "the catalogue knows no whole sha256 of it")
    try:
        return result("loaded", path=_unpack(model, archive, source, progress))
    except CorruptWeightsError as error:
        return result("refused", error.message)


def _row_called(name: str) -> ModelEntry | None:
    """Return the row with exactly this full name; a bundle must not name files of this machine."""
    entry = None if "@" in name else find_single(name)
    return entry if entry is not None and entry.name == name else None


def _source_of(model: BundledWeights, sources: Sequence[WeightsSource]) -> WeightsSource | None:
    """Return the source of the row that the file belongs to: the one with its digest, or with its place."""
    sources = [source for source in sources if source.kind != "file"]
    for source in sources:
        if source.sha256 == model.sha256:
            return source
    wanted = (model.source.kind, model.source.location, model.source.filename)
    return next((each for each in sources if (each.kind, each.location, each.filename) == wanted), None)


def _unpack(
    model: BundledWeights, archive: zipfile.ZipFile, source: WeightsSource, progress: Progress
) -> Path:
    target = fetched_path(source)
    part = target.with_name(target.name + ".bundle.part")
    progress.start(f"loading {model.name}", total=model.size_bytes, unit="B")
    with locked(target, progress, work="loads"):
        try:
            check_space(part, model.size_bytes)
            with storage_errors(part, "write"), part.open("wb") as file:
                for chunk in _chunks(model, archive):
                    file.write(chunk)
                    progress.advance(len(chunk))
            return accept(part, source, place="the bundle").path
        finally:
            part.unlink(missing_ok=True)


def _chunks(model: BundledWeights, archive: zipfile.ZipFile) -> Iterator[bytes]:
    """Give the bytes of a model's file; raise CorruptWeightsError where the bundle states others."""
    sha = hashlib.sha256()
    try:
        with archive.open(model.entry_name) as data:
            while chunk := data.read(_CHUNK_BYTES):
                sha.update(chunk)
                yield chunk
    except UNREADABLE as error:
        raise CorruptWeightsError(f"its file in the bundle is damaged: {error}") from error
    if sha.hexdigest() != model.sha256:
        raise CorruptWeightsError(
            f"its file in the bundle has the sha256 {sha.hexdigest()}; it states another"
        )
