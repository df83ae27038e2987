"""Is a picture like those that a classifier was trained on? A distance in feature space tells."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Familiarity:
    """What a classifier knows of the features of its training pictures.

    A picture is strange as far as its features, brought to length 1, lie outside of the subspace in which
    those of the training pictures vary most.

    Attributes:
        mean: float32 of shape (D,), of the training pictures' features of length 1.
        axes: float32 of shape (A, D), orthonormal: the directions in which they vary most.
        limit: a picture that is stranger is called unlike them.
        num_held_out: training pictures that the limit was set on, each by a subspace fitted without it.
        num_beyond: how many of these are as strange as the limit, or stranger.
    """

    mean: Floats
    axes: Floats
    limit: float
    num_held_out: int
    num_beyond: int

    @property
    def false_alarm_rate(self) -> float:
        """Share of pictures like those of training that is called unlike them, to be expected, in [0, 1]."""
        return self.num_beyond / (self.num_held_out + 1)

    def is_unlike(self, features: Floats) -> npt.NDArray[np.bool_]:
        """Return, of shape (N,), whether features of shape (N, D) are unlike the training pictures'."""
        return np.asarray(strangeness(features, self.mean, self.axes) > self.limit)


def strangeness(features: Floats, mean: Floats, axes: Floats) -> Floats:
    """Return the squared distance of features of length 1 from a subspace: float32 of shape (N,).

    Args:
        features: float32 of shape (N, D).
        mean: float32 of shape (D,), in the subspace.
        axes: float32 of shape (A, D), orthonormal, that span it.

    Source: the reconstruction error of PCA on normalised features, Guan, Liu and Yang 2023,
        https://arxiv.org/abs/2302.11688; the residual of Wang et al. 2022, "ViM",
        https://arxiv.org/abs/2203.10807.
    """
    centred = unit_length(features) - mean
    inside = centred @ axes.T  # (N, A)
    outside = np.einsum("nd,nd->n", centred, centred) - np.einsum("na,na->n", inside, inside)
    return np.asarray(np.maximum(outside, 0), np.float32)


def unit_length(features: Floats) -> Floats:
    """Return rows of length 1, float32; a row of zeros stays one."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
