"""Multinomial logistic regression by preconditioned L-BFGS: the solver below `LinearProbe`.

The objective is the mean cross-entropy plus strength / 2 times the sum of the squared weights; intercepts are
free. Features of pretrained networks are strongly correlated, which makes plain L-BFGS slow. Here it runs in
coordinates in which the curvature is about the same in every direction: that of the leading principal
directions of the features is known, all others share one value. This takes about half the steps, and the
optimum is the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]

MAX_DIRECTIONS = 64
"""Principal directions whose curvature is taken into account. On EfficientNet-Lite0 features
(D = 1280) 256 and 512 took as many steps as 64."""

MAX_ROWS = 1024
"""Rows that the directions are found from: it bounds their cost, and they need not be exact."""

_SMALLEST_SPREAD = 1e-3  # of a class's probability p: mean p (1 - p); keeps the coordinates finite


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
class Solution:
    """What the solver found.

    Attributes:
        weights: the linear layer.
        num_iterations: steps taken.
        converged: False when the limit of steps ended it.
    """

    weights: Weights
    num_iterations: int
    converged: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curvature:
    """The covariance of the features, as its leading part plus a multiple of the identity.

    Attributes:
        directions: of shape (D, R), orthonormal columns.
        variances: of shape (R,): variance along each.
        rest: mean variance along all other directions.
    """

    directions: Floats
    variances: Floats
    rest: float

    @classmethod
    def of(cls, features: Floats) -> "Curvature":
        """Return the curvature of centred features of shape (N, D)."""
        sample = features[:: -(-len(features) // MAX_ROWS)]
        num_rows, num_features = sample.shape
        variances, vectors = np.linalg.eigh(sample @ sample.T / num_rows)  # ascending
        total = float(variances.sum())
        kept = np.flatnonzero(variances > 1e-4 * variances[-1])[-min(MAX_DIRECTIONS, num_features) :]
        variances, vectors = variances[kept], vectors[:, kept]
        directions = sample.T @ (vectors / np.sqrt(num_rows * variances))  # (D, R)
        num_others = max(1, num_features - len(kept))
        return cls(
            directions=directions,
            variances=variances,
            rest=max(0.0, (total - float(variances.sum())) / num_others),
        )


def logits(features: Floats, weights: Weights) -> Floats:
    """Return the scores of N rows of features: floats of shape (N, K)."""
    scores: Floats = features @ weights.coef.T + weights.intercept
    return scores


def cross_entropies(scores: Floats, labels: Integers) -> npt.NDArray[np.float64]:
    """Return -log softmax probability of each label in nats: float64 of shape (N,).

    Args:
        scores: floats of shape (N, K).
        labels: int64 of shape (N,), in [0, K).
    """
    return _softmax_in_place(scores.copy(), labels)


def fit_weights(
    features: Floats,
    labels: Integers,
    *,
    strength: float,
    start: Weights,
    curvature: Curvature,
    tolerance: float,
    max_iter: int,
) -> Solution:
    """Return the linear layer that minimises mean cross-entropy + strength / 2 * ||coef||^2.

    Args:
        features: floats of shape (N, D), standardised.
        labels: int64 of shape (N,), in [0, K).
        strength: of the L2 penalty, above 0.
        start: where to begin, in the features' dtype; the nearer the fewer the steps.
        curvature: of these features or of some like them; it decides the speed, not the result.
        tolerance: it ends when a step lowers the objective by less than this share of its value at `start`.
        max_iter: limit of steps.

    Source: Liu and Nocedal 1989, "On the limited memory BFGS method for large scale optimization",
        https://doi.org/10.1007/BF01589116; the curvature of the cross-entropy: Böhning 1992, "Multinomial
        logistic regression algorithm", https://doi.org/10.1007/BF00048682.
    """
    shape, rows = start.coef.shape, np.arange(len(labels))
    coordinates = _Coordinates.at(start, features=features, strength=strength, curvature=curvature)

    def objective(vector: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights = coordinates.to_weights(vector, shape=shape, dtype=features.dtype)
        scores = logits(features, weights)  # (N, K)
        loss = float(_softmax_in_place(scores, labels).mean())
        scores[rows, labels] -= 1
        scores /= len(labels)
        slope = scores.T @ features + features.dtype.type(strength) * weights.coef  # (K, D)
        penalty = strength / 2 * float(np.vdot(weights.coef, weights.coef))
        return loss + penalty, coordinates.from_slopes(slope, scores.sum(axis=0))

    first = coordinates.to_vector(start)
    # Divided by where it starts, so that the tolerance means the same for a loss of 2 and of 0.001.
    unit = max(objective(first)[0], float(np.finfo(np.float32).tiny))

    def in_units(vector: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        value, slope = objective(vector)
        return value / unit, slope / unit

    found = minimize(
        in_units,
        first,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "ftol": tolerance, "gtol": 1e-9},
    )
    return Solution(
        weights=coordinates.to_weights(found.x, shape=shape, dtype=features.dtype),
        num_iterations=int(found.nit),
        converged=found.nit < max_iter,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Coordinates:
    """A change of variables in which the objective curves about equally in every direction.

    The weights of class k along a principal direction of variance v curve by spread_k * v + strength. They
    are multiplied by the root of that: `along` of shape (K, R) and `others` of shape (K, 1) are these roots.
    """

    directions: Floats
    along: Floats
    others: Floats
    intercept: Floats

    @classmethod
    def at(
        cls, weights: Weights, *, features: Floats, strength: float, curvature: Curvature
    ) -> "_Coordinates":
        probabilities = logits(features, weights)
        _softmax_in_place(probabilities, np.zeros(len(features), dtype=np.int64))
        spread = np.maximum((probabilities * (1 - probabilities)).mean(axis=0), _SMALLEST_SPREAD)[:, None]
        return cls(
            directions=curvature.directions,
            along=np.sqrt(spread * curvature.variances + strength).astype(features.dtype),
            others=np.sqrt(spread * curvature.rest + strength).astype(features.dtype),
            intercept=np.sqrt(spread[:, 0]).astype(features.dtype),
        )

    def to_vector(self, weights: Weights) -> npt.NDArray[np.float64]:
        rows = self._scaled(weights.coef, along=self.along, others=self.others)
        return np.concatenate([rows.ravel(), weights.intercept * self.intercept]).astype(np.float64)

    def to_weights(
        self, vector: npt.NDArray[np.float64], *, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Weights:
        num_classes = shape[0]
        rows = vector[:-num_classes].astype(dtype).reshape(shape)
        return Weights(
            coef=self._scaled(rows, along=1 / self.along, others=1 / self.others),
            intercept=vector[-num_classes:].astype(dtype) / self.intercept,
        )

    def from_slopes(self, coef: Floats, intercept: Floats) -> npt.NDArray[np.float64]:
        rows = self._scaled(coef, along=1 / self.along, others=1 / self.others)
        return np.concatenate([rows.ravel(), intercept / self.intercept]).astype(np.float64)

    def _scaled(self, rows: Floats, *, along: Floats, others: Floats) -> Floats:
        scaled: Floats = ((rows @ self.directions) * (along - others)) @ self.directions.T + others * rows
        return scaled


def _softmax_in_place(scores: Floats, labels: Integers) -> npt.NDArray[np.float64]:
    """Turn scores of shape (N, K) into probabilities; return the labels' cross-entropies, shape (N,)."""
    scores -= scores.max(axis=1, keepdims=True)
    of_labels = scores[np.arange(len(labels)), labels].astype(np.float64)
    np.exp(scores, out=scores)
    sums = scores.sum(axis=1, keepdims=True)
    scores /= sums
    entropies: npt.NDArray[np.float64] = np.log(sums[:, 0].astype(np.float64)) - of_labels
    return entropies
