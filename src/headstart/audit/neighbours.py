"""The pictures most like each picture, by the cosine of their features."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.embed.matrix import empty_matrix
from headstart.train.moments import column_means

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_EXACT_UP_TO = 20_000
"""Rows up to which every pair is looked at: some seconds; above, cells serve as an index."""
_CELLS_SEARCHED = 16
"""A row is looked for in the cells nearest to its own; what is very similar lies in one of the first."""
_BLOCK = 1024  # rows at once: 80 MB of similarities at `_EXACT_UP_TO`


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """The k most similar rows of each of N rows, the most similar first.

    Attributes:
        indices: int64 of shape (N, k).
        similarities: float32 of shape (N, k), cosines.
    """

    indices: Integers
    similarities: Floats


def unit_rows(features: Floats) -> Floats:
    """Return rows of length 1 with the mean taken off: else everything resembles everything."""
    mean = column_means(features).astype(features.dtype)
    unit = empty_matrix(features.shape, features.dtype)
    for start in range(0, len(features), _BLOCK):
        centred = features[start : start + _BLOCK] - mean
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        unit[start : start + _BLOCK] = centred / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def find_neighbours(vectors: Floats, *, k: int, seed: int) -> Neighbours:
    """Return the `k` most similar rows of every row, itself left out.

    Args:
        vectors: float32 of shape (N, D), rows of length 1; N above `k`.
        k: at least 1.
        seed: of the cells.
    """
    num_rows = len(vectors)
    indices, similarities = np.empty((num_rows, k), np.int64), np.empty((num_rows, k), np.float32)
    for queries, candidates in _searches(vectors, k=k, seed=seed):
        found = vectors[queries] @ vectors[candidates].T  # (Q, C)
        found[queries[:, None] == candidates[None, :]] = -np.inf
        top = np.argpartition(found, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(found, top, axis=1), axis=1, kind="stable")
        top = np.take_along_axis(top, order, axis=1)
        indices[queries] = candidates[top]
        similarities[queries] = np.take_along_axis(found, top, axis=1)
    return Neighbours(indices=indices, similarities=similarities)


def _searches(vectors: Floats, *, k: int, seed: int) -> Iterator[tuple[Integers, Integers]]:
    """Yield which rows are looked for among which others."""
    rows = np.arange(len(vectors))
    if len(vectors) <= _EXACT_UP_TO:
        for start in range(0, len(rows), _BLOCK):
            yield rows[start : start + _BLOCK], rows
        return
    from sklearn.cluster import MiniBatchKMeans

    num_cells = int(np.sqrt(len(vectors)))
    cells = MiniBatchKMeans(num_cells, batch_size=8192, max_iter=10, n_init=1, random_state=seed).fit(vectors)
    members = [np.flatnonzero(cells.labels_ == cell) for cell in range(num_cells)]
    nearest = np.argsort(-(cells.cluster_centers_ @ cells.cluster_centers_.T), axis=1, kind="stable")
    for cell, own in enumerate(members):
        near = [cell, *(other for other in nearest[cell].tolist() if other != cell)]
        searched = _CELLS_SEARCHED
        while sum(len(members[each]) for each in near[:searched]) <= k:
            searched += 1
        candidates = np.concatenate([members[each] for each in near[:searched]])
        for start in range(0, len(own), _BLOCK):
            yield own[start : start + _BLOCK], candidates
