"""Metrics of classification: pure NumPy functions of labels and probabilities.

The formulas of the class-wise metrics stand in functions of counts, with any number of leading axes, so that
the bootstrap of `headstart.evaluate` runs the very same formulas over all its resamples at once.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.core.errors import InputError

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]
Float64s = npt.NDArray[np.float64]

SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)
"""Probabilities below this count as this in the log loss: scikit-learn's rule for float32, used for every
dtype here so that a score does not depend on the precision a model happened to run in."""

MAX_BINS = 15
"""Bins of the calibration error. Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 5."""

PICTURES_PER_BIN = 10
"""Fewer bins are taken before they hold fewer pictures than this: their variance must be estimable."""

LOG_LOSS_WEIGHT = 0.3
"""Accuracy that a nat of log loss is worth in a merit. In the first 46 tasks of `benchmarks/selection.py`
(digits, CIFAR-10, Fashion-MNIST, clip art) the choice by this merit was on average 0.5 points below the best
candidate on new pictures, and at most 2.5 in 95 % of them; that by accuracy alone 1.0 and 4.7. From 0.2 to
0.5 it is the same."""

_SUM_TOLERANCE = 1e-2  # rows that were computed in half precision are off by about 1e-3


def merit(accuracy: float, log_loss: float) -> float:
    """Return what classifiers are chosen by: accuracy, in [0, 1], less `LOG_LOSS_WEIGHT` times the log loss.

    Accuracy counts pictures that are right or wrong by a hair like all others; log loss, in nats, tells more
    of each, so both together mislead less.
    """
    return accuracy - LOG_LOSS_WEIGHT * log_loss


def check_predictions(labels: Labels, probabilities: Floats) -> None:
    """Raise an error unless the two arrays are N labels and N rows of probabilities that belong together.

    Args:
        labels: integers of shape (N,), N at least 1, each in [0, K).
        probabilities: floats of shape (N, K), in [0, 1], rows sum to 1; row i belongs to `labels[i]`.

    Raises:
        InputError: a shape, dtype or value is not as described.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or probabilities.size == 0:
        raise InputError(
            f"labels of shape {labels.shape} and probabilities of shape {probabilities.shape} were given, "
            "expected (N,) and (N, K) with at least one row",
            hint="give one label and one row of class probabilities for each picture",
        )
    if labels.dtype.kind not in "iu" or probabilities.dtype.kind != "f":
        raise InputError(
            f"labels of dtype {labels.dtype} and probabilities of dtype {probabilities.dtype} were given, "
            "expected integers and floats",
            hint="labels are class indices that start at 0",
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= probabilities.shape[1]:
        raise InputError(
            f"labels from {lowest} to {highest} were given with {probabilities.shape[1]} columns of "
            f"probabilities, expected labels from 0 to {probabilities.shape[1] - 1}",
            hint="labels are indices into the columns of the probabilities",
        )
    sums = probabilities.sum(axis=1, dtype=np.float64)
    # Written so that not-a-number fails too.
    if not (probabilities.min() >= 0 and np.abs(sums - 1).max() <= _SUM_TOLERANCE):
        raise InputError(
            f"probabilities with a smallest value of {probabilities.min():.4g} and row sums from "
            f"{sums.min():.4g} to {sums.max():.4g} were given, expected values in [0, 1] and sums of 1",
            hint="give probabilities, not logits: apply a softmax to each row first",
        )


def accuracy(labels: Labels, probabilities: Floats) -> float:
    """Return the share of rows whose largest probability is the label's, in [0, 1].

    Args:
        labels: integers of shape (N,), in [0, K).
        probabilities: floats of shape (N, K), rows sum to 1; of equal ones the first column counts.

    Raises:
        InputError: the arrays do not fit each other.
    """
    check_predictions(labels, probabilities)
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def confusion_matrix(labels: Labels, probabilities: Floats) -> Labels:
    """Return how often each class was taken for which: int64 of shape (K, K), row = true, column = predicted.

    Args:
        labels: integers of shape (N,), in [0, K).
        probabilities: floats of shape (N, K), rows sum to 1; the largest of a row is its prediction.

    Raises:
        InputError: the arrays do not fit each other.
    """
    check_predictions(labels, probabilities)
    num_classes = probabilities.shape[1]
    cells = labels.astype(np.int64) * num_classes + probabilities.argmax(axis=1)
    counts = np.bincount(cells, minlength=num_classes**2).astype(np.int64)
    return counts.reshape(num_classes, num_classes)


def balanced_accuracy(labels: Labels, probabilities: Floats) -> float:
    """Return the mean over the classes that occur among the labels of the share of them found, in [0, 1].

    Args:
        labels: integers of shape (N,), in [0, K).
        probabilities: floats of shape (N, K), rows sum to 1.

    Raises:
        InputError: the arrays do not fit each other.

    Source: Brodersen et al. 2010, "The balanced accuracy and its posterior distribution",
        https://doi.org/10.1109/ICPR.2010.764.
    """
    num_true, _, num_found = _class_counts(labels, probabilities)
    return float(balanced_accuracy_of_counts(num_true, num_found))


def macro_f1(labels: Labels, probabilities: Floats) -> float:
    """Return the mean of F1 over the classes that occur among labels or predictions, in [0, 1].

    A class that is only ever predicted, or never found, has an F1 of 0 and counts; one that occurs in neither
    does not count.

    Args:
        labels: integers of shape (N,), in [0, K).
        probabilities: floats of shape (N, K), rows sum to 1.

    Raises:
        InputError: the arrays do not fit each other.

    Source: Opitz and Burst 2019, "Macro F1 and Macro F1", https://arxiv.org/abs/1911.03347: the mean of F1
        scores, the more robust of the two definitions in use.
    """
    num_true, num_predicted, num_found = _class_counts(labels, probabilities)
    return float(macro_f1_of_counts(num_true, num_predicted, num_found))


def log_loss(labels: Labels, probabilities: Floats) -> float:
    """Return the mean of -log probability of the true class, in nats, from 0 to about 16.

    Args:
        labels: integers of shape (N,), in [0, K).
        probabilities: floats of shape (N, K), rows sum to 1; one below `SMALLEST_PROBABILITY` counts as that.

    Raises:
        InputError: the arrays do not fit each other.
    """
    check_predictions(labels, probabilities)
    return float(surprisals(labels, probabilities).mean())


def calibration_error(labels: Labels, probabilities: Floats) -> float:
    """Return how far confidence and accuracy lie apart, root mean squared, debiased, in [0, 1].

    The confidence is a row's largest probability. Pictures are put into bins of equal mass by confidence; the
    squared gap between mean confidence and accuracy of a bin has the variance of that accuracy subtracted,
    without which a perfectly calibrated model would seem the worse the fewer pictures there are.

    Args:
        labels: integers of shape (N,), in [0, K).
        probabilities: floats of shape (N, K), rows sum to 1.

    Raises:
        InputError: the arrays do not fit each other.

    Source: Kumar, Liang and Ma 2019, "Verified Uncertainty Calibration", https://arxiv.org/abs/1909.10155,
        section 5 (the debiased estimator), for the top label.
    """
    check_predictions(labels, probabilities)
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    bins, num_bins = confidence_bins(confidence)
    squared = squared_calibration_error(
        np.bincount(bins, minlength=num_bins),
        np.bincount(bins, weights=correct, minlength=num_bins),
        np.bincount(bins, weights=confidence, minlength=num_bins),
    )
    return float(np.sqrt(np.clip(squared, 0, 1)))


def surprisals(labels: Labels, probabilities: Floats) -> Float64s:
    """Return -log probability of each row's true class, clipped: float64 of shape (N,), in nats."""
    true = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)
    return np.abs(np.log(np.clip(true, SMALLEST_PROBABILITY, 1)))


