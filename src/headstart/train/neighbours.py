"""The vote of the nearest neighbours: a head without any fitting."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

NUM_NEIGHBOURS = 10
TEMPERATURE = 0.07
"""A vote weighs exp(cosine / 0.07). Source for both: Oquab et al. 2023, "DINOv2", https://arxiv.org/abs/2304.07193,
after Wu et al. 2018, https://arxiv.org/abs/1805.01978."""

_BLOCK = 1024  # rows at once


def vote(
    features: Floats, neighbours: Floats, labels: Integers, *, num_classes: int, k: int = NUM_NEIGHBOURS
) -> Floats:
    """Return the votes of the `k` nearest neighbours of each row, by the cosine of centred features.

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
    mean = neighbours.mean(axis=0)
    voters, indicators = _unit(neighbours - mean), np.eye(num_classes, dtype=np.float32)[labels]
    k = min(k, len(neighbours) - 1)
    votes = np.empty((len(features), num_classes), np.float32)
    for start in range(0, len(features), _BLOCK):
        similarities = _unit(features[start : start + _BLOCK] - mean) @ voters.T  # (B, M)
        own = np.arange(start, min(start + _BLOCK, len(neighbours)))
        similarities[own - start, own] = -np.inf
        nearest = np.argpartition(similarities, -k, axis=1)[:, -k:]
        found = np.take_along_axis(similarities, nearest, axis=1)
        weights = np.exp((found - found.max(axis=1, keepdims=True)) / TEMPERATURE)
        weights /= weights.sum(axis=1, keepdims=True)
        votes[start : start + _BLOCK] = np.einsum("bk,bkc->bc", weights, indicators[nearest])
    return votes


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
