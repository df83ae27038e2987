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


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptShare:
    """What a threshold on the confidence keeps.

    Attributes:
        threshold: a prediction is kept when its largest probability is at least this, in [0, 1].
        coverage: share of the pictures that are kept, in [0, 1].
        accuracy: of those that are kept, in [0, 1].
    """

    threshold: float
    coverage: Estimate
    accuracy: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Below which confidence a model's answer is "unknown", and what that buys.

    Attributes:
        target: accuracy that the kept predictions are to reach, in [0, 1].
        risk: chance, at most, that on new pictures like these they do not reach it.
        kept: what the threshold keeps of the validation pictures that it was chosen on; None where none
            could be shown to reach the target.
        tested: what it keeps of the locked test pictures, which had no say in it; None without any.
        curve: from the highest threshold to 0, at most 100: what each would keep of the validation pictures.
    """

    target: float
    risk: float
    kept: KeptShare | None
    tested: KeptShare | None = None
    curve: tuple[KeptShare, ...] = ()

    @property
    def threshold(self) -> float | None:
        """The threshold, in [0, 1]; None where none could be shown to reach the target."""
        return None if self.kept is None else self.kept.threshold
