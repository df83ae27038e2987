"""The linear probe: a linear classifier on frozen features that chooses its own regularisation."""

import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import ThreadpoolController

from headstart.core.errors import InputError
from headstart.embed.matrix import empty_matrix
from headstart.train.folds import Layout, lay_out
from headstart.train.logistic import Curvature, fit_weights
from headstart.train.rows import Floats, HostRows, Integers, Rows, Weights, blocks, each_piece, logits
from headstart.train.sweep import Plan, sweep

if TYPE_CHECKING:
    import torch

STRENGTHS = tuple(float(10**exponent) for exponent in np.arange(2, -6.1, -0.5))
"""The default sweep: 100 to 0.000001 in steps of half a decade.

The usual best is well inside: on EfficientNet-Lite0 features of CIFAR-10 it was 0.1
for 500 rows and 0.03 for 8,000.
"""

FINAL_TOLERANCE = 3e-7
"""For the weights that are kept: on 1,000 of scikit-learn's digits the probabilities are then within 0.0002
to 0.004, the weaker the penalty the more, of those of a run to the end."""

_PREDICTED_ROWS = 8192  # at once: what is made on the way to a result is no larger than that of so many
_CACHED_ROWS = 128  # 128 rows of 1,280 features in float64 are 1.3 MB


class LinearProbe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A linear classifier on frozen features: a scikit-learn estimator.

    Multinomial logistic regression on standardised features, by mean cross-entropy + strength / 2 *
    ||weights||^2, the intercepts unpenalised. The strength is chosen by log loss inside the training part
    (stratified cross-validation below 2,000 rows, from there on a single one of its folds), going from strong
    to weak, each fit starting from the last; then all rows are fitted. From 5,000 rows on a stratified part
    of at most 8,000 rows goes through the strengths first; all rows begin where that part is best, and try
    neighbours until the best strength has a worse one on either side: the same choice where the log loss has
    one valley. Means and scales for standardising are those of all rows given to `fit`. The same data and
    seed give the same probe.

    On the processor it uses as many threads as NumPy's BLAS may (and no more than torch, once that is
    imported). Beside the features it has one standardised copy of them, which above a gigabyte lies in a file
    of the cache's folder. Both are read block by block, so features may lie in a file that is mapped
    into memory (`numpy.memmap`): what is held beside does not grow with N but for some numbers a row.

    Args:
        strengths: of the L2 penalty, above 0, in any order; None: `STRENGTHS`. In terms of scikit-learn's
            LogisticRegression on N standardised rows: 1 / (N * C).
        num_folds: parts that the rows are dealt to for choosing the strength, at least 2; each is held out
            once, or from 2,000 rows on the first only.
        max_iter: limit of solver steps for one strength.
        seed: decides which rows the strengths are tried on.
        device: where the passes over the rows are computed: a device of torch such as "cuda", which then
            holds the copy of the features, or "cpu", which needs no torch. The results differ by rounding.

    Attributes:
        classes_: the K distinct labels, sorted.
        coef_: floats of shape (K, D), in the dtype of the features; they apply to raw features, as the
            standardising is folded in. There are K rows for two classes too, so that a saved probe is one
            linear layer whose softmax gives the probabilities.
        intercept_: floats of shape (K,).
        strength_: the chosen strength.
        strengths_: those that were tried on the whole part to fit on, of shape (S,), strongest first: below
            5,000 rows from the strongest on until it got worse, from there on those around the best.
        inner_log_losses_: float64 of shape (S,): mean -log probability of the held-out rows' true classes, in
            nats. A single infinity where none was held out: every class has a single row, and the middle
            strength is taken, or one strength was given.
        n_features_in_: D.
        n_iter_: solver steps in the final fit.

    Example:
        >>> features = np.array([[0.0], [0.2], [0.9], [1.1]])
        >>> LinearProbe().fit(features, ["left", "left", "right", "right"]).predict([[0.1], [1.0]]).tolist()
        ['left', 'right']

    Source: Kornblith, Shlens and Le 2019, "Do Better ImageNet Models Transfer Better?",
        https://arxiv.org/abs/1805.08974 (L-BFGS, a swept penalty, warm starts, a final fit on all rows).
    """

    def __init__(
        self,
        *,
        strengths: npt.ArrayLike | None = None,
        num_folds: int = 5,
        max_iter: int = 500,
        seed: int = 0,
        device: "str | torch.device" = "cpu",
    ) -> None:
        self.strengths = strengths
        self.num_folds = num_folds
        self.max_iter = max_iter
        self.seed = seed
        self.device = device

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, *, start: npt.ArrayLike | None = None) -> "LinearProbe":
        """Fit the probe and return it.

        Args:
            X: features of shape (N, D), finite; float32 is computed in float32, all else in float64.
            y: N class labels of any sortable kind, at least two distinct ones.
            start: where to begin, of shape (K, D + 1): `coef_` with `intercept_` as the last column, of a
                probe that was fitted on most of these rows at the same strength. It saves steps, and changes
                the result by no more than the solver's tolerance. Of use where one strength is given.

        Raises:
            InputError: there is only one class, `start` has another shape, or a parameter of the probe is out
                of its range.
            StorageError: there is no room for a copy that is larger than a gigabyte.
            ValueError: scikit-learn refused the arrays.
        """
        features, targets = validate_data(self, X, y, dtype=(np.float64, np.float32))
        check_classification_targets(targets)
        strengths = _checked_strengths(self.strengths)
        if self.num_folds < 2 or self.max_iter < 1:
            raise InputError(
                f"num_folds of {self.num_folds} and max_iter of {self.max_iter} were given, expected 2 or "
                "more and 1 or more"
            )
        self.classes_, labels = np.unique(targets, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                f"all {len(targets)} rows are of one class, {self.classes_.tolist()[0]!r}, expected two",
                hint="a classifier needs examples of everything it is to tell apart",
            )
        begin = _checked_start(start, (len(self.classes_), features.shape[1] + 1))
        labels = labels.astype(np.int64)
        layout = lay_out(labels, num_folds=self.num_folds, seed=self.seed)
        # NumPy and SciPy each bring a BLAS, whose threads wait for work by spinning on the cores that the
        # other needs: a sweep that takes one thread 0.8 s took 4.0 s so. Rows and folds have threads of ours
        # instead, each with a BLAS of one.
        with ThreadPoolExecutor(_num_threads()) as pool, _libraries().limit(limits=1, user_api="blas"):
            self._fit_standardised(
                features, labels, strengths=strengths, layout=layout, start=begin, pool=pool
            )
        return self

    def _fit_standardised(
        self,
        X: Floats,
        labels: Integers,
        *,
        strengths: tuple[float, ...],
        layout: Layout,
        start: Weights | None,
        pool: Executor,
    ) -> None:
        labels = labels[layout.order]
        features, mean, scale = _standardised(X, layout.order, pool=pool)
        features, basis = _in_their_span(features)
        curvature = Curvature.of(features, pool=pool)
        rows = _rows(features, labels, device=self.device, pool=pool)
        del features  # where the rows are elsewhere, the host's copy is no longer needed
        plan = Plan(strengths=strengths, curvature=curvature, max_iter=self.max_iter)
        if start is not None:
            coef = start.coef * scale if basis is None else (start.coef * scale) @ basis.T
            intercept = start.intercept + start.coef @ mean
            start = Weights(coef=coef.astype(X.dtype), intercept=intercept.astype(X.dtype))
        swept = sweep(rows, layout, plan=plan, start=start)
        found = fit_weights(
            rows,
            strength=swept.strength,
            start=swept.start,
            curvature=curvature,
            tolerance=FINAL_TOLERANCE,
            max_iter=self.max_iter,
        )
        if not found.converged:
            warnings.warn(
                f"the probe did not converge in {self.max_iter} steps; raise max_iter",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.strength_, self.n_iter_ = swept.strength, max(1, found.num_iterations)
        self.strengths_ = np.array(swept.strengths)
        self.inner_log_losses_ = np.array(swept.log_losses)
        coef = found.weights.coef.astype(np.float64)
        coef = (coef if basis is None else coef @ basis) / scale
        self.coef_: Floats = coef.astype(X.dtype)
        self.intercept_: Floats = (found.weights.intercept - coef @ mean).astype(X.dtype)

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the logits, floats of shape (N, K); with two classes of shape (N,): second minus first.

        Args:
            X: features of shape (N, D), raw as they were given to `fit`.

        Raises:
            ValueError: scikit-learn refused the array, or the probe is not fitted.
        """
        scores = np.concatenate(list(self._logits(X)))
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """Return class probabilities: floats of shape (N, K), rows sum to 1, columns as in `classes_`.

        Args:
            X: features of shape (N, D), raw as they were given to `fit`.

        Raises:
            ValueError: scikit-learn refused the array, or the probe is not fitted.
        """
        return np.concatenate([softmax(scores, axis=1) for scores in self._logits(X)])

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the most probable class of each row: of shape (N,), in the dtype of `classes_`.

        Args:
            X: features of shape (N, D), raw as they were given to `fit`.

        Raises:
            ValueError: scikit-learn refused the array, or the probe is not fitted.
        """
        best = np.concatenate([scores.argmax(axis=1) for scores in self._logits(X)])
        predicted: npt.NDArray[Any] = self.classes_[best]
        return predicted

    def _logits(self, X: npt.ArrayLike) -> Iterator[Floats]:
        """Yield the logits of blocks of rows, each of shape (B, K)."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        weights = Weights(coef=self.coef_, intercept=self.intercept_)
        for block in blocks(slice(0, len(features)), _PREDICTED_ROWS):
            yield logits(features[block], weights)


