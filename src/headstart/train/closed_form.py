"""A classifier without a solver: ridge regression on class indicators, and what else one factorisation tells.

Cheap evidence for a race: where a probe takes hundreds of passes over the rows, this takes one
factorisation. Every row is also predicted by the classifier that was fitted without it, exactly.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

STRENGTHS = tuple(float(10**exponent) for exponent in np.arange(1.0, -3.1, -0.5))
"""Ridge penalties that are tried: each is added to every eigenvalue of the features' correlation matrix."""

_LOG_ME_STEPS = 11
_LOG_ME_TOLERANCE = 1e-3
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClosedForm:
    """A ridge classifier on N rows of D features with K classes, fitted in closed form.

    Attributes:
        left_out_scores: float64 of shape (N, K): each row's scores by the classifier fitted without that row;
            the highest is the predicted class.
        strength: the penalty, of `STRENGTHS`, whose left-out scores have the least squared error.
        mean: float64 of shape (D,), taken from a row before it is multiplied.
        weights: float64 of shape (D, K).
        intercept: float64 of shape (K,).
        h_score: regularised H-score, at least 0: how far the classes' means lie apart in units of the
            features' spread, with Ledoit and Wolf's shrinkage.
        log_me: mean over the classes of the log evidence of a linear model a row, in nats.
    """

    left_out_scores: Floats
    strength: float
    mean: Floats
    weights: Floats
    intercept: Floats
    h_score: float
    log_me: float

    def scores(self, features: npt.NDArray[np.floating]) -> Floats:
        """Return the scores of new rows: float64 of shape (N, K)."""
        scores: Floats = (features - self.mean) @ self.weights + self.intercept
        return scores


