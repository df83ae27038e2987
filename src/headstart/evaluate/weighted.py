"""The interval of a paired difference where some pictures count more than others."""

import numpy as np
import numpy.typing as npt

from headstart.core.errors import InputError
from headstart.evaluate.intervals import score_interval
from headstart.evaluate.records import PairedDifference

# Averages over repeats differ in their last bits by the order of summing; this is no difference.
_DECIMALS = 12


def weighted_difference(
    differences: npt.ArrayLike, weights: npt.ArrayLike, *, confidence: float = 0.95
) -> PairedDifference:
    """Return the weighted mean of paired differences with its interval.

    With equal weights it is the interval of `paired_difference`. Otherwise the pictures count
    as (sum of weights)^2 / (sum of squared weights) of equal ones, and the share of pictures that tell the
    two apart is weighted by the squares, as the variance of a weighted sum is.

    Args:
        differences: of shape (N,), how right A was on each picture less how right B was, in [-1, 1].
        weights: of shape (N,), above 0 and finite; their scale does not matter.
        confidence: of the interval, between 0 and 1.

    Raises:
        InputError: the shapes differ, there is no picture, or a value is out of its range.

    Source: `score_interval`; Kish 1965, "Survey Sampling", section 11.7 (the effective number of pictures).
    """
    values, scaled = _checked(differences, weights)
    squares = np.square(scaled)
    num_effective = float(len(values) ** 2 / squares.sum())
    value = float(np.round((scaled * values).mean(), _DECIMALS))
    apart = float((squares * np.square(values)).sum() / squares.sum())
    low, high = score_interval(value, apart, num_effective, confidence=confidence)
    return PairedDifference(value=value, low=low, high=high, confidence=confidence, n=len(values))


def _checked(
    differences: npt.ArrayLike, weights: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the differences, and the weights scaled to a mean of 1."""
    values, given = np.asarray(differences, np.float64), np.asarray(weights, np.float64)
    if values.ndim != 1 or values.shape != given.shape or values.size == 0:
        raise InputError(
            f"differences of shape {values.shape} and weights of shape {given.shape} were given, expected "
            "(N,) twice, not empty"
        )
    # Written so that not-a-number fails too.
    if not (np.abs(values).max() <= 1 and given.min() > 0 and np.isfinite(given.max())):
        raise InputError(
            f"differences up to {np.abs(values).max()} and weights from {given.min()} to {given.max()} were "
            "given, expected differences in [-1, 1] and finite weights above 0"
        )
    return values, given / given.mean()
