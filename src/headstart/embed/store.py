"""Embeddings that several machines share: Parquet files in a folder that all see, or behind an address.

Parquet, for every tool reads it without headstart, and what reads it comes with Ray. Rows are appended and
read whole, a file at a time; the random access that Lance is made for is never needed.

::

    STORE/<space digest>/<digest of its rows' keys>.parquet   columns digest (32 bytes) and features (D x
                                        float32); the sha256 of both stands in the file's metadata

A file is written whole or not at all, and the same rows make the same name: a piece that was computed twice
is there once. A file that does not have the content it was written with counts as not there.
"""

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.core.digest import digest_bytes
from headstart.core.errors import MissingExtraError, PictureError, StorageError
from headstart.core.files import write_bytes
from headstart.data import ImageDataset
from headstart.data.columns import Digests, Keys
from headstart.data.index import Index
from headstart.data.remote import address_exists, check_address, is_address, read_whole_address, write_address
from headstart.data.storage import File, below, file_at, name_of, walk_files
from headstart.embed.matrix import empty_matrix, select_rows
from headstart.embed.rows import Contents, Features, content_of, fill, find_places, pack_keys

STORE_VARIABLE = "HEADSTART_STORE"
_SUFFIX = ".parquet"
_MAX_FILE_BYTES = 2**31
_NUM_READERS = 8  # of files at a time: behind an address most of it is waiting


def store_location() -> str:
    """Return where the store is that the variable HEADSTART_STORE names, "" where there is none.

    A folder is a whole path: workers elsewhere stand in other folders.
    """
    location = os.environ.get(STORE_VARIABLE, "")
    return location if not location or is_address(location) else os.path.abspath(Path(location).expanduser())


class EmbeddingStore:
    """The rows of one space in a shared store.

    Args:
        location: a folder, or an address such as "s3://bucket/embeddings".
        key: digest of the space.

    Raises:
        InputError: the address cannot be used.
        MissingExtraError: what reads Parquet or the address is not installed.
    """

    def __init__(self, location: str, key: str) -> None:
        root = file_at(location)
        if isinstance(root, str):
            check_address(root)
        self._folder = below(root, key)
        try:
            import pyarrow.parquet  # noqa: F401  # told at once, not after an hour's work
        except ImportError as error:
            raise MissingExtraError(
                f"{STORE_VARIABLE} needs pyarrow", hint="pip install 'headstart[parquet]'"
            ) from error

    def write(self, digests: Sequence[str], features: Features) -> None:
        """Write rows: `features` float32 of shape (n, D), row i of the picture with `digests[i]`.

        Raises:
            StorageError: it cannot be written.
            NoAnswerError: the service did not answer for a minute.
        """
        if not digests:
            return
        keys = pack_keys(digests)
        file = below(self._folder, f"{digest_bytes(keys.tobytes())}{_SUFFIX}")
        data = _to_parquet(keys, features)
        if isinstance(file, Path):
            write_bytes(file, data)
        else:
            write_address(file, data)

    def load_into(self, out: Features, places: Index, found: npt.NDArray[np.bool_]) -> None:
        """Fill the rows that are there and are not filled yet.

        Args:
            out: float32 of shape (N, D).
            places: row of `out` of each digest.
            found: bool of shape (N,), which rows are filled; grows.

        Raises:
            DataError: the store cannot be listed.
            NoAnswerError: the service did not answer for a minute.
        """

        def load(name: str) -> None:
            piece = _from_parquet(self._read(below(self._folder, name)))
            if piece is not None:
                fill(out, found, places, *piece)

        with ThreadPoolExecutor(_NUM_READERS) as pool:
            list(pool.map(load, self._names()))

    def _names(self) -> Iterator[str]:
        folder = self._folder
        if not (folder.is_dir() if isinstance(folder, Path) else address_exists(folder)):
            return iter(())  # nothing was written yet
        return (name for name in walk_files(self._folder) if name.endswith(_SUFFIX))

    def _read(self, file: File) -> bytes:
        try:
            return file.read_bytes() if isinstance(file, Path) else read_whole_address(file, _MAX_FILE_BYTES)
        except OSError as error:
            raise StorageError(f"cannot read {name_of(file)!r}: {error.strerror or error}") from error
        except PictureError as error:
            raise StorageError(f"cannot read {name_of(file)!r}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFeatures:
    """The features of one network in a shared store.

    Attributes:
        location: of the store.
        space: digest of the space.
        feature_dim: D.
    """

    location: str
    space: str
    feature_dim: int

    def rows(self, dataset: ImageDataset) -> Features:
        """Return the features of scanned pictures, float32 of shape (N, D) in their order.

        Raises:
            StorageError: some are not there.
        """
        contents = Contents.of(dataset)
        digests = Digests.of(dataset.digests or ()).take(contents.first)
        features = empty_matrix((len(digests), self.feature_dim), np.float32)
        found = np.zeros(len(digests), np.bool_)
        EmbeddingStore(self.location, self.space).load_into(features, find_places(digests), found)
        if not found.all():
            raise StorageError(
                f"{np.count_nonzero(~found)} of {len(found)} vectors are not in {self.location!r}",
                hint="it must be the same storage under the same path on all machines",
            )
        return select_rows(features, contents.of_picture)


def _to_parquet(keys: Keys, features: Features) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = np.ascontiguousarray(features, np.float32).reshape(-1)
    table = pa.table(
        {
            "digest": pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(32), len(keys), [None, pa.py_buffer(keys.tobytes())]
            ),
            "features": pa.FixedSizeListArray.from_arrays(pa.array(flat), features.shape[1]),
        },
        metadata={"sha256": content_of(keys, features)},
    )
    out = io.BytesIO()
    # Features of a network hardly shrink, and a dictionary of floats only costs time.
    pq.write_table(table, out, compression="none", use_dictionary=False)
    return out.getvalue()


def _from_parquet(data: bytes) -> tuple[Keys, Features] | None:
    """Return the digests and features of a file, None where it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
        column = table.column("features").combine_chunks()
        features = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
        keys = np.frombuffer(b"".join(table.column("digest").to_pylist()), np.uint8).reshape(-1, 32)
    except (pa.ArrowException, KeyError, ValueError, TypeError, OSError):
        return None
    stated = (table.schema.metadata or {}).get(b"sha256", b"").decode("ascii", "replace")
    return (keys, features) if stated == content_of(keys, features) else None
