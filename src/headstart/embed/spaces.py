"""The spaces of the embedding cache as they lie on the disk: what each is, its size, and its last use."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.core.errors import StorageError
from headstart.core.files import storage_errors
from headstart.core.paths import embeddings_dir
from headstart.core.records import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """One space in the cache, as it lies on the disk.

    Attributes:
        folder: where it lies.
        record: what the space is; {} where that cannot be read.
        size_bytes: of its files.
        used: when it was last written or read, in seconds since 1970.
    """

    folder: Path
    record: dict[str, Any]
    size_bytes: int
    used: float


def list_spaces() -> list[Space]:
    """Return every space in the cache, the one used last first."""
    spaces = []
    for folder in embeddings_dir().glob("*/"):
        files = [file.stat() for file in folder.iterdir() if file.is_file()]
        try:
            record = dict(read_json(folder / "space.json"))
        except (StorageError, TypeError, ValueError):
            record = {}
        spaces.append(
            Space(
                folder=folder,
                record=record,
                size_bytes=sum(status.st_size for status in files),
                used=max((status.st_mtime for status in files), default=0.0),
            )
        )
    return sorted(spaces, key=lambda space: -space.used)


def prune_spaces(keep_bytes: int) -> int:
    """Delete the spaces that were not used for longest, until the others fit; return the bytes freed.

    Args:
        keep_bytes: size of what may stay.

    Raises:
        StorageError: a folder cannot be deleted.
    """
    spaces = list_spaces()
    left = sum(space.size_bytes for space in spaces)
    freed = 0
    while spaces and left - freed > keep_bytes:
        space = spaces.pop()
        with storage_errors(space.folder, "delete"):
            shutil.rmtree(space.folder)
        freed += space.size_bytes
    return freed
