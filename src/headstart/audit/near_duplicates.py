"""Pictures that show the same, found by perceptual hashes and by features, without looking at all pairs."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from headstart.audit.neighbours import Neighbours

Integers = npt.NDArray[np.int64]

# One of these must hold: so many bits of the hashes differ at most, the cosine of the features is at least so
# much, and so far on the way to 1 from what is typical: the median of the cosines of pictures and their last
# neighbour, of which there are more than copies. Where all pictures are alike, as digits are, likeness says
# less. Set on photographs with planted copies, docs/check.md.
_RULES = ((2, 0.0, 0.0), (4, 0.0, 0.5), (10, 0.7, 0.5), (16, 0.85, 0.5), (64, 0.92, 0.5))
_BAND_BITS = 16
"""Hashes that differ in at most 3 bits share one of their 4 bands."""
_BLOCK = 4096
_LONG_RUN = 64
"""Flat pictures share a band by the thousand; in a run longer than this, only neighbours are paired."""


def find_groups(
    hashes: npt.NDArray[np.uint64], vectors: npt.NDArray[np.float32], neighbours: Neighbours
) -> Integers:
    """Return int64 of shape (N,): the same number for pictures that show the same, else different ones.

    Args:
        hashes: uint64 of shape (N,).
        vectors: features, float32 of shape (N, D), rows of length 1.
        neighbours: of the vectors.
    """
    pairs = _near_pairs(hashes, vectors, neighbours)
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(len(hashes), len(hashes)))
    groups: Integers = connected_components(graph, directed=False)[1].astype(np.int64)
    return groups


def members_of(groups: Integers) -> list[Integers]:
    """Return the members of each group of two or more, the largest group first."""
    order = np.argsort(groups, kind="stable")
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    found = [members for members in np.split(order, cuts) if len(members) > 1]
    return sorted(found, key=lambda members: (-len(members), members[0]))


def _near_pairs(
    hashes: npt.NDArray[np.uint64], vectors: npt.NDArray[np.float32], neighbours: Neighbours
) -> Integers:
    """Return int64 of shape (P, 2), smaller index first."""
    typical = float(np.median(neighbours.similarities[:, -1]))
    rows, columns = np.nonzero(neighbours.similarities >= typical)
    by_features = np.stack([rows, neighbours.indices[rows, columns]], axis=1)
    pairs = np.concatenate([by_features, *_pairs_by_band(hashes)])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    cosines = _in_blocks(pairs, lambda a, b: np.einsum("nd,nd->n", vectors[a], vectors[b]))
    bits = _in_blocks(pairs, lambda a, b: _count_bits(hashes[a] ^ hashes[b]))
    is_near = np.zeros(len(pairs), np.bool_)
    for most_bits, least_cosine, way in _RULES:
        is_near |= (bits <= most_bits) & (cosines >= max(least_cosine, typical + way * (1 - typical)))
    near: Integers = pairs[is_near]
    return near


def _pairs_by_band(hashes: npt.NDArray[np.uint64]) -> Iterator[Integers]:
    """Yield pairs of pictures that share a band of their hashes."""
    for band in range(64 // _BAND_BITS):
        values = (hashes >> np.uint64(band * _BAND_BITS)) & np.uint64(2**_BAND_BITS - 1)
        order = np.lexsort((hashes, values))
        cuts = np.flatnonzero(np.diff(values[order])) + 1
        lengths = np.diff(np.concatenate([[0], cuts, [len(order)]]))
        in_run = np.repeat(lengths, lengths)
        followers = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(order)) - 1
        for step in range(1, _LONG_RUN):  # each is paired with the one so many places behind it in its run
            first = np.flatnonzero((followers >= step) & ((in_run <= _LONG_RUN) | (step == 1)))
            if not len(first):
                break
            yield np.stack([order[first], order[first + step]], axis=1)


def _in_blocks(pairs: Integers, of: Callable[[Integers, Integers], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return what `of` gives for the two sides of the pairs, some thousands at a time."""
    blocks = [pairs[start : start + _BLOCK] for start in range(0, len(pairs), _BLOCK)]
    return np.concatenate([of(block[:, 0], block[:, 1]) for block in blocks] or [np.empty(0)])


def _count_bits(words: npt.NDArray[np.uint64]) -> Integers:
    bits = np.unpackbits(words.view(np.uint8).reshape(len(words), 8), axis=1)
    counts: Integers = bits.sum(axis=1, dtype=np.int64)
    return counts
