"""Intervals from repeated cross-validation for the model that is kept: the one fitted on all pictures."""

from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from headstart.core.errors import InputError
from headstart.evaluate.correctness import check_correctness
from headstart.evaluate.intervals import Floats, critical_value, score_interval, wilson
from headstart.evaluate.records import Estimate, PairedDifference


def repeated_accuracy(
    correct: npt.ArrayLike,
    folds: npt.ArrayLike,
    *,
    fewer: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return a cross-validated accuracy with an interval for the model fitted on all N pictures.

    The value is the mean over pictures and repeats. What the interval is to cover is the accuracy, on new
    pictures, of the very model fitted on these N pictures; not the mean over data sets of that size, and not
    the accuracy of the smaller fits. Two things beside the choice of N pictures stand between:

    - The fits share training pictures, and the final one is yet another. The interval is Wilson's for N times
      the share of pictures that a fit saw (4/5 with five folds): Nadeau and Bengio's variance, that of fold
      scores * (1 / number of fits + tested / fitted), with the scores' variance from all pictures, not from
      a handful of folds, and without the first term, as repeats of the same pictures buy no certainty.
    - The final fit saw more pictures. How much that is worth is measured: `fewer` says how right fits on
      yet fewer pictures were, and the error is taken to go on falling by the same power of their number; the
      interval lies about that, and is wider by that difference's own variance. Without `fewer` only the upper
      end allows for it: for an error that falls with the square root of the number of pictures, and for an
      accuracy that grows in proportion to it at most, which is less where it is below 30 %.

    Args:
        correct: of shape (R, N), how right the prediction of picture i in repeat r was: 0 or 1.
        folds: integers of shape (R, N): the fold of repeat r that picture i was predicted in, by a model
            fitted on all other folds. Numbers mean nothing beyond one repeat. At least two a repeat.
        fewer: of shape (R, N), the same as `correct` by models fitted without a second fold, too; None where
            that is not known. It needs three folds a repeat.
        confidence: of the interval, between 0 and 1.

    Returns:
        The estimate, with method "repeated"; its n is N.

    Raises:
        InputError: the shapes differ, a value is out of its range, or a repeat has too few folds.

    Example:
        >>> correct = [[1, 1, 0, 1, 1, 1], [1, 1, 1, 0, 1, 1]]
        >>> folds = [[0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2]]
        >>> found = repeated_accuracy(correct, folds)
        >>> round(found.low, 2), round(found.value, 2), round(found.high, 2)
        (0.36, 0.83, 0.98)

    Source: Nadeau and Bengio 2003, https://doi.org/10.1023/A:1024068626366, for repeated cross-validation
        Bouckaert and Frank 2004, https://doi.org/10.1007/978-3-540-24775-3_3. Their t interval on fold scores
        has no width where all predictions are right. An error that falls by a power: Cortes et al. 1993,
        "Learning curves: asymptotic values and rate of convergence". How far it covers:
        `benchmarks/coverage.py`.
    """
    rows = check_correctness(correct, ("R", "N"))
    share, value = _fitted_share(rows, folds), float(rows.mean())
    n = max(1.0, rows.shape[1] * share)
    if fewer is None:
        found = wilson(value * n, n, confidence=confidence)
        low, high = found.low, min(1 - (1 - found.high) * sqrt(share), found.high / share)
    else:
        gain = _gain(rows, fewer, share)
        kept = value + gain.value
        found = wilson(kept * n, n, confidence=confidence, more_variance=gain.variance_of_mean())
        low, high = found.low, found.high
    return replace(
        found, value=value, low=min(low, value), high=max(high, value), n=rows.shape[1], method="repeated"
    )


def repeated_difference(
    correct_a: npt.ArrayLike,
    correct_b: npt.ArrayLike,
    folds: npt.ArrayLike,
    *,
    fewer: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    confidence: float = 0.95,
) -> PairedDifference:
    """Return the cross-validated accuracy of A minus B, with an interval for the models that are kept.

    What the interval is to cover is the difference in accuracy, on new pictures, of the two models fitted on
    all N pictures. It is that of `paired_difference` (Tango's), with the mean square of single predictions'
    differences, not of their averages over repeats, which miss what a fit on other pictures changes. Where
    `fewer` are given, what both still gain by the pictures that were held out is added as in
    `repeated_accuracy`. Without them nothing allows for that but the number of pictures, which then counts
    less by the share that a fit saw.

    Args:
        correct_a: of shape (R, N), how right A was on picture i in repeat r: 0 or 1.
        correct_b: the same for B, with the same folds.
        folds: integers of shape (R, N), see `repeated_accuracy`.
        fewer: of A and of B, see `repeated_accuracy`.
        confidence: of the interval, between 0 and 1.

    Raises:
        InputError: the shapes differ, a value is out of its range, or a repeat has too few folds.

    Source: as `repeated_accuracy`.
    """
    a, b = (check_correctness(each, ("R", "N")) for each in (correct_a, correct_b))
    if a.shape != b.shape:
        raise InputError(f"correctness of shapes {a.shape} and {b.shape} was given, expected the same shape")
    share, differences = _fitted_share(a, folds), a - b
    num_pictures, value = a.shape[1], float(differences.mean())
    mean_square = float(np.square(differences).mean())
    n = num_pictures * (share if fewer is None else 1.0)
    low, high = score_interval(value, mean_square, n, confidence=confidence)
    if fewer is not None:
        ahead, behind = (_gain(rows, each, share) for rows, each in zip((a, b), fewer, strict=True))
        gain = _Gain(ahead.value - behind.value, ahead.pictures - behind.pictures)
        more = critical_value(confidence) ** 2 * gain.variance_of_mean()
        centre = value + gain.value
        low, high = centre - sqrt((value - low) ** 2 + more), centre + sqrt((high - value) ** 2 + more)
    return PairedDifference(
        value=value,
        low=max(-1.0, min(low, value)),
        high=min(1.0, max(high, value)),
        confidence=confidence,
        n=num_pictures,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Gain:
    """What the final fit gains by the pictures that were held out.

    Attributes:
        value: in accuracy.
        pictures: float64 of shape (N,), what each picture says of it; their mean is about `value`.
    """

    value: float
    pictures: Floats

    def variance_of_mean(self) -> float:
        """Return how uncertain the gain is for the pictures that it was measured on."""
        return float(self.pictures.var() / len(self.pictures))


def _gain(rows: Floats, fewer: npt.ArrayLike, share: float) -> _Gain:
    """Return what a fit on all pictures gains over one on a `share` of them.

    Seen is what that one gains over `fewer`, whose fits left out twice as many pictures. The error is taken
    for c * n^-p of n pictures, p being at least 0.
    """
    less = check_correctness(fewer, ("R", "N"))
    if less.shape != rows.shape or not share > 0.5:
        raise InputError(
            f"correctness of fits on fewer pictures of shape {less.shape} was given for one of shape "
            f"{rows.shape} by fits on {share:.2f} of them, expected the same shape, and three folds or more"
        )
    error, larger = (1 - float(each.mean()) for each in (rows, less))
    # How far it is still to go, in lengths of the way from `fewer`.
    steps = log(1 / share) / log(share / (2 * share - 1))
    falls = larger > error > 0
    return _Gain(
        error * (1 - (error / larger) ** steps) if falls else 0.0, steps * (rows - less).mean(axis=0)
    )


def _fitted_share(rows: Floats, folds: npt.ArrayLike) -> float:
    """Return the share of the N pictures that a picture's model was fitted on, their mean."""
    numbers = np.asarray(folds)
    if numbers.shape != rows.shape or not np.issubdtype(numbers.dtype, np.integer):
        raise InputError(
            f"folds of shape {numbers.shape} and type {numbers.dtype} were given for correctness of shape "
            f"{rows.shape}, expected a whole number each"
        )
    sizes = [np.unique(repeat, return_counts=True)[1] for repeat in numbers]
    if any(len(each) < 2 for each in sizes):
        raise InputError("all pictures of a repeat are in one fold, expected two folds or more")
    num_held_out = sum(int(np.square(each).sum()) for each in sizes)  # summed over the pictures
    return float(1 - num_held_out / (rows.size * rows.shape[1]))
