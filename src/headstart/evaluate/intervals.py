"""95 % intervals: Wilson's for a share, Tango's for a difference, the bootstrap for everything else."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from headstart import metrics
from headstart.core.errors import InputError
from headstart.evaluate.records import Estimate

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NUM_RESAMPLES = 1000
"""Resamples of a bootstrap: enough for 95 % intervals.
Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap"."""

_PRECISION = 1e-12  # of the ends of a score interval
_CELLS_AT_ONCE = 2**20  # elements of one array of resamples: 8 MiB, about 64 MiB with the temporaries


def critical_value(confidence: float) -> float:
    """Return the z of a two-sided interval: 1.96 for 0.95.

    Raises:
        InputError: `confidence` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise InputError(f"a confidence of {confidence} was asked for, expected one between 0 and 1")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(successes: float, n: float, *, confidence: float = 0.95, more_variance: float = 0.0) -> Estimate:
    """Return the share `successes / n` with Wilson's interval, which is sound at 0, at 1 and for small n.

    Args:
        successes: how many of the pictures are right, in [0, n]. It need not be whole: repeated
            cross-validation averages over the repeats.
        n: number of pictures, at least 1. It need not be whole: of pictures that weigh differently it is
            how many equal ones would be as uncertain. The estimate carries it rounded.
        confidence: of the interval, between 0 and 1.
        more_variance: of the share beside that of n independent pictures, at least 0. It is the same
            whatever the true share is, and so no number of pictures can stand for it.

    Raises:
        InputError: an argument is out of its range.

    Source: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953; recommended by Brown, Cai and
        DasGupta 2001, https://doi.org/10.1214/ss/1009213286.
    """
    if not (n >= 1 and 0 <= successes <= n and more_variance >= 0):
        raise InputError(
            f"{successes} right of {n} pictures and a variance of {more_variance} more were given, expected "
            "0 <= right <= pictures >= 1, and a variance of at least 0"
        )
    z, share = critical_value(confidence), successes / n
    shrink = 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / shrink
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2) + shrink * more_variance) / shrink
    # Rounding can leave 1e-17 between the end of an interval and 0, 1 or the value itself.
    low, high = max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))
    return Estimate(value=share, low=low, high=high, n=round(n), method="wilson")


def score_interval(
    value: float, mean_square: float, n: float, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the ends of Tango's score interval of a paired difference: what Wilson's is to a share.

    It holds every difference from which the measured one is less than z standard errors away, the error
    being that of the most likely pictures for which that difference is true. Whether 0 is in it is
    McNemar's test.

    Args:
        value: mean of the pictures' differences, in [-1, 1].
        mean_square: mean of their squares: where each is -1, 0 or 1, the share of pictures that tell the two
            apart. At least the size of `value`; less, as weights or averages give it, counts as that.
        n: number of pictures, above 0; need not be whole, see `wilson`.
        confidence: of the interval, between 0 and 1.

    Returns:
        The lower and the upper end, in [-1, value] and [value, 1].

    Source: Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
        paired-sample design", https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B
    """
    z, apart = critical_value(confidence), max(mean_square, abs(value))

    def holds(difference: float) -> bool:
        linear = (2 - value) * difference - apart
        constant = (value - apart) / 2 * difference * (1 - difference)
        # The most likely share of pictures that B alone has right.
        lost = (sqrt(max(0.0, linear**2 - 8 * constant)) - linear) / 4
        variance = (2 * lost + difference * (1 - difference)) / n
        return abs(value - difference) <= z * sqrt(max(0.0, variance))

    return _border(holds, value, -1.0), _border(holds, value, 1.0)


