"""What a bundle says of itself: ``bundle.json``, and the check that the archive around it is as it says.

A bundle is a zip of uncompressed entries: ``bundle.json``, and ``weights/SHA256`` for every file. No name in
it is ever used as a path, and what does not have this very form is refused before anything is taken out.
"""

import json
import re
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from headstart.catalog.entry import ModelEntry, WeightsSource
from headstart.core.errors import CorruptWeightsError
from headstart.core.formats import BUNDLE_FORMAT, check_format
from headstart.core.records import dumps, to_json

MANIFEST = "bundle.json"

_WEIGHTS = re.compile(r"weights/[0-9a-f]{64}")
# Whatever reading an archive that was made to do harm can bring zipfile to.
UNREADABLE = (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, OSError)

_MAX_MANIFEST_BYTES = 32 << 20  # the whole catalogue needs a tenth of it
_FOLDERS = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledWeights:
    """One row's weights in a bundle.

    Attributes:
        name: the row's full name.
        license: SPDX identifier of the weights' licence where there is one; "" where unknown.
        sha256: 64 hex digits of the file.
        size_bytes: its size.
        source: where the file had come from.
        settings: the whole row as it was where the bundle was made, for people and programs to read.
    """

    name: str
    license: str
    sha256: str
    size_bytes: int
    source: WeightsSource
    settings: ModelEntry | None = None

    @property
    def entry_name(self) -> str:
        """The name of the zip's entry that holds the file."""
        return f"weights/{self.sha256}"


def manifest_text(models: Sequence[BundledWeights]) -> str:
    """Return the text of ``bundle.json`` for these models."""
    return dumps({"format": BUNDLE_FORMAT, "models": [to_json(model) for model in models]})


def read_manifest(archive: zipfile.ZipFile, path: Path) -> tuple[BundledWeights, ...]:
    """Return what the bundle says it holds; every file of it is there, with the size that is stated.

    The files' content is not looked at, and the settings are not read: the row of the catalogue here counts.

    Args:
        archive: the opened bundle.
        path: its path, for the messages.

    Raises:
        CorruptWeightsError: it is not what `write_bundle` writes.
        StorageError: it has another format number.
    """
    sizes = _checked_sizes(archive, path)
    if MANIFEST not in sizes:
        _refuse(path, f"has no {MANIFEST}")
    if sizes[MANIFEST] > _MAX_MANIFEST_BYTES:
        _refuse(path, f"has a {MANIFEST} of {sizes[MANIFEST]:,} bytes")
    try:
        content = json.loads(archive.read(MANIFEST))
    except UNREADABLE as error:
        raise _refusal(path, f"has a {MANIFEST} that is damaged") from error
    check_format(content.get("format") if isinstance(content, dict) else None, BUNDLE_FORMAT, str(path))
    models = tuple(_model(path, value) for value in _list(path, content.get("models")))
    listed = {model.entry_name: model.size_bytes for model in models}
    for name, size_bytes in listed.items():
        if sizes.get(name) != size_bytes:
            found = f"{sizes[name]:,}" if name in sizes else "none"
            _refuse(path, f"states {size_bytes:,} bytes for {name}, and has {found}")
    unlisted = sizes.keys() - listed.keys() - {MANIFEST}
    if unlisted:
        _refuse(path, f"has {min(unlisted)}, of which its {MANIFEST} says nothing")
    return models


def _refusal(path: Path, why: str) -> CorruptWeightsError:
    return CorruptWeightsError(
        f"{path} {why}; no bundle of headstart is like that",
        hint="nothing was taken out of it; have it made again with headstart bundle",
    )


def _refuse(path: Path, why: str) -> NoReturn:
    raise _refusal(path, why)


def _checked_sizes(archive: zipfile.ZipFile, path: Path) -> dict[str, int]:
    """Return the size in bytes of every entry, once all of them are plain and stored as they are."""
    sizes: dict[str, int] = {}
    for info in archive.infolist():
        name = info.orig_filename  # as it stands in the file; `filename` has been tidied
        if name != MANIFEST and not _WEIGHTS.fullmatch(name):
            where = ", which points outside of it" if _FOLDERS.search(name) else ""
            _refuse(path, f"has an entry {name[:80]!r}{where}")
        if name in sizes:
            _refuse(path, f"has {name} twice")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            _refuse(path, f"has {name} as a link or another special file")
        stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not stored or info.flag_bits & 1:
            _refuse(path, f"has {name} compressed or encrypted")
        sizes[name] = info.file_size
    if sum(sizes.values()) > path.stat().st_size:
        _refuse(path, "states more bytes than it has")
    return sizes


def _list(path: Path, value: object) -> list[Any]:
    if not isinstance(value, list) or not value:
        _refuse(path, f"lists no models in its {MANIFEST}")
    return value


def _model(path: Path, value: Any) -> BundledWeights:
    try:
        source = value["source"]
        model = BundledWeights(
            name=value["name"],
            license=value["license"],
            sha256=value["sha256"],
            size_bytes=value["size_bytes"],
            source=WeightsSource(
                kind=source["kind"], location=source["location"], filename=source["filename"]
            ),
        )
    except (KeyError, TypeError) as error:
        raise _refusal(path, f"has a model in its {MANIFEST} that is not complete") from error
    texts = (model.name, model.license, model.sha256, model.source.location, model.source.filename)
    if not all(isinstance(text, str) for text in texts) or not _WEIGHTS.fullmatch(model.entry_name):
        _refuse(path, f"has a model in its {MANIFEST} with a name, licence, digest or source that is none")
    if not isinstance(model.size_bytes, int) or model.size_bytes < 0:
        _refuse(path, f"states {model.size_bytes!r} bytes for {model.name}")
    return model
