"""The records of evaluation: a value never travels without its interval and its count."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measured value with its 95 % interval.

    Attributes:
        value: the point estimate.
        low: lower end of the interval, at most `value`.
        high: upper end, at least `value`.
        n: number of pictures it rests on.
        method: how the interval was made: "wilson", "bootstrap", "corrected" (see `corrected_best`) or
            "repeated" (see `repeated_accuracy`).
    """

    value: float
    low: float
    high: float
    n: int
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How good a set of predictions is, each metric an `Estimate`.

    Attributes:
        accuracy: share of right predictions, in [0, 1], Wilson interval.
        balanced_accuracy: mean over the classes of the share found, in [0, 1].
        macro_f1: mean over the classes of F1, in [0, 1].
        log_loss: mean of -log probability of the true class, in nats.
        calibration_error: debiased expected calibration error, in [0, 1].
        n: number of pictures.
        top5: share whose true class is among the five most probable, in [0, 1], Wilson interval; None where
            there are no more than five classes.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    log_loss: Estimate
    calibration_error: Estimate
    n: int
    top5: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """Accuracy of one model minus that of another on the same pictures.

    Attributes:
        value: the difference, in [-1, 1].
        low: lower end of the interval.
        high: upper end.
        confidence: of the interval, after the correction for multiplicity: 0.975 for two comparisons at 95 %.
        n: number of pictures.
    """

    value: float
    low: float
    high: float
    confidence: float
    n: int
