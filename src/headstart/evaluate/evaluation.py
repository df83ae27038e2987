"""From predictions to metrics with intervals."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart import metrics
from headstart.core.errors import InputError
from headstart.evaluate.intervals import bootstrap, wilson
from headstart.evaluate.records import Estimate, Evaluation

# ImageNet's pictures often show several things and have one label, so its challenges counted five guesses.
# Source: Russakovsky et al. 2015, https://arxiv.org/abs/1409.0575, section 4.1
_NUM_GUESSES = 5


def evaluate(probabilities: metrics.Floats, labels: npt.NDArray[np.int64], *, seed: int = 0) -> Evaluation:
    """Return how good predictions are: each metric with its 95 % interval.

    Args:
        probabilities: floats of shape (N, K), rows sum to 1; row i belongs to `labels[i]`.
        labels: int64 of shape (N,), the true classes, in [0, K), N at least 1.
        seed: of the bootstrap resamples; the same seed gives the same intervals.

    Raises:
        InputError: the arrays do not fit each other.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        >>> result = evaluate(probabilities, np.array([0, 1, 1, 1]))
        >>> result.accuracy.value, round(result.accuracy.low, 2), round(result.accuracy.high, 2)
        (0.75, 0.3, 0.95)
    """
    estimates = bootstrap(labels, probabilities, seed=seed)
    num_correct = int(np.count_nonzero(probabilities.argmax(axis=1) == labels))
    return Evaluation(
        accuracy=wilson(num_correct, len(labels)),
        balanced_accuracy=estimates.balanced_accuracy,
        macro_f1=estimates.macro_f1,
        log_loss=estimates.log_loss,
        calibration_error=estimates.calibration_error,
        n=len(labels),
        top5=_top5(labels, probabilities),
    )


def _top5(labels: npt.NDArray[np.int64], probabilities: metrics.Floats) -> Estimate | None:
    """Return the share of rows whose true class is among the five largest, None where no more are to choose.

    Of equal probabilities the first come first, as they do for accuracy.
    """
    num_classes = probabilities.shape[1]
    if num_classes <= _NUM_GUESSES:
        return None
    true = np.take_along_axis(probabilities, labels[:, None], axis=1)
    is_before = np.arange(num_classes) < labels[:, None]
    ranks = np.count_nonzero((probabilities > true) | ((probabilities == true) & is_before), axis=1)
    return wilson(int(np.count_nonzero(ranks < _NUM_GUESSES)), len(labels))


def mean_evaluation(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the mean of several evaluations of the same pictures: value, low and high each for itself.

    Repeats of a cross-validation predict the same N pictures, so the interval is that of N pictures, not of
    the repeats together.

    Raises:
        InputError: there are none, or they are of different numbers of pictures.
    """
    if len({each.n for each in evaluations}) != 1:
        raise InputError("a mean needs one or more evaluations of the same number of pictures")
    metrics_ = [field.name for field in fields(Evaluation) if field.name != "n"]
    means: dict[str, Any] = {
        name: _mean_estimate([getattr(each, name) for each in evaluations]) for name in metrics_
    }
    return Evaluation(**means, n=evaluations[0].n)


def _mean_estimate(estimates: Sequence[Estimate | None]) -> Estimate | None:
    known = [each for each in estimates if each is not None]
    if not known:
        return None
    value, low, high = (
        float(np.mean([getattr(each, name) for each in known])) for name in ("value", "low", "high")
    )
    return replace(known[0], value=value, low=min(low, value), high=max(high, value))
