"""Which metric fits somebody's classes, and what each picture adds to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Metric: TypeAlias = Literal["accuracy", "balanced_accuracy"]

MAX_RATIO = 3.0
"""Where the largest class has more than this many times the pictures of the smallest, classes count alike.

At 3 to 1, naming the larger of two classes for every picture is right on 75 % of them; balanced accuracy says
50 %. The number is ours: nobody has a sharp one, and near it the two metrics hardly differ. Data sets with
larger ratios (Caltech-101: 26, Flowers: 6) are customarily scored by the mean over the classes, as in
Kornblith, Shlens and Le 2019, https://arxiv.org/abs/1805.08974, table 1.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChoice:
    """What candidates are ranked by.

    Attributes:
        metric: field of `Evaluation`.
        reason: why, in one sentence.
    """

    metric: Metric
    reason: str


def choose_metric(class_counts: Sequence[int]) -> MetricChoice:
    """Return the metric that fits the classes' sizes, with the reason.

    Args:
        class_counts: pictures of each of the K classes, of all parts together; classes without any do not
            count.
    """
    counts = sorted(int(count) for count in class_counts if count > 0)
    if not counts or counts[-1] <= MAX_RATIO * counts[0]:
        return MetricChoice(metric="accuracy", reason=_reason_for_accuracy(counts))
    ratio = counts[-1] / counts[0]
    share = counts[-1] / sum(counts)
    return MetricChoice(
        metric="balanced_accuracy",
        reason=(
            "Ranked by balanced accuracy, in which every class counts alike: the largest class has "
            f"{_times(ratio)} times the pictures of the smallest ({counts[-1]:,} and {counts[0]:,}), and "
            f"naming it for every picture would be right on {100 * share:.0f} % of them."
        ),
    )


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


def _reason_for_accuracy(counts: Sequence[int]) -> str:
    text = "Ranked by accuracy, the share of pictures that are right: "
    if not counts or counts[0] == counts[-1]:
        return f"{text}all classes have the same number of pictures."
    return f"{text}no class has more than {MAX_RATIO:.0f} times the pictures of another."


def picture_weights(labels: npt.NDArray[np.int64], metric: Metric) -> npt.NDArray[np.float64]:
    """Return how much each picture counts: float64 of shape (N,), above 0, with a mean of 1.

    Args:
        labels: int64 of shape (N,), at least 0; classes that do not occur do not count.
        metric: which mean the pictures are to make.
    """
    if metric == "accuracy":
        return np.ones(len(labels))
    counts = np.bincount(labels)
    weights: npt.NDArray[np.float64] = len(labels) / (np.count_nonzero(counts) * counts[labels])
    return weights


def per_picture_credit(
    correct: npt.ArrayLike, labels: npt.NDArray[np.int64], metric: Metric
) -> npt.NDArray[np.float64]:
    """Return what each picture adds: float64 of shape (..., N), whose mean over N is the metric.

    A value is above 1 where a picture of a small class is right. `weighted_difference` takes `correct` and
    `picture_weights` apart, for its intervals need to know both.

    Args:
        correct: of shape (..., N), how right the prediction of each picture is: 0 or 1, or an average.
        labels: int64 of shape (N,), the true classes.
        metric: which mean they are to make.
    """
    return np.asarray(correct, np.float64) * picture_weights(labels, metric)
