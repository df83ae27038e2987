"""A classifier without a solver: ridge regression on class indicators, and what else one factorisation tells.

Cheap evidence for a race: where a probe takes hundreds of passes over the rows, this takes one
factorisation. Every row is also predicted by the classifier that was fitted without it, exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.train.moments import Moments, wide_blocks

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

STRENGTHS = tuple(float(10**exponent) for exponent in np.arange(1.0, -3.1, -0.5))
"""Ridge penalties that are tried: each is added to every eigenvalue of the features' correlation matrix."""

_LOG_ME_STEPS = 11
_LOG_ME_TOLERANCE = 1e-3
_TINY = 1e-12
_SMALLEST_SQUARE = 1e-10  # of the largest singular value's: below, it is rounding


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
        scores = np.empty((len(features), len(self.intercept)))
        for part in wide_blocks(*features.shape):
            scores[part] = (features[part] - self.mean) @ self.weights + self.intercept
        return scores


def fit_closed_form(features: npt.NDArray[np.floating], labels: Integers, *, num_classes: int) -> ClosedForm:
    """Return the ridge classifier of some rows, and the scores that its factorisation gives away.

    The rows are read three times, block by block: for their moments, for the errors of all strengths, and for
    the scores of the best. What is held beside them grows with N by some numbers a row only.

    Args:
        features: of shape (N, D), finite, N at least 2; features are standardised, constant ones ignored.
        labels: int64 of shape (N,), in [0, num_classes).
        num_classes: K; a class may have no row.
    """
    if len(features) <= features.shape[1]:
        spectrum = Spectrum.of_few(features, labels, num_classes=num_classes)
    else:
        spectrum = Spectrum.of(Moments.of(features, labels, num_classes=num_classes))
    parts = wide_blocks(len(labels), max(features.shape[1], num_classes))
    trial = Trial.joined([spectrum.leave_out(features[part], labels[part]) for part in parts])
    weights = spectrum.weights(STRENGTHS[trial.best])
    scores = np.empty((len(labels), num_classes))
    for part in parts:
        fitted = (features[part] - spectrum.mean) @ weights + spectrum.shares
        scores[part] = left_out_scores(fitted, labels[part], trial.leverages[part, trial.best])
    return ClosedForm(
        left_out_scores=scores,
        strength=STRENGTHS[trial.best],
        mean=spectrum.mean,
        weights=weights,
        intercept=spectrum.shares,
        h_score=_h_score(spectrum, trial.quartic),
        log_me=_log_me(spectrum),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """How ridge regression predicts rows that it was fitted without, at each of S strengths.

    Attributes:
        errors: float64 of shape (S,): sums of the squared errors over rows and classes.
        leverages: float64 of shape (N, S): how much of itself each row's fitted scores hold, in [0, 1].
        quartic: sum over the rows of the length of the standardised row to the fourth power.
    """

    errors: Floats
    leverages: Floats
    quartic: float

    @classmethod
    def joined(cls, parts: Sequence["Trial"]) -> "Trial":
        """Return the trial of all rows, in the order of their parts."""
        return cls(
            errors=np.sum([part.errors for part in parts], axis=0),
            leverages=np.concatenate([part.leverages for part in parts]),
            quartic=sum(part.quartic for part in parts),
        )

    @property
    def best(self) -> int:
        """Place of the strength with the least squared error."""
        return int(np.argmin(self.errors))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """The singular values and right singular vectors of N standardised rows of rank R, and their classes.

    Attributes:
        counts: int64 of shape (K,): rows of each class.
        mean: of shape (D,).
        scale: of shape (D,), infinite for constant features.
        singular: of shape (R,), all above 0.
        right: of shape (D, R), orthonormal columns.
        projected: of shape (R, K): left singular vectors, transposed, times the indicators of the classes.
    """

    counts: Integers
    mean: Floats
    scale: Floats
    singular: Floats
    right: Floats
    projected: Floats

    @classmethod
    def of(cls, moments: Moments) -> "Spectrum":
        """Return the spectrum of the rows that have these moments."""
        scale = _scale(moments.mean, np.sqrt(moments.scatter.diagonal() / moments.num_rows))
        squares, right = np.linalg.eigh(moments.scatter / scale / scale[:, None])
        kept = squares > squares[-1] * _SMALLEST_SQUARE
        singular, right = np.sqrt(squares[kept]), right[:, kept]
        return cls(
            counts=moments.counts,
            mean=moments.mean,
            scale=scale,
            singular=singular,
            right=right,
            projected=((moments.class_sums / scale) @ right / singular).T,
        )

    @classmethod
    def of_few(cls, features: npt.NDArray[np.floating], labels: Integers, *, num_classes: int) -> "Spectrum":
        """Return the spectrum of no more rows than features, from their products with one another."""
        mean = features.mean(axis=0, dtype=np.float64)
        rows = features - mean
        scale = _scale(mean, rows.std(axis=0))
        rows /= scale
        squares, left = np.linalg.eigh(rows @ rows.T)
        kept = squares > squares[-1] * _SMALLEST_SQUARE
        singular, left = np.sqrt(squares[kept]), left[:, kept]
        return cls(
            counts=np.bincount(labels, minlength=num_classes),
            mean=mean,
            scale=scale,
            singular=singular,
            right=rows.T @ (left / singular),
            projected=left.T @ np.eye(num_classes)[labels],
        )

    @property
    def num_rows(self) -> int:
        """N."""
        return int(self.counts.sum())

    @property
    def num_features(self) -> int:
        """D without the constant ones."""
        return int(np.isfinite(self.scale).sum())

    @property
    def shares(self) -> Floats:
        """Share of each class in the rows: of shape (K,)."""
        shares: Floats = self.counts / self.num_rows
        return shares

    def weights(self, strength: float) -> Floats:
        """Return the ridge classifier of one strength, for rows less the mean: of shape (D, K)."""
        shrunk = self.singular / (self.singular**2 + self.num_rows * strength)
        weights: Floats = (self.right @ (shrunk[:, None] * self.projected)) / self.scale[:, None]
        return weights

    def leave_out(self, features: npt.NDArray[np.floating], labels: Integers) -> Trial:
        """Return how each of some of the rows is predicted by the classifiers that were fitted without it.

        Source: leave-one-out residuals are those of the fit divided by 1 - leverage (Allen 1974,
            https://doi.org/10.1080/00401706.1974.10489157).
        """
        rows = features - self.mean
        rows /= self.scale
        left = rows @ (self.right / self.singular)  # (B, R)
        squares = np.square(self.singular)[:, None]
        kept = squares / (squares + self.num_rows * np.array(STRENGTHS))  # (R, S)
        leverages = 1 / self.num_rows + np.square(left) @ kept
        targets, errors = np.eye(len(self.counts))[labels], []
        for each, leverage in zip(kept.T, leverages.T, strict=True):
            fitted = left @ (each[:, None] * self.projected) + self.shares
            errors.append(float(np.square(targets - left_out_scores(fitted, labels, leverage)).sum()))
        return Trial(
            errors=np.array(errors),
            leverages=leverages,
            quartic=float(np.square(np.einsum("nd,nd->n", rows, rows)).sum()),
        )


def left_out_scores(fitted: Floats, labels: Integers, leverages: Floats) -> Floats:
    """Return the scores of each row by the fit without it, of shape (N, K).

    Args:
        fitted: of shape (N, K): scores by the fit with it.
        labels: int64 of shape (N,).
        leverages: of shape (N,), at the strength of the fit.
    """
    targets = np.eye(fitted.shape[1])[labels]
    scores: Floats = targets - (targets - fitted) / np.maximum(1 - leverages, _TINY)[:, None]
    return scores


def _scale(mean: Floats, deviation: Floats) -> Floats:
    """Return what features are divided by, infinity for constant ones: of shape (D,)."""
    return np.where(deviation > 1e-9 * (np.abs(mean) + _TINY), deviation, np.inf)


def _h_score(spectrum: Spectrum, quartic: float) -> float:
    """Return the regularised H-score.

    Args:
        spectrum: of the rows.
        quartic: sum over the rows of their length to the fourth power.

    Source: Ibrahim, Ponomareva and Mazumder 2021, "Newer is not always better", https://arxiv.org/abs/2110.06893;
        shrinkage after Ledoit and Wolf 2004, https://doi.org/10.1016/S0047-259X(03)00096-4.
    """
    n = spectrum.num_rows
    eigenvalues = spectrum.singular**2 / n
    mean_eigenvalue = eigenvalues.sum() / max(1, spectrum.num_features)
    square_sum = float(np.square(eigenvalues).sum())
    distance = square_sum - spectrum.num_features * mean_eigenvalue**2
    noise = (quartic / n - square_sum) / n
    shrinkage = min(1.0, noise / distance) if distance > _TINY else 1.0
    counts = np.maximum(spectrum.counts, 1)
    means = spectrum.projected * spectrum.singular[:, None] / counts  # (R, K)
    between = np.square(means) @ (counts / n)  # (R,)
    shrunk = (1 - shrinkage) * eigenvalues + shrinkage * mean_eigenvalue
    return float((1 - shrinkage) * (between / np.maximum(shrunk, _TINY)).sum())


def _log_me(spectrum: Spectrum) -> float:
    """Return the log evidence of one linear model a class, a mean over classes and rows.

    Source: You et al. 2021, "LogME", https://arxiv.org/abs/2102.11005; the fixed point of You et al. 2022,
        https://arxiv.org/abs/2110.10545, in which every class has its own alpha and beta.
    """
    present = np.flatnonzero(spectrum.counts).tolist()
    return float(np.mean([_evidence(spectrum, label) for label in present]))


def _evidence(spectrum: Spectrum, label: int) -> float:
    n, num_features = spectrum.num_rows, max(1, spectrum.num_features)
    squares = spectrum.singular**2
    projected_squares = np.square(spectrum.projected[:, label])
    # The indicator is centred, as the features are: there is no intercept.
    length = float(spectrum.counts[label] * (1 - spectrum.shares[label]))
    outside = max(length - float(projected_squares.sum()), 0.0)
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
