"""What is known of a candidate that may show that something went wrong with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.catalog.entry import Preprocessing
from headstart.compare.baseline import Baseline
from headstart.compare.records import BatchNorm
from headstart.core.digest import digest_bytes

Floats = npt.NDArray[np.float32]

_STEADY = 1e-6
"""A feature that varies by less than this part of its size is constant: float32 has 24 bits."""
_BLOCK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFacts:
    """What features look like, whatever the labels.

    Attributes:
        num_pictures: N.
        num_features: D.
        constant: share of the features that have the same value for every picture, in [0, 1].
        identical: share of the pictures whose features are those of a picture with other content, in [0, 1].
        not_finite: share of the pictures that have a feature which is infinite or not a number, in [0, 1].
    """

    num_pictures: int
    num_features: int
    constant: float
    identical: float
    not_finite: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signs:
    """What is known of one candidate; None is what is not known.

    Attributes:
        labels: int64 of shape (N,) of the pictures that are predicted.
        probabilities: floats of shape (R, N, K), as in `Evidence`.
        train_correct: of shape (M,): where the probe is right on the pictures that it was fitted on.
        neighbours: how right the vote of the nearest neighbours is on some of the N pictures.
        pixels: how right a probe on shrunk pictures is on some of the N pictures.
        features: what the features of all pictures look like.
        batch_norm: whose statistics the batch norms are meant to use.
        drift: of `headstart.models.drift.batch_norm_drift`, on these pictures as the network gets them.
        moved: of `headstart.models.drift.statistics_moved`, against the weights as they are stored; or 1 and
            0 for whether the digest of the tensors is another than right after loading.
        is_training: whether a part of the network was in training mode.
        preprocessing: what the pictures went through.
        native: what the weights were trained with: `entry.weights.preprocessing`.
    """

    labels: npt.NDArray[np.int64] | None = None
    probabilities: npt.NDArray[np.floating[Any]] | None = None
    train_correct: npt.NDArray[Any] | None = None
    neighbours: Baseline | None = None
    pixels: Baseline | None = None
    features: FeatureFacts | None = None
    batch_norm: BatchNorm = "pretrained"
    drift: float | None = None
    moved: float | None = None
    is_training: bool | None = None
    preprocessing: Preprocessing | None = None
    native: Preprocessing | None = None

    @property
    def correct(self) -> npt.NDArray[np.float64] | None:
        """How right the candidate is on each picture, float64 of shape (N,), averaged over the repeats."""
        if self.probabilities is None or self.labels is None:
            return None
        right: npt.NDArray[np.float64] = (self.probabilities.argmax(axis=2) == self.labels).mean(axis=0)
        return right


def measure_features(parts: Sequence[Floats], digests: Sequence[str] | None) -> FeatureFacts:
    """Return what features look like.

    Args:
        parts: float32 of shapes (N1, D), (N2, D) and so on, at least one row; they are read block by block.
        digests: N digests of the pictures' content, in that order; None takes every picture for different.
    """
    num_pictures, num_features = sum(len(part) for part in parts), parts[0].shape[1]
    lowest = np.full(num_features, np.inf, np.float32)
    highest = -lowest
    keys: list[str] = []
    num_finite = 0
    for block in _blocks(parts):
        finite = np.asarray(np.isfinite(block).all(axis=1))
        num_finite += int(finite.sum())
        np.minimum(lowest, block.min(axis=0, where=finite[:, None], initial=np.inf), out=lowest)
        np.maximum(highest, block.max(axis=0, where=finite[:, None], initial=-np.inf), out=highest)
        keys.extend(digest_bytes(row.tobytes()) for row in block)
    return FeatureFacts(
        num_pictures=num_pictures,
        num_features=num_features,
        constant=_share_constant(lowest, highest) if num_finite > 1 else 0.0,
        identical=_count_identical(keys, digests) / num_pictures,
        not_finite=1 - num_finite / num_pictures,
    )


def _blocks(parts: Sequence[Floats]) -> Iterator[Floats]:
    for part in parts:
        for start in range(0, len(part), _BLOCK):
            yield part[start : start + _BLOCK]


def _share_constant(lowest: Floats, highest: Floats) -> float:
    largest = np.maximum(np.abs(lowest), np.abs(highest))
    return float((highest - lowest <= _STEADY * largest).mean())


def _count_identical(keys: Sequence[str], digests: Sequence[str] | None) -> int:
    """Return how many pictures share their features, bit by bit, with one of other content.

    Args:
        keys: N digests of features.
        digests: N digests of content, or None.
    """
    key = _numbered(keys)
    content = np.arange(len(keys)) if digests is None else _numbered(digests)
    pairs = np.unique(np.stack([key, content], axis=1), axis=0)
    shared = np.bincount(pairs[:, 0]) > 1
    return int(shared[key].sum())


def _numbered(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return a number for each name, the same for the same."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
