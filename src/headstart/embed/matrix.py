"""Room for features, in memory or in a file that is mapped into it; and rows of features."""

import os
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from headstart.core.files import nameless_file, storage_errors
from headstart.core.paths import embeddings_dir
from headstart.data.columns import follow_one_another

Matrix = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]

LARGEST_IN_MEMORY_BYTES = 2**30
"""A larger matrix lies in a file: the system keeps in memory what is used of it."""

_COPIED_ROWS = 4096


def empty_matrix(shape: tuple[int, int], dtype: npt.DTypeLike) -> Matrix:
    """Return room for a matrix; above a gigabyte in a file without a name, which goes when the array does.

    Raises:
        StorageError: the cache's folder cannot be written, or its disk is too full.
    """
    size_bytes = shape[0] * shape[1] * np.dtype(dtype).itemsize
    if size_bytes <= LARGEST_IN_MEMORY_BYTES:
        return np.empty(shape, dtype)
    folder = embeddings_dir()
    with nameless_file(folder) as file, storage_errors(folder, "write"):  # what is mapped outlives it
        _reserve(file, size_bytes)
        return np.memmap(file, dtype, "w+", shape=shape)


def select_rows(features: Matrix, rows: Integers) -> Matrix:
    """Return rows of a matrix in that order: without a copy where they follow one another as they lie.

    Args:
        features: of shape (N, D).
        rows: int64 of shape (M,), in [0, N).

    Returns:
        Of shape (M, D): a view, or a copy, which lies where `empty_matrix` puts it.
    """
    if follow_one_another(rows):
        return features[rows[0] : rows[0] + len(rows)]
    selected = empty_matrix((len(rows), features.shape[1]), features.dtype)
    for start in range(0, len(rows), _COPIED_ROWS):
        selected[start : start + _COPIED_ROWS] = features[rows[start : start + _COPIED_ROWS]]
    return selected


def _reserve(file: IO[bytes], size_bytes: int) -> None:
    """Take the room on the disk now: a page that it lacks later would end the process without a word."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size_bytes)
