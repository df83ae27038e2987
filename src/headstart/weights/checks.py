"""Whether a weights file is the one it should be.

The catalogue states the whole sha256, or its first digits, or nothing. Where it does not state all of it,
the digest of the first file that arrived is pinned beside it, and what comes later must be equal. The pin
also spares hashing an unchanged file again.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from headstart.catalog.entry import SHA256_DIGITS, WeightsSource
from headstart.core.digest import digest_file
from headstart.core.errors import CorruptWeightsError
from headstart.core.files import storage_errors, write_text
from headstart.core.records import dumps, from_json, read_json
from headstart.weights.mirror import name_in_mirror

# The custom of torch.hub: resnet50-0676ba61.pth. Source: torch/hub.py, HASH_REGEX.
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
_DATE = re.compile(r"(19|20)\d{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What a file was when it was checked: its digest, size and time of change."""

    sha256: str
    size_bytes: int
    mtime_ns: int


def pin_path(path: Path) -> Path:
    """Return where the pin of the weights file `path` lies."""
    return path.with_name(path.name + ".json")


def read_pin(path: Path) -> Pin | None:
    """Return the pin of the weights file `path`, None where there is none that can be read."""
    try:
        return from_json(Pin, read_json(pin_path(path)))
    except (OSError, TypeError):  # StorageError is an OSError; TypeError: other content
        return None


def write_pin(path: Path, sha256: str) -> None:
    """Pin the weights file `path`. Raises StorageError when that cannot be done."""
    with storage_errors(path, "read"):
        stat = path.stat()
    write_text(pin_path(path), dumps(Pin(sha256=sha256, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)))


def expected_digest(source: WeightsSource) -> str:
    """Return the sha256 that the file of `source` must have or begin with, "" where nothing is known."""
    if source.sha256 or source.kind not in ("url", "hub"):
        return source.sha256
    match = _DIGEST_IN_NAME.search(name_in_mirror(source).rpartition("/")[2])
    return "" if match is None or _DATE.fullmatch(match.group(1)) else match.group(1)


def exact_size(source: WeightsSource) -> int:
    """Return the size that the file must have, 0 where the catalogue knows it roughly or not at all."""
    return source.size_bytes if source.is_verified else 0  # torchvision's are rounded


def digest_of(path: Path, pin: Pin | None) -> str:
    """Return the sha256 of a file; from its pin where size and time of change are still the same."""
    with storage_errors(path, "read"):
        stat = path.stat()
        if pin is not None and (pin.size_bytes, pin.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return pin.sha256
        return digest_file(path)


def check_digest(found: str, expected: str, *, name: str, pin: Pin | None = None) -> None:
    """Refuse a file whose sha256 is not what it should be.

    Args:
        found: the file's sha256.
        expected: what it must be or begin with, "" where nothing is known.
        name: the file, as the message shall name it.
        pin: what an earlier copy of it was.

    Raises:
        CorruptWeightsError: it is another file.
    """
    if not found.startswith(expected):
        stated = expected if len(expected) == SHA256_DIGITS else f"one that begins with {expected}"
        raise CorruptWeightsError(
            f"{name} has the sha256 {found}; expected {stated}",
            hint="the file is damaged, or not the one that the catalogue means; it is not used",
        )
    if pin is not None and pin.sha256.startswith(expected) and found != pin.sha256:
        raise CorruptWeightsError(
            f"{name} has the sha256 {found}; expected {pin.sha256}, which it had when it was first fetched",
            hint="if its maker is known to have changed it, remove the fetched copies: headstart cache",
        )
