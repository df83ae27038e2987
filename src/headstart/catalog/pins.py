"""What a weights file in our cache was when it was last checked.

The pin lies beside the file, ``resnet50-0676ba61.pth.json``. It says which file is meant where the catalogue
does not state the whole sha256, and spares hashing a file that has not changed since.
"""

from dataclasses import dataclass
from pathlib import Path

from headstart.core.records import from_json, read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A file's identity at the time when it was checked.

    Attributes:
        sha256: 64 hex digits of its content.
        size_bytes: its size.
        mtime_ns: when it was last changed, in nanoseconds since 1970.
        is_verified: whether the whole sha256 was known beforehand, from the catalogue or from the user; if
            not, it is merely the first that was seen.
    """

    sha256: str
    size_bytes: int
    mtime_ns: int
    is_verified: bool = False


def pin_path(path: Path) -> Path:
    """Return where the pin of the weights file `path` lies."""
    return path.with_name(path.name + ".json")


def read_pin(path: Path) -> Pin | None:
    """Return the pin of the weights file `path`, None where there is none that can be read."""
    try:
        pin = from_json(Pin, read_json(pin_path(path)))
    except (OSError, TypeError):  # StorageError is an OSError; TypeError: other content
        return None
    return pin if isinstance(pin.sha256, str) else None