def _border(holds: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return the last number for which `holds` is true on the way from `inside` to `outside`."""
    while abs(outside - inside) > _PRECISION:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapEstimates:
    """The metrics that have no interval in closed form.

    Attributes:
        balanced_accuracy: mean over the classes of the share found, in [0, 1].
        macro_f1: mean over the classes of F1, in [0, 1].
        log_loss: mean of -log probability of the true class, in nats.
        calibration_error: debiased root mean squared gap of confidence and accuracy, in [0, 1].
    """

    balanced_accuracy: Estimate
    macro_f1: Estimate
    log_loss: Estimate
    calibration_error: Estimate


def bootstrap(
    labels: Integers,
    probabilities: metrics.Floats,
    *,
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
    seed: int,
) -> BootstrapEstimates:
    """Return four metrics, each with a bootstrap interval, all from one set of resamples of the pictures.

    The percentiles are moved so that the resamples' mean is the value: a resample repeats some pictures and
    lacks others, so it looks worse calibrated than the whole, and the interval would miss the value. Where
    resampling changes nothing (one picture, or all right and equally sure) the interval has no width.

    Args:
        labels: int64 of shape (N,), in [0, K), N at least 1.
        probabilities: floats of shape (N, K), rows sum to 1; row i belongs to `labels[i]`.
        confidence: of the intervals, between 0 and 1.
        num_resamples: how many resamples are drawn, at least 1.
        seed: of the resamples; the same seed gives the same intervals.

    Raises:
        InputError: the arrays do not fit each other, or a number is out of its range.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 10 (bias) and 13
        (percentiles).
    """
    critical_value(confidence)  # its check
    if num_resamples < 1:
        raise InputError(f"{num_resamples} resamples were asked for, expected at least 1")
    pictures = _Pictures.of(labels, probabilities)
    values = _measure(pictures, np.arange(pictures.n)[None])[0]
    replicates = _replicates(pictures, num_resamples=num_resamples, seed=seed)
    tail = (1 - confidence) / 2
    ends = np.quantile(replicates, (tail, 1 - tail), axis=0) + values - replicates.mean(axis=0)
    rows = np.stack([values, np.minimum(ends[0], values), np.maximum(ends[1], values)])  # (3, 4)
    rows[:, _SHARES] = rows[:, _SHARES].clip(0, 1)
    rows[:, _LOG_LOSS] = rows[:, _LOG_LOSS].clip(0)
    rows[:, _CALIBRATION] = np.sqrt(rows[:, _CALIBRATION])
    balanced, f1, loss, calibration = (
        Estimate(value=value, low=low, high=high, n=pictures.n, method="bootstrap")
        for value, low, high in rows.T.tolist()
    )
    return BootstrapEstimates(
        balanced_accuracy=balanced, macro_f1=f1, log_loss=loss, calibration_error=calibration
    )


_LOG_LOSS, _CALIBRATION = 2, 3
_SHARES = (0, 1, _CALIBRATION)  # columns of `_measure` that lie in [0, 1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pictures:
    """All that the metrics need to know of N predictions, so that no array of (N, K) is ever resampled.

    `found` is the true class where the prediction is right, else K; `bin_found` likewise with the bin.
    """

    n: int
    num_classes: int
    num_bins: int
    true: Integers
    predicted: Integers
    found: Integers
    surprisal: Floats
    confidence: Floats
    bin: Integers
    bin_found: Integers

    @classmethod
    def of(cls, labels: Integers, probabilities: metrics.Floats) -> "_Pictures":
        metrics.check_predictions(labels, probabilities)
        num_classes, predicted = probabilities.shape[1], probabilities.argmax(axis=1)
        confidence = probabilities.max(axis=1).astype(np.float64)
        bins, num_bins = metrics.confidence_bins(confidence)
        return cls(
            n=len(labels),
            num_classes=num_classes,
            num_bins=num_bins,
            true=labels.astype(np.int64),
            predicted=predicted,
            found=np.where(predicted == labels, labels, num_classes),
            surprisal=metrics.surprisals(labels, probabilities),
            confidence=confidence,
            bin=bins,
            bin_found=np.where(predicted == labels, bins, num_bins),
        )


def _replicates(pictures: _Pictures, *, num_resamples: int, seed: int) -> Floats:
    """Return `_measure` of `num_resamples` resamples: float64 of shape (R, 4)."""
    generator = np.random.default_rng(seed)
    widest = max(pictures.n, pictures.num_classes)
    step = max(1, _CELLS_AT_ONCE // widest)
    return np.concatenate(
        [
            _measure(
                pictures,
                generator.integers(0, pictures.n, size=(min(step, num_resamples - start), pictures.n)),
            )
            for start in range(0, num_resamples, step)
        ]
    )


def _measure(pictures: _Pictures, draws: Integers) -> Floats:
    """Return balanced accuracy, macro-F1, log loss and squared calibration error of each resample.

    Args:
        pictures: N predictions.
        draws: int64 of shape (R, N), indices of pictures.

    Returns:
        float64 of shape (R, 4).
    """
    num_classes, num_bins = pictures.num_classes, pictures.num_bins
    num_true = _tally(draws, pictures.true, num_classes)
    num_found = _tally(draws, pictures.found, num_classes + 1)[:, :-1]
    num_predicted = _tally(draws, pictures.predicted, num_classes)
    columns = [
        metrics.balanced_accuracy_of_counts(num_true, num_found),
        metrics.macro_f1_of_counts(num_true, num_predicted, num_found),
        pictures.surprisal[draws].mean(axis=1),
        metrics.squared_calibration_error(
            _tally(draws, pictures.bin, num_bins),
            _tally(draws, pictures.bin_found, num_bins + 1)[:, :-1],
            _tally(draws, pictures.bin, num_bins, weights=pictures.confidence),
        ),
    ]
    return np.stack(columns, axis=1)


def _tally(draws: Integers, codes: Integers, num_codes: int, *, weights: Floats | None = None) -> Floats:
    """Return how often each code occurs in each resample, or the sum of its weights: shape (R, num_codes)."""
    rows = np.arange(len(draws))[:, None] * num_codes
    drawn = None if weights is None else weights[draws].ravel()
    counts = np.bincount((codes[draws] + rows).ravel(), weights=drawn, minlength=len(draws) * num_codes)
    return counts.reshape(len(draws), num_codes).astype(np.float64, copy=False)
