"""Multinomial logistic regression by preconditioned L-BFGS: the solver below `LinearProbe`.

The objective is the mean cross-entropy plus strength / 2 times the sum of the squared weights; intercepts are
free. Features of pretrained networks are strongly correlated, which makes plain L-BFGS slow. Here it runs in
coordinates in which the curvature is about the same in every direction: each class's curvature along the
leading principal directions of the features is measured on some rows, all other directions share one value.
This takes about half the steps, and the optimum is the same.
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from headstart.train.rows import Floats, Pass, Rows, Weights, each_piece, logits, softmax_in_place

MAX_DIRECTIONS = 64
"""Principal directions whose curvature is taken into account. On EfficientNet-Lite0 features of CIFAR-10
(D = 1280) 256 and 1200 took about as many steps."""

MAX_ROWS = 8192
"""Rows that the curvature is measured on: it bounds the cost, and need not be exact. With 1,024 rows the
solver took half as many steps again: that few rows of as many features show directions that are not there."""

_MAX_PROBABILITIES = 2**23  # are held for measuring: with more than 1,024 classes there are fewer rows
_SPARE_DIRECTIONS = 16  # are searched for and dropped: the last ones found are the least exact
_SMALLEST_SPREAD = 1e-3  # of a class's probability p: mean p (1 - p); keeps the coordinates finite


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
    """How the features vary: along some directions each, along all others on average.

    Attributes:
        directions: of shape (D, R), orthonormal columns.
        variances: of shape (R + 1,): along each; the last along another direction, on average over them.
        sample: of shape (M, D): rows of the features.
        squares: of shape (M, R + 1): what each of them adds to the variances.
    """

    directions: Floats
    variances: Floats
    sample: Floats
    squares: Floats

    @classmethod
    def of(cls, features: Floats, *, pool: Executor | None = None) -> "Curvature":
        """Return the curvature of centred features of shape (N, D), computed by the threads of a pool.

        Source: Halko, Martinsson and Tropp 2011, "Finding structure with randomness",
            https://doi.org/10.1137/090771806, algorithm 4.4.
        """
        sample = np.ascontiguousarray(features[:: -(-len(features) // MAX_ROWS)])
        num_rows, num_features = sample.shape
        width = min(MAX_DIRECTIONS + _SPARE_DIRECTIONS, num_rows, num_features)
        found = np.random.default_rng(0).standard_normal((num_features, width)).astype(features.dtype)

        def spread_along(directions: Floats) -> Floats:
            """Return the sample's sums of squares and products, of shape (D, D), times directions."""
            products = each_piece(
                lambda rows: sample[rows].T @ (sample[rows] @ directions), num_rows, pool=pool
            )
            return reduce(add, products)

        for _ in range(3):
            found = np.linalg.qr(spread_along(found))[0]
        variances, vectors = np.linalg.eigh(found.T @ spread_along(found) / num_rows)  # ascending
        kept = np.flatnonzero(variances > 1e-4 * variances[-1])[-MAX_DIRECTIONS:]
        directions = found @ vectors[:, kept]
        pieces = each_piece(lambda rows: np.square(sample[rows] @ directions), num_rows, pool=pool)
        along = np.concatenate(list(pieces))  # (M, R)
        others = np.einsum("nd,nd->n", sample, sample) - along.sum(axis=1)
        squares = np.column_stack([along, np.maximum(others, 0) / max(1, num_features - len(kept))])
        return cls(directions=directions, variances=squares.mean(axis=0), sample=sample, squares=squares)

    def of_classes(self, weights: Weights) -> tuple[Floats, Floats]:
        """Return how the cross-entropy curves at these weights.

        A class of probability p curves by the mean of p (1 - p) times the squares.

        Returns:
            Of shape (K, R + 1), by the class's weights along the directions; of shape (K,), by its intercept.
        """
        thinned = slice(None, None, max(1, len(self.sample) * len(weights.coef) // _MAX_PROBABILITIES))
        spread = logits(self.sample[thinned], weights)  # (M, K)
        softmax_in_place(spread, np.zeros(len(spread), dtype=np.int64))
        spread *= 1 - spread
        by_weights = spread.T @ self.squares[thinned] / len(spread)
        return (
            np.maximum(by_weights, _SMALLEST_SPREAD * self.variances),
            np.maximum(spread.mean(axis=0), _SMALLEST_SPREAD),
        )


def fit_weights(
    rows: Rows,
    *,
    strength: float,
    start: Weights,
    curvature: Curvature,
    tolerance: float,
    max_iter: int,
) -> Solution:
    """Return the linear layer that minimises mean cross-entropy + strength / 2 * ||coef||^2.

    Args:
        rows: standardised features and labels.
        strength: of the L2 penalty, above 0.
        start: where to begin, in the rows' dtype; the nearer the fewer the steps.
        curvature: of these features or of some like them; it decides the speed, not the result.
        tolerance: it ends when a step lowers the objective by less than this share of its value at `start`.
        max_iter: limit of steps.

    Source: Liu and Nocedal 1989, "On the limited memory BFGS method for large scale optimization",
        https://doi.org/10.1007/BF01589116; the curvature of the cross-entropy: Böhning 1992, "Multinomial
        logistic regression algorithm", https://doi.org/10.1007/BF00048682.
    """
    passed = rows.passed(start)
    coordinates = _Coordinates.at(start, strength=strength, curvature=curvature)

    def objective(weights: Weights, passed: Pass) -> tuple[float, npt.NDArray[np.float64]]:
        num_rows = rows.dtype.type(passed.num_rows)
        slope = passed.coef / num_rows + rows.dtype.type(strength) * weights.coef  # (K, D)
        penalty = strength / 2 * float(np.vdot(weights.coef, weights.coef))
        loss = passed.loss / passed.num_rows + penalty
        return loss, coordinates.from_slopes(slope, passed.intercept / num_rows)

    value, slope = objective(start, passed)
    # Divided by where it starts, so that the tolerance means the same for a loss of 2 and of 0.001.
    unit = max(value, float(np.finfo(np.float32).tiny))
    # SciPy's first trial is a step of length 1. In these coordinates, of curvature 1, the right one is as
    # long as the slope: stretched by this they agree.
    stretch = 1 / max(float(np.linalg.norm(slope)), float(np.finfo(np.float32).tiny))
    first = coordinates.to_vector(start) * stretch

    def weights_at(vector: npt.NDArray[np.float64]) -> Weights:
        return coordinates.to_weights(vector / stretch, shape=start.coef.shape, dtype=rows.dtype)

    def in_units(vector: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        if np.array_equal(vector, first):  # SciPy asks for it first; it is known
            return value / unit, slope / (unit * stretch)
        weights = weights_at(vector)
        at, slope_at = objective(weights, rows.passed(weights))
        return at / unit, slope_at / (unit * stretch)

    found = minimize(
        in_units,
        first,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "ftol": tolerance, "gtol": 1e-9},
    )
    return Solution(
        weights=weights_at(found.x), num_iterations=int(found.nit), converged=found.nit < max_iter
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Coordinates:
    """A change of variables in which the objective curves about equally in every direction.

    The weights of a class are multiplied by the root of their curvature plus the strength: `along` the
    directions, of shape (K, R), and in all `others`, of shape (K, 1).
    """

    directions: Floats
    along: Floats
    others: Floats
    intercept: Floats

    @classmethod
    def at(cls, weights: Weights, *, strength: float, curvature: Curvature) -> "_Coordinates":
        by_weights, by_intercept = curvature.of_classes(weights)
        scales = np.sqrt(by_weights + weights.coef.dtype.type(strength))
        return cls(
            directions=curvature.directions,
            along=scales[:, :-1],
            others=scales[:, -1:],
            intercept=np.sqrt(by_intercept),
        )

    def to_vector(self, weights: Weights) -> npt.NDArray[np.float64]:
        rows = self._scaled(weights.coef, along=self.along, others=self.others)
        return np.concatenate([rows.ravel(), weights.intercept * self.intercept]).astype(np.float64)

    def to_weights(
        self, vector: npt.NDArray[np.float64], *, shape: tuple[int, ...], dtype: npt.DTypeLike
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