def _checked_strengths(strengths: npt.ArrayLike | None) -> tuple[float, ...]:
    """Return the strengths, strongest first."""
    array = np.asarray(STRENGTHS if strengths is None else strengths, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not (np.isfinite(array) & (array > 0)).all():
        raise InputError(f"strengths of {strengths!r} were given, expected a list of numbers above 0")
    return tuple(np.unique(array)[::-1].tolist())


def _checked_start(start: npt.ArrayLike | None, shape: tuple[int, int]) -> Weights | None:
    """Return the weights to begin with, in float64."""
    if start is None:
        return None
    array = np.asarray(start, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(f"a start of shape {array.shape} was given, expected finite numbers of {shape}")
    return Weights(coef=array[:, :-1], intercept=array[:, -1])


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return the libraries with threads of their own; found once, for that takes as long as a small fit.

    NumPy's and SciPy's BLAS are among them: they are loaded with this module.
    """
    return ThreadpoolController()


def _num_threads() -> int:
    """Return how many threads NumPy's BLAS may use, which is what the user or the system has set."""
    of_blas = [pool["num_threads"] for pool in _libraries().info() if pool["user_api"] == "blas"]
    allowed = int(max(of_blas, default=os.cpu_count() or 1))
    torch = sys.modules.get(
        "torch"
    )  # its import takes longer than most fits, and only a user of it has set it
    return min(allowed, torch.get_num_threads()) if torch is not None else allowed


def _rows(features: Floats, labels: Integers, *, device: "str | torch.device", pool: Executor) -> Rows:
    """Return the rows where they are to be computed."""
    if str(device) == "cpu":
        return HostRows(features, labels, pool=pool)
    from headstart.train.device import DeviceRows, check_device

    return DeviceRows.sent(features, labels, device=check_device(device, dtype=features.dtype))


def _standardised(X: Floats, order: Integers, *, pool: Executor) -> tuple[Floats, Floats, Floats]:
    """Return features of mean 0 and variance 1 in the given order of rows, and their mean and scale.

    Returns:
        The features, of shape (N, D), which are the one copy that is made; float64 (D,); float64 (D,).
    """
    num_rows, features = len(X), empty_matrix(X.shape, X.dtype)
    exact_mean = _sum(lambda block: X[block].sum(axis=0, dtype=np.float64), num_rows, pool=pool) / num_rows
    mean = exact_mean.astype(X.dtype)

    def centre(block: slice) -> npt.NDArray[np.float64]:
        features[block] = X[order[block]] - mean
        squares: npt.NDArray[np.float64] = np.square(features[block], dtype=np.float64).sum(axis=0)
        return squares

    deviation = np.sqrt(_sum(centre, num_rows, pool=pool) / num_rows)
    # A constant feature can be off its own mean by the rounding of the sum.
    rounding = num_rows * np.finfo(np.float64).eps * np.abs(exact_mean)
    scale = np.where(deviation > rounding, deviation, 1).astype(X.dtype)

    def divide(block: slice) -> int:
        features[block] /= scale
        return 0

    _sum(divide, num_rows, pool=pool)
    return features, mean.astype(np.float64), scale.astype(np.float64)


def _in_their_span(features: Floats) -> tuple[Floats, Floats | None]:
    """Return few rows in coordinates of the space that they span, and its basis.

    The best weights are a combination of the rows, and the penalty is blind to rotations: in N coordinates
    instead of D the optimum is the same and every step is cheaper. From half as many rows as features on it
    saves nothing, and they are returned as they are.

    Args:
        features: standardised, of shape (N, D).

    Returns:
        The rows, of shape (N, N), and orthonormal rows of shape (N, D) whose combinations they are; or the
        features and None.
    """
    num_rows, num_features = features.shape
    if num_rows > num_features // 2:
        return features, None
    basis, rows = np.linalg.qr(features.T)  # (D, N), (N, N)
    return np.ascontiguousarray(rows.T), basis.T


def _sum(of: Callable[[slice], Any], num_rows: int, *, pool: Executor) -> Any:
    """Return the sum over blocks of rows that fit in a processor's cache."""
    pieces = each_piece(
        lambda piece: sum(of(block) for block in blocks(piece, _CACHED_ROWS)), num_rows, pool=pool
    )
    return sum(pieces)