def fit_closed_form(features: npt.NDArray[np.floating], labels: Integers, *, num_classes: int) -> ClosedForm:
    """Return the ridge classifier of some rows, and the scores that its factorisation gives away.

    Args:
        features: of shape (N, D), finite, N at least 2; features are standardised, constant ones ignored.
        labels: int64 of shape (N,), in [0, num_classes).
        num_classes: K; a class may have no row.

    Source: leave-one-out residuals are those of the fit divided by 1 - leverage (Allen 1974,
        https://doi.org/10.1080/00401706.1974.10489157).
    """
    spectrum = _Spectrum.of(features)
    targets = np.eye(num_classes)[labels]  # (N, K)
    intercept = targets.mean(axis=0)
    projected = spectrum.left.T @ (targets - intercept)  # (R, K)
    fits = [_left_out(spectrum, targets, projected, intercept, strength) for strength in STRENGTHS]
    best = int(np.argmin([np.square(targets - scores).mean() for scores in fits]))
    n, singular = len(labels), spectrum.singular
    shrunk = singular / (singular**2 + n * STRENGTHS[best])
    return ClosedForm(
        left_out_scores=fits[best],
        strength=STRENGTHS[best],
        mean=spectrum.mean,
        weights=(spectrum.right @ (shrunk[:, None] * projected)) / spectrum.scale[:, None],
        intercept=intercept,
        h_score=_h_score(spectrum, targets),
        log_me=_log_me(spectrum, targets),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Spectrum:
    """The singular value decomposition of N standardised rows, of rank R.

    Attributes:
        left: of shape (N, R), orthonormal columns.
        singular: of shape (R,), all above 0.
        right: of shape (D, R), orthonormal columns.
        mean: of shape (D,).
        scale: of shape (D,).
        quartic: sum over the rows of their length to the fourth power.
        num_features: D without the constant ones.
    """

    left: Floats
    singular: Floats
    right: Floats
    mean: Floats
    scale: Floats
    quartic: float
    num_features: int

    @classmethod
    def of(cls, features: npt.NDArray[np.floating]) -> "_Spectrum":
        rows = features.astype(np.float64)
        mean = rows.mean(axis=0)
        rows -= mean
        deviation = rows.std(axis=0)
        varies = deviation > 1e-9 * (np.abs(mean) + _TINY)
        scale = np.where(varies, deviation, 1.0)
        rows /= scale
        rows[:, ~varies] = 0.0
        if len(rows) <= rows.shape[1]:
            squares, left = np.linalg.eigh(rows @ rows.T)
            kept = squares > squares[-1] * 1e-10
            singular = np.sqrt(squares[kept])
            left = left[:, kept]
            right = rows.T @ left / singular
        else:
            squares, right = np.linalg.eigh(rows.T @ rows)
            kept = squares > squares[-1] * 1e-10
            singular = np.sqrt(squares[kept])
            right = right[:, kept]
            left = rows @ right / singular
        return cls(
            left=left,
            singular=singular,
            right=right,
            mean=mean,
            scale=scale,
            quartic=float(np.square(np.square(rows).sum(axis=1)).sum()),
            num_features=int(varies.sum()),
        )


def _left_out(
    spectrum: _Spectrum, targets: Floats, projected: Floats, intercept: Floats, strength: float
) -> Floats:
    """Return the scores of each row by the ridge fit without it, of shape (N, K)."""
    n = len(targets)
    kept = spectrum.singular**2 / (spectrum.singular**2 + n * strength)  # (R,)
    fitted = intercept + spectrum.left @ (kept[:, None] * projected)
    leverage = 1 / n + np.square(spectrum.left) @ kept
    left_out: Floats = targets - (targets - fitted) / np.maximum(1 - leverage, _TINY)[:, None]
    return left_out


def _h_score(spectrum: _Spectrum, targets: Floats) -> float:
    """Return the regularised H-score.

    Source: Ibrahim, Ponomareva and Mazumder 2021, "Newer is not always better", https://arxiv.org/abs/2110.06893;
        shrinkage after Ledoit and Wolf 2004, https://doi.org/10.1016/S0047-259X(03)00096-4.
    """
    n = len(targets)
    eigenvalues = spectrum.singular**2 / n
    mean_eigenvalue = eigenvalues.sum() / max(1, spectrum.num_features)
    square_sum = float(np.square(eigenvalues).sum())
    distance = square_sum - spectrum.num_features * mean_eigenvalue**2
    noise = (spectrum.quartic / n - square_sum) / n
    shrinkage = min(1.0, noise / distance) if distance > _TINY else 1.0
    counts = np.maximum(targets.sum(axis=0), 1)
    means = (targets.T @ spectrum.left) * spectrum.singular / counts[:, None]  # (K, R)
    between = (counts[:, None] / n * np.square(means)).sum(axis=0)  # (R,)
    shrunk = (1 - shrinkage) * eigenvalues + shrinkage * mean_eigenvalue
    return float((1 - shrinkage) * (between / np.maximum(shrunk, _TINY)).sum())


def _log_me(spectrum: _Spectrum, targets: Floats) -> float:
    """Return the log evidence of one linear model a class, a mean over classes and rows.

    Source: You et al. 2021, "LogME", https://arxiv.org/abs/2102.11005; the fixed point of You et al. 2022,
        https://arxiv.org/abs/2110.10545, in which every class has its own alpha and beta.
    """
    present = targets[:, targets.sum(axis=0) > 0]
    centred = present - present.mean(axis=0)  # as the features are: there is no intercept
    return float(np.mean([_evidence(spectrum, target) for target in centred.T]))


def _evidence(spectrum: _Spectrum, target: Floats) -> float:
    n, num_features = len(target), max(1, spectrum.num_features)
    squares = spectrum.singular**2
    projected = spectrum.left.T @ target  # (R,)
    projected_squares = np.square(projected)
    outside = max(float(target @ target) - float(projected_squares.sum()), 0.0)
    alpha = beta = 1.0
    for _ in range(_LOG_ME_STEPS):
        ratio = alpha / beta
        gamma = float((squares / (squares + ratio)).sum())
        weight = float((squares * projected_squares / np.square(squares + ratio)).sum())
        residual = float((projected_squares / np.square(1 + squares / ratio)).sum()) + outside
        alpha = gamma / (weight + 1e-5)
        beta = (n - gamma) / (residual + 1e-5)
        if abs(alpha / beta - ratio) / ratio <= _LOG_ME_TOLERANCE:
            break
    log_determinant = np.log(alpha + beta * squares).sum() + (num_features - len(squares)) * np.log(alpha)
    evidence = (
        num_features / 2 * np.log(alpha)
        + n / 2 * np.log(beta)
        - log_determinant / 2
        - beta / 2 * residual
        - alpha / 2 * weight
        - n / 2 * np.log(2 * np.pi)
    )
    return float(evidence / n)
