"""What is known of a candidate that may show that something went wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.catalog.entry import Preprocessing
from headstart.compare.baseline import Baseline
from headstart.compare.records import BatchNorm
from headstart.core.digest import digest_bytes

_STEADY = 1e-6
"""A feature that varies by less than this part of its size is constant: float32 has 24 bits."""


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


def measure_features(features: npt.NDArray[np.float32], digests: Sequence[str] | None) -> FeatureFacts:
    """Return what features look like.

    Args:
        features: float32 of shape (N, D), N at least 1.
        digests: N digests of the pictures' content; None takes every picture for different.
    """
    finite = np.isfinite(features).all(axis=1)
    sound = features[finite]
    return FeatureFacts(
        num_pictures=len(features),
        num_features=features.shape[1],
        constant=_share_constant(sound),
        identical=_count_identical(features, digests) / len(features),
        not_finite=float(1 - finite.mean()),
    )


def _share_constant(features: npt.NDArray[np.float32]) -> float:
    if len(features) < 2:
        return 0.0
    lowest, highest = features.min(axis=0), features.max(axis=0)
    largest = np.maximum(np.abs(lowest), np.abs(highest))
    return float((highest - lowest <= _STEADY * largest).mean())


def _count_identical(features: npt.NDArray[np.float32], digests: Sequence[str] | None) -> int:
    """Return how many pictures share their features, bit by bit, with one of other content."""
    contents: dict[str, set[str]] = {}
    keys = [digest_bytes(row.tobytes()) for row in features]
    names = digests if digests is not None else [str(index) for index in range(len(keys))]
    for key, name in zip(keys, names, strict=True):
        contents.setdefault(key, set()).add(name)
    return sum(len(contents[key]) > 1 for key in keys)
