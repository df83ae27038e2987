"""Embeddings kept between runs, one folder a space, one file a piece of work.

A space is everything that decides the features of a given picture: weights, preprocessing, feature point,
precision, decoder; its digest names the folder. A row's key is the sha256 of the picture's content. Each
file holds some rows and never changes once it has its name: a killed process leaves whole files or none,
and two processes cannot spoil each other's work.

::

    embeddings/<space digest>/space.json              what the space is, for people
    embeddings/<space digest>/rows-<random>.safetensors   digests uint8 (n, 32), features float32 (n, D)
    embeddings/<space digest>/checks.json             smallest cosines measured, by digest of the sample
"""

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from headstart.core.digest import digest_json
from headstart.core.errors import StorageError
from headstart.core.files import storage_errors, write_bytes, write_text
from headstart.core.paths import embeddings_dir
from headstart.core.records import dumps, read_json

# A kill loses at most this many rows and one batch; smaller pieces would make many small files.
_ROWS_PER_FILE = 512


class EmbeddingCache:
    """The rows of one space.

    Use it as a context manager: rows that were appended are on disk when the block ends, also when it ends
    by an error or Ctrl-C.
    """

    def __init__(self, space: dict[str, Any]) -> None:
        self.key = digest_json(space)
        self.folder = embeddings_dir() / self.key
        self._space = space
        self._pending: list[tuple[str, npt.NDArray[np.float32]]] = []

    def __enter__(self) -> "EmbeddingCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, StorageError):  # a full disk stays full; its error is the one to show
            self.flush()

    def load(self, digests: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the rows that are there, each float32 of shape (D,), by the digest of the picture.

        A file that cannot be read counts as not there: its rows are computed again.
        """
        wanted = set(digests)
        found: dict[str, npt.NDArray[np.float32]] = {}
        for path in sorted(self.folder.glob("rows-*.safetensors")):
            try:
                rows = load_file(path)
                keys, features = rows["digests"], rows["features"]
            except (OSError, SafetensorError, KeyError):
                continue
            for key, vector in zip(keys, features, strict=True):
                digest = key.tobytes().hex()
                if digest in wanted:
                    found[digest] = vector
        return found

    def append(self, digests: Sequence[str], features: npt.NDArray[np.float32]) -> None:
        """Add rows: `features` float32 of shape (n, D), row i of the picture with `digests[i]`.

        Raises:
            StorageError: the disk is full, or the folder may not be written to.
        """
        self._pending.extend(zip(digests, features, strict=True))
        if len(self._pending) >= _ROWS_PER_FILE:
            self.flush()

    def flush(self) -> None:
        """Write what was appended since the last time.

        Raises:
            StorageError: the disk is full, or the folder may not be written to.
        """
        if not self._pending:
            return
        if not (self.folder / "space.json").is_file():
            write_text(self.folder / "space.json", dumps(self._space))
        keys = np.frombuffer(bytes.fromhex("".join(key for key, _ in self._pending)), np.uint8)
        rows: dict[str, npt.NDArray[Any]] = {
            "digests": keys.reshape(-1, 32),
            "features": np.stack([row for _, row in self._pending]),
        }
        path = self.folder / f"rows-{secrets.token_hex(8)}.safetensors"
        write_bytes(path, save(rows))  # safetensors' own writing hides that a disk is full
        self._pending = []

    def load_check(self, sample: str) -> float | None:
        """Return the smallest cosine that was measured on the sample with this digest, None if none was."""
        path = self.folder / "checks.json"
        try:
            return float(read_json(path)[sample]) if path.is_file() else None
        except (StorageError, KeyError, TypeError, ValueError):
            return None

    def save_check(self, sample: str, cosine: float) -> None:
        """Keep a measured smallest cosine."""
        path = self.folder / "checks.json"
        try:
            checks = dict(read_json(path)) if path.is_file() else {}
        except (StorageError, TypeError, ValueError):
            checks = {}
        write_text(path, dumps({**checks, sample: cosine}))


def list_spaces() -> list[tuple[Path, dict[str, Any], int]]:
    """Return (folder, what the space is, size in bytes) of every space in the cache, largest first."""
    spaces = []
    for record in embeddings_dir().glob("*/space.json"):
        size = sum(file.stat().st_size for file in record.parent.iterdir())
        try:
            spaces.append((record.parent, dict(read_json(record)), size))
        except (StorageError, ValueError):
            spaces.append((record.parent, {}, size))
    return sorted(spaces, key=lambda space: -space[2])


def clear_spaces() -> int:
    """Delete the whole embedding cache; return the number of bytes that became free.

    Raises:
        StorageError: a folder cannot be deleted.
    """
    freed = 0
    for folder, _, size in list_spaces():
        with storage_errors(folder, "delete"):
            shutil.rmtree(folder)
        freed += size
    return freed
