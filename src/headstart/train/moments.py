"""What labelled rows say together, in a size that does not grow with their number."""

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt

from headstart.train.rows import Floats, Integers, blocks

Doubles = npt.NDArray[np.float64]

BLOCK_VALUES = 2**22
"""Numbers of a block of rows that are held in float64 at once: 32 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Moments of N rows in K classes; those of shards add up (`+`) to those of all.

    They are held about the mean of the rows at hand, not about 0: no offset of a feature costs digits.

    Attributes:
        counts: int64 of shape (K,): rows of each class, which may be 0.
        mean: float64 of shape (D,).
        scatter: float64 of shape (D, D): sum of the squares and products of the rows less the mean.
        class_sums: float64 of shape (K, D): sum of each class's rows less the mean.

    Source: sums of parts about their own means, Chan, Golub and LeVeque 1983,
        https://doi.org/10.1080/00031305.1983.10483115.
    """

    counts: Integers
    mean: Doubles
    scatter: Doubles
    class_sums: Doubles

    @classmethod
    def of(cls, features: Floats, labels: Integers, *, num_classes: int) -> "Moments":
        """Return the moments of rows that are read once, block by block.

        Args:
            features: floats of shape (N, D), finite, N at least 1.
            labels: int64 of shape (N,), in [0, num_classes).
            num_classes: K.
        """
        parts = wide_blocks(len(labels), max(features.shape[1], num_classes))
        return reduce(add, (cls._at_once(features[part], labels[part], num_classes) for part in parts))

    @classmethod
    def _at_once(cls, features: Floats, labels: Integers, num_classes: int) -> "Moments":
        rows = features.astype(np.float64)
        mean = rows.mean(axis=0)
        rows -= mean
        return cls(
            counts=np.bincount(labels, minlength=num_classes),
            mean=mean,
            scatter=rows.T @ rows,
            class_sums=np.eye(num_classes)[labels].T @ rows,
        )

    def __add__(self, other: "Moments") -> "Moments":
        ours, theirs = self.num_rows, other.num_rows
        apart = other.mean - self.mean
        mean = self.mean + apart * (theirs / (ours + theirs))
        scatter = np.outer(apart * (ours * theirs / (ours + theirs)), apart)
        scatter += self.scatter
        scatter += other.scatter
        return Moments(
            counts=self.counts + other.counts,
            mean=mean,
            scatter=scatter,
            class_sums=self._sums_about(mean) + other._sums_about(mean),
        )

    @property
    def num_rows(self) -> int:
        """N."""
        return int(self.counts.sum())

    def _sums_about(self, mean: Doubles) -> Doubles:
        return self.class_sums + self.counts[:, None] * (self.mean - mean)


def column_means(features: Floats) -> Doubles:
    """Return the mean of each of D features over N rows: float64 of shape (D,)."""
    parts = wide_blocks(*features.shape)
    total: Doubles = sum(
        (features[part].sum(axis=0, dtype=np.float64) for part in parts), np.zeros(features.shape[1])
    )
    return total / len(features)


def wide_blocks(num_rows: int, width: int) -> list[slice]:
    """Return blocks of rows that may be held at once in float64, where each takes so many numbers."""
    return list(blocks(slice(0, num_rows), max(1, BLOCK_VALUES // width)))