def confidence_bins(confidence: Float64s) -> tuple[Labels, int]:
    """Return the bin of each confidence, int64 of shape (N,), and the number of bins, at least 1.

    The bins hold equally many pictures, save that equal confidences share a bin: so the order of the pictures
    does not matter. There are at most `MAX_BINS`, fewer where a bin would hold under `PICTURES_PER_BIN`.

    Args:
        confidence: float64 of shape (N,), in [0, 1].
    """
    num_bins = min(MAX_BINS, max(1, len(confidence) // PICTURES_PER_BIN))
    starts = np.arange(1, num_bins) * len(confidence) // num_bins
    edges = np.unique(np.sort(confidence)[starts])
    return np.searchsorted(edges, confidence, side="right").astype(np.int64), len(edges) + 1


def balanced_accuracy_of_counts(num_true: npt.ArrayLike, num_found: npt.ArrayLike) -> Float64s:
    """Return the mean share found over the classes that occur.

    Args:
        num_true: counts of shape (..., K): pictures of each class.
        num_found: counts of shape (..., K): those of them that were predicted as such.
    """
    true, found = np.asarray(num_true, np.float64), np.asarray(num_found, np.float64)
    occurs = true > 0
    shares = found / np.where(occurs, true, 1)
    return np.asarray(shares.sum(axis=-1) / occurs.sum(axis=-1))


def macro_f1_of_counts(
    num_true: npt.ArrayLike, num_predicted: npt.ArrayLike, num_found: npt.ArrayLike
) -> Float64s:
    """Return the mean of F1 over the classes that occur among labels or predictions.

    Args:
        num_true: counts of shape (..., K): pictures of each class.
        num_predicted: counts of shape (..., K): predictions of each class.
        num_found: counts of shape (..., K): pictures of the class that were predicted as such.
    """
    both = np.asarray(num_true, np.float64) + np.asarray(num_predicted, np.float64)
    occurs = both > 0
    scores = 2 * np.asarray(num_found, np.float64) / np.where(occurs, both, 1)
    return np.asarray(scores.sum(axis=-1) / occurs.sum(axis=-1))


def squared_calibration_error(
    counts: npt.ArrayLike, num_correct: npt.ArrayLike, confidence_sums: npt.ArrayLike
) -> Float64s:
    """Return the debiased mean squared gap between confidence and accuracy; below 0 by chance.

    Args:
        counts: pictures in each bin, of shape (..., B).
        num_correct: right predictions in each bin, of shape (..., B).
        confidence_sums: sum of the confidences in each bin, of shape (..., B).
    """
    n = np.asarray(counts, np.float64)
    share = np.asarray(num_correct, np.float64) / np.maximum(n, 1)
    gap = np.asarray(confidence_sums, np.float64) / np.maximum(n, 1) - share
    variance = share * (1 - share) / np.maximum(n - 1, 1)  # of `share`, unbiased
    return np.asarray((n * (gap**2 - variance)).sum(axis=-1) / n.sum(axis=-1))


def _class_counts(labels: Labels, probabilities: Floats) -> tuple[Labels, Labels, Labels]:
    """Return pictures, predictions and right predictions of each class, each of shape (K,)."""
    check_predictions(labels, probabilities)
    num_classes, predicted = probabilities.shape[1], probabilities.argmax(axis=1)
    found = labels[labels == predicted]
    num_true, num_predicted, num_found = (
        np.bincount(each, minlength=num_classes).astype(np.int64) for each in (labels, predicted, found)
    )
    return num_true, num_predicted, num_found
