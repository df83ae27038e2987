"""Embeddings kept between runs, one folder a space, one file a piece of work.

A space is everything that decides the features of a given picture: weights, preprocessing, feature point,
precision, decoder; its digest names the folder. A row's key is the sha256 of the picture's content. Each
file holds some rows and never changes once it has its name: a killed process leaves whole files or none,
and two processes cannot spoil each other's work. A file that does not have the content it was written with
counts as not there.

::

    embeddings/<space digest>/space.json    what the space is, for people; its time is that of the last use
    embeddings/<space digest>/rows-<random>.safetensors   digests uint8 (n, 32), features float32 (n, D);
                                            the sha256 of both stands in its header
    embeddings/<space digest>/checks.json   smallest cosines measured, by digest of the sample
"""

import os
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from headstart.core.digest import digest_json
from headstart.core.errors import StorageError
from headstart.core.files import write_bytes, write_text
from headstart.core.machine import num_cores
from headstart.core.paths import embeddings_dir
from headstart.core.records import dumps, read_json
from headstart.data.columns import Keys
from headstart.data.index import Index
from headstart.embed.rows import Features, content_of, fill, pack_keys
from headstart.embed.store import EmbeddingStore, store_location

# A kill or a full disk loses what was computed since the last file: about as many rows or seconds. Smaller
# pieces would make many files of a long job.
_ROWS_PER_FILE = 512
_SECONDS_PER_FILE = 15.0


class EmbeddingCache:
    """The rows of one space, on this machine, and in the store that others share where there is one.

    Use it as a context manager: rows that were appended are on disk when the block ends, also when it ends
    by an error or Ctrl-C.
    """

    def __init__(self, space: dict[str, Any]) -> None:
        self.key = digest_json(space)
        self.folder = embeddings_dir() / self.key
        self._space = space
        self._digests: list[str] = []
        self._features: list[Features] = []
        self._written = time.monotonic()
        self._shared = EmbeddingStore(store_location(), self.key) if store_location() else None

    def __enter__(self) -> "EmbeddingCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, StorageError):  # a full disk stays full; its error is the one to show
            self.flush()

    def load_into(self, out: Features, places: Index) -> npt.NDArray[np.bool_]:
        """Fill the rows that are there, and return which they are.

        Args:
            out: float32 of shape (N, D); row i is filled with those of the picture with the i-th digest.
            places: the rows of N different digests.

        Rows that are not here are looked for in the shared store.

        Returns:
            bool of shape (N,): whether row i was filled. A file that is damaged counts as not there: its rows
            are computed again.
        """
        found = np.zeros(len(out), np.bool_)

        def load(path: Path) -> None:
            piece = _read_piece(path)
            if piece is not None:
                fill(out, found, places, *piece)

        with ThreadPoolExecutor(num_cores()) as pool:  # hashing and copying let other threads run
            list(pool.map(load, sorted(self.folder.glob("rows-*.safetensors"))))
        if found.any():
            with suppress(OSError):  # a cache that may only be read
                os.utime(self.folder / "space.json")
        self.load_shared_into(out, places, found)
        return found

    def load_shared_into(self, out: Features, places: Index, found: npt.NDArray[np.bool_]) -> None:
        """Fill the rows that are in the shared store alone; `found`, bool of shape (N,), grows."""
        if self._shared is not None and not found.all():
            self._shared.load_into(out, places, found)

    def append(self, digests: Sequence[str], features: Features) -> None:
        """Add rows: `features` float32 of shape (n, D), row i of the picture with `digests[i]`.

        Raises:
            StorageError: the disk is full, or the folder may not be written to.
        """
        for start in range(0, len(digests), _ROWS_PER_FILE):
            self._digests.extend(digests[start : start + _ROWS_PER_FILE])
            self._features.append(features[start : start + _ROWS_PER_FILE])
            if len(self._digests) >= _ROWS_PER_FILE or time.monotonic() - self._written > _SECONDS_PER_FILE:
                self.flush()

    def flush(self) -> None:
        """Write what was appended since the last time.

        Raises:
            StorageError: the disk is full, or the folder may not be written to.
        """
        if self._digests:
            if not (self.folder / "space.json").is_file():
                write_text(self.folder / "space.json", dumps(self._space))
            keys, features = pack_keys(self._digests), np.concatenate(self._features)
            piece = save(
                {"digests": keys, "features": features}, metadata={"sha256": content_of(keys, features)}
            )
            # safetensors' own writing hides that a disk is full.
            write_bytes(self.folder / f"rows-{secrets.token_hex(8)}.safetensors", piece, is_lasting=False)
            if self._shared is not None:
                self._shared.write(self._digests, features)
        self._digests, self._features = [], []
        self._written = time.monotonic()

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


def _read_piece(path: Path) -> tuple[Keys, Features] | None:
    """Return the digests and features of a file, None where it is damaged."""
    try:
        with safe_open(path, framework="numpy") as piece:
            keys, features = piece.get_tensor("digests"), piece.get_tensor("features")
            stated = (piece.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return (keys, features) if stated == content_of(keys, features) else None
