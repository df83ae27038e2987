"""The vote of the nearest neighbours: a head without any fitting."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.train.moments import column_means
from headstart.train.rows import blocks

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

NUM_NEIGHBOURS = 10
TEMPERATURE = 0.07
"""A vote weighs exp(cosine / 0.07). Source for both: Oquab et al. 2023, "DINOv2", https://arxiv.org/abs/2304.07193,
after Wu et al. 2018, https://arxiv.org/abs/1805.01978."""

ROWS_AT_ONCE, NEIGHBOURS_AT_ONCE = 1024, 8192
"""Their similarities, and the order of these, take 96 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nearest:
    """The k neighbours most like each of N rows, in no order; those among shards add up to those among all.

    Attributes:
        k: how many are looked for; fewer are held where there are not so many.
        similarities: float32 of shape (N, at most k), cosines.
        labels: int64 of the same shape.
    """

    k: int
    similarities: Floats
    labels: Integers

    @classmethod
    def among(cls, similarities: Floats, labels: Integers, *, k: int) -> "Nearest":
        """Return the nearest of M neighbours; which of those that are just as near is not defined.

        Args:
            similarities: float32 of shape (N, M).
            labels: int64 of shape (N, M).
            k: at least 1.
        """
        if similarities.shape[1] <= k:
            return cls(k=k, similarities=similarities, labels=labels)
        top = np.argpartition(similarities, -k, axis=1)[:, -k:]
        return cls(
            k=k,
            similarities=np.take_along_axis(similarities, top, axis=1),
            labels=np.take_along_axis(labels, top, axis=1),
        )

    def __add__(self, other: "Nearest") -> "Nearest":
        return Nearest.among(
            np.concatenate([self.similarities, other.similarities], axis=1),
            np.concatenate([self.labels, other.labels], axis=1),
            k=self.k,
        )

    def votes(self, num_classes: int) -> Floats:
        """Return how the neighbours vote: float32 of shape (N, num_classes), rows sum to 1."""
        weights = np.exp((self.similarities - self.similarities.max(axis=1, keepdims=True)) / TEMPERATURE)
        weights /= weights.sum(axis=1, keepdims=True)
        votes = np.zeros((len(weights), num_classes), np.float32)
        np.add.at(votes, (np.arange(len(weights))[:, None], self.labels), weights)
        return votes


def vote(
    features: Floats, neighbours: Floats, labels: Integers, *, num_classes: int, k: int = NUM_NEIGHBOURS
) -> Floats:
    """Return the votes of the `k` nearest neighbours of each row, by the cosine of centred features.

    Both are read block by block: what is held beside them grows by some numbers a row only.

    Args:
        features: float32 of shape (N, D); the first M rows are taken for the neighbours themselves, and
            do not vote for themselves.
        neighbours: float32 of shape (M, D), those that vote, M at least 2.
        labels: int64 of shape (M,), in [0, num_classes).
        num_classes: K.
        k: votes a row, at most M - 1.

    Returns:
        float32 of shape (N, K), rows sum to 1.
    """
    mean = column_means(neighbours).astype(np.float32)
    k = min(k, len(neighbours) - 1)
    asked = list(blocks(slice(0, len(features)), ROWS_AT_ONCE))
    found: dict[int, Nearest] = {}
    for part in blocks(slice(0, len(neighbours)), NEIGHBOURS_AT_ONCE):
        voters = _unit(neighbours[part] - mean)
        for place, block in enumerate(asked):
            similarities = _unit(features[block] - mean) @ voters.T  # (B, M)
            own = np.arange(max(block.start, part.start), min(block.stop, part.stop))
            similarities[own - block.start, own - part.start] = -np.inf
            near = Nearest.among(similarities, np.broadcast_to(labels[part], similarities.shape), k=k)
            found[place] = found[place] + near if place in found else near
    return np.concatenate([found[place].votes(num_classes) for place in range(len(asked))])


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
