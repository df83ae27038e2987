"""What a comparison tells beside its ranking: what else could be had, and what more pictures would do."""

from dataclasses import dataclass

from headstart.compare.fine_tuning import FineTuningOutlook
from headstart.compare.metric import Metric, MetricChoice
from headstart.evaluate.records import Estimate, PairedDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is to be expected of more pictures of the same kind, every class in its share.

    Attributes:
        growth: how many times the pictures.
        num_train: pictures to train on, then.
        accuracy: by the curve's metric, in [0, 1], of a probe trained on them, on new pictures.
        gain: that less the accuracy on all pictures there are, in [-1, 1]; more certain than either.
    """

    growth: int
    num_train: int
    accuracy: Estimate
    gain: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassOutlook:
    """What twice the pictures of every class would do for one of them.

    Attributes:
        label: index of the class.
        num_train: its pictures to train on.
        accuracy: share of its pictures that are found now, in [0, 1].
        gain: how much larger that share would be, in [-1, 1].
    """

    label: int
    num_train: int
    accuracy: Estimate
    gain: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """Accuracy by the number of training pictures, measured, and predicted for more.

    Attributes:
        metric: what "accuracy" is here: "accuracy" or "balanced_accuracy".
        sizes: M numbers of training pictures, ascending, the last is all.
        accuracies: M measured ones, on the same pictures.
        num_draws: M numbers: how many parts of each size were tried.
        exponent: of the falling part of the error: the middle of those that fit, with their 95 % interval; n
            is the number of sizes.
        floor: error that no number of pictures takes away, as far as the sizes can tell, likewise.
        predictions: for twice and four times the pictures.
        per_class: those of the K classes that occur among the pictures tried, in the order of the labels.
    """

    metric: Metric
    sizes: tuple[int, ...]
    accuracies: tuple[Estimate, ...]
    num_draws: tuple[int, ...]
    exponent: Estimate
    floor: Estimate
    predictions: tuple[Prediction, ...]
    per_class: tuple[ClassOutlook, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOff:
    """One candidate instead of another.

    Attributes:
        model: name of the one that could be taken.
        instead_of: name of the one it would replace.
        difference: accuracy of `instead_of` minus that of `model`, paired, 95 %: what the exchange costs.
        speed_ratio: how many times as fast `model` is, by its latency; above 0.
        size_ratio: how many times as many parameters `instead_of` has; above 0.
    """

    model: str
    instead_of: str
    difference: PairedDifference
    speed_ratio: float
    size_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoRow:
    """One candidate of the table of what can be had for what.

    Attributes:
        name: of the row.
        accuracy: by the comparison's metric, in [0, 1], on the validation pictures.
        latency_ms: of one picture, in milliseconds.
        pictures_per_second: as measured, None where it was not.
        num_params: number of parameters.
        license: of the weights; "" when unknown.
        on_front: whether no other candidate is both faster and more accurate, or one and as good in the
            other.
        as_good: the fastest candidate that is notably faster and not significantly less accurate (paired,
            95 %); "" when there is none. So a place on the front may be owed to chance.
    """

    name: str
    accuracy: Estimate
    latency_ms: float
    pictures_per_second: float | None
    num_params: int
    license: str
    on_front: bool
    as_good: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a comparison tells beside its ranking.

    Attributes:
        metric: what the candidates were ranked by, and why.
        corrected: the chosen candidate's validation accuracy without the luck of having been the best of
            many; None where they were ranked by another metric.
        pareto: all candidates that ran in full: accuracy, time, size and licence.
        trade_offs: alternatives to the chosen one that are worth a sentence.
        learning_curve: of the chosen one; None where the pictures are too few for one.
        fine_tuning: whether it is likely to pay; None where it is not known how right the probe is on the
            pictures it was trained on.
    """

    metric: MetricChoice
    corrected: Estimate | None
    pareto: tuple[ParetoRow, ...]
    trade_offs: tuple[TradeOff, ...]
    learning_curve: LearningCurve | None
    fine_tuning: FineTuningOutlook | None
