"""Passes over the rows of a training set: what a solver must know of them, for reading them once.

A pass is bound by memory, so scores and slopes are computed block by block, while a block's features lie in
the processor's cache. Nothing of shape (N, K) is held.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]
Index = slice | Integers
T = TypeVar("T")

NUM_PIECES = 16
"""At most as many parts of the rows are handed to threads. The sums depend on where they are cut, so the
number is that of no machine, and each holds sums of shape (K, D), so it is small."""

SMALLEST_PIECE = 1024
"""Rows that are not worth a thread's start are left together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """A linear layer.

    Attributes:
        coef: floats of shape (K, D).
        intercept: floats of shape (K,).
    """

    coef: Floats
    intercept: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pass:
    """Sums over some rows at some weights; those of shards add up (`+`) to those of all.

    Attributes:
        num_rows: how many there are.
        loss: of the cross-entropy, in nats.
        coef: of its slope by the weights: floats of shape (K, D).
        intercept: of its slope by the intercepts: floats of shape (K,).
    """

    num_rows: int
    loss: float
    coef: Floats
    intercept: Floats

    def __add__(self, other: "Pass") -> "Pass":
        return Pass(
            num_rows=self.num_rows + other.num_rows,
            loss=self.loss + other.loss,
            coef=self.coef + other.coef,
            intercept=self.intercept + other.intercept,
        )


class Rows(Protocol):
    """Standardised features and labels, wherever they lie.

    Attributes:
        labels: int64 of shape (N,), in [0, K), on the host.
        num_features: D.
        dtype: of the features, in which is computed.
    """

    labels: Integers
    num_features: int
    dtype: np.dtype[Any]

    def __getitem__(self, index: Index) -> "Rows":
        """Return some of the rows; of a slice without a copy."""

    def passed(self, weights: Weights) -> Pass:
        """Return the sums over all rows at these weights, in the rows' dtype."""

    def cross_entropies(self, weights: Weights) -> npt.NDArray[np.float64]:
        """Return -log probability of each row's label in nats: float64 of shape (N,)."""


class HostRows:
    """Rows in the host's memory, computed by NumPy in threads of our own.

    Args:
        features: floats of shape (N, D).
        labels: int64 of shape (N,), in [0, K).
        pool: threads for the pieces; None: one after the other. The results are equal bit by bit.
    """

    def __init__(self, features: Floats, labels: Integers, *, pool: Executor | None = None) -> None:
        self.features, self.labels, self._pool = features, labels, pool
        self.num_features, self.dtype = features.shape[1], features.dtype

    def __getitem__(self, index: Index) -> "HostRows":
        return HostRows(self.features[index], self.labels[index], pool=self._pool)

    def passed(self, weights: Weights) -> Pass:
        """Return the sums over all rows at these weights."""
        transposed = np.ascontiguousarray(weights.coef.T)
        pieces = each_piece(
            lambda piece: self._sums(piece, transposed, weights.intercept), len(self.labels), pool=self._pool
        )
        return reduce(add, pieces)

    def _sums(self, piece: slice, transposed: Floats, bias: Floats) -> Pass:
        num_features, num_classes = transposed.shape
        loss, slope = 0.0, np.zeros((num_classes, num_features), self.dtype)
        intercept, of_block = np.zeros(num_classes, self.dtype), np.empty_like(slope)
        for block in blocks(piece, block_rows(num_features, num_classes)):
            features, labels = self.features[block], self.labels[block]
            scores = features @ transposed  # (B, K)
            scores += bias
            loss += float(softmax_in_place(scores, labels).sum())
            scores[np.arange(len(labels)), labels] -= 1
            intercept += scores.sum(axis=0)
            slope += np.matmul(scores.T, features, out=of_block)
        return Pass(num_rows=piece.stop - piece.start, loss=loss, coef=slope, intercept=intercept)

    def cross_entropies(self, weights: Weights) -> npt.NDArray[np.float64]:
        """Return -log probability of each row's label in nats: float64 of shape (N,)."""
        height = block_rows(*reversed(weights.coef.shape))
        entropies = np.empty(len(self.labels))

        def fill(piece: slice) -> None:
            for block in blocks(piece, height):
                scores = logits(self.features[block], weights)
                entropies[block] = softmax_in_place(scores, self.labels[block])

        for _ in each_piece(fill, len(self.labels), pool=self._pool):
            pass
        return entropies


def each_piece(work: Callable[[slice], T], num_rows: int, *, pool: Executor | None) -> Iterator[T]:
    """Yield what `work` makes of each piece of the rows, in order."""
    height = max(SMALLEST_PIECE, -(-num_rows // NUM_PIECES))
    pieces = list(blocks(slice(0, num_rows), height))
    yield from (map if pool is None or len(pieces) == 1 else pool.map)(work, pieces)


def blocks(piece: slice, height: int) -> Iterator[slice]:
    """Yield slices of at most `height` rows that together are the piece."""
    for start in range(piece.start, piece.stop, height):
        yield slice(start, min(start + height, piece.stop))


def block_rows(num_features: int, num_classes: int) -> int:
    """Return how many rows go through a pass together.

    A block's features are about two megabytes: with 1,280 features 384 rows took four fifths of the time of
    128. With many classes it is the slopes, of shape (K, D), that are read and written for every block: then
    as many rows as classes.
    """
    return int(min(2048, max(64, 2**19 // num_features, num_classes)))


def logits(features: Floats, weights: Weights) -> Floats:
    """Return the scores of N rows of features: floats of shape (N, K)."""
    scores: Floats = features @ weights.coef.T + weights.intercept
    return scores


def softmax_in_place(scores: Floats, labels: Integers) -> npt.NDArray[np.float64]:
    """Turn scores of shape (N, K) into probabilities; return the labels' cross-entropies, shape (N,)."""
    scores -= scores.max(axis=1, keepdims=True)
    of_labels = scores[np.arange(len(labels)), labels].astype(np.float64)
    np.exp(scores, out=scores)
    sums = scores.sum(axis=1, keepdims=True)
    scores /= sums
    entropies: npt.NDArray[np.float64] = np.log(sums[:, 0].astype(np.float64)) - of_labels
    return entropies
