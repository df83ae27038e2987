"""Whether training the whole network, not only a layer behind it, is likely to pay: a rule of thumb.

Nothing is fine-tuned here. The facts are by-products of the comparison, and what they are taken to mean is
from studies of other data sets, so the verdict is modest and "unclear" is a common one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["likely", "unclear", "unlikely"]

CAVEAT = (
    "This is a rule of thumb from how the features behave and from studies of other data sets; nothing was "
    "fine-tuned. Fine-tuning may also make a model worse on pictures unlike those it was tuned on."
)
"""Source: Kumar et al. 2022, https://arxiv.org/abs/2202.10054: over 10 data sets fine-tuning was on average
2 % better than a probe on pictures like those of training and 7 % worse on shifted ones; a probe first and
fine-tuning from there (LP-FT) was better than both."""

# The numbers below are ours; the studies show the direction, not where a line lies.
_LITTLE_ERROR, _MUCH_ERROR = 0.02, 0.1
_UNFITTED = 0.05  # of the training pictures a probe that has what it needs gets right
_FEW, _ENOUGH = 20, 100  # training pictures a class, the median one
_FAR_NEIGHBOURS = 0.1  # a probe so much better than nearest neighbours
_SMALL_INPUT = 0.6  # of the side that the weights were trained with
_FLAT_GAIN = 0.01  # of twice the pictures, at most, where the curve is called flat
_SURE = 2  # points that settle it


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuningFacts:
    """What a comparison knows of a candidate without tuning it. None where it does not.

    Attributes:
        accuracy: of the probe on validation pictures, in [0, 1].
        train_accuracy: of the same probe on the pictures it was fitted on.
        pictures_per_class: training pictures of the median class.
        neighbours_accuracy: of nearest neighbours with the same features, on the validation pictures.
        resolution_share: side of the input as a share of the side that the weights were trained with.
        gain_of_double: most that twice the pictures would gain by the learning curve (upper end), in [-1, 1].
        gain_of_batch_norm: what re-estimated batch norms gained, where both were tried.
    """

    accuracy: float
    train_accuracy: float
    pictures_per_class: float
    neighbours_accuracy: float | None = None
    resolution_share: float | None = None
    gain_of_double: float | None = None
    gain_of_batch_norm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuningOutlook:
    """Whether fine-tuning is likely to pay.

    Attributes:
        verdict: "likely", "unclear" or "unlikely".
        reasons: what speaks for it and against it, a sentence each.
        caveat: what the verdict is worth.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    caveat: str = CAVEAT


def fine_tuning_outlook(facts: FineTuningFacts) -> FineTuningOutlook:
    """Return whether fine-tuning is likely to pay, with the reasons.

    Each fact speaks for it or against it with one or two points; from two on in one direction it is called
    likely or unlikely. With hardly an error left it is unlikely whatever else there is.

    Source: Kornblith, Shlens and Le 2019, https://arxiv.org/abs/1805.08974: fine-tuning beat the probe most
        where the probe was worst (fine-grained classes, small pictures) and least on data sets like ImageNet.
        He et al. 2022, https://arxiv.org/abs/2111.06377, section 4.3: weights with poor linear and
        nearest-neighbour results can tune well. Nado et al. 2020, https://arxiv.org/abs/2006.10963: batch
        norms that want other statistics show pictures from elsewhere. How much each counts is ours and was
        not validated.
    """
    found = list(_weighed(facts))
    total = sum(points for points, _ in found)
    verdict: Verdict = "likely" if total >= _SURE else "unlikely" if total <= -_SURE else "unclear"
    if 1 - facts.accuracy <= _LITTLE_ERROR:
        verdict = "unlikely"
    return FineTuningOutlook(verdict=verdict, reasons=tuple(reason for _, reason in found))


def _weighed(facts: FineTuningFacts) -> Iterator[tuple[int, str]]:
    """Yield points for (above 0) or against fine-tuning, and why."""
    yield from _of_the_error(facts)
    yield from _of_the_pictures(facts)
    yield from _of_the_features(facts)


def _of_the_error(facts: FineTuningFacts) -> Iterator[tuple[int, str]]:
    error, unfitted = 1 - facts.accuracy, 1 - facts.train_accuracy
    if error <= _LITTLE_ERROR:
        yield -2, f"Against: only {100 * error:.1f} % of the pictures are wrong; there is little to gain."
    elif error >= _MUCH_ERROR:
        yield 1, f"For: {100 * error:.0f} % of the pictures are wrong; there is something to gain."
    if unfitted >= _UNFITTED and unfitted >= error / 3:
        yield (
            2,
            f"For: the probe does not even fit {100 * unfitted:.0f} % of its own training pictures, so the "
            "features lack something.",
        )
    elif unfitted < _UNFITTED and error >= _MUCH_ERROR:
        yield (
            -1,
            "Against: the probe fits its training pictures and misses new ones; a whole network fits them "
            "still more easily.",
        )


def _of_the_pictures(facts: FineTuningFacts) -> Iterator[tuple[int, str]]:
    num = facts.pictures_per_class
    if num < _FEW:
        yield -2, f"Against: {num:.0f} training pictures of a typical class are few to tune a network on."
    elif num >= _ENOUGH:
        yield 1, f"For: {num:.0f} training pictures of a typical class are enough to tune on."
    if facts.gain_of_double is not None and facts.gain_of_double <= _FLAT_GAIN < 1 - facts.accuracy:
        yield (
            1,
            "For: twice the pictures would gain the probe at most "
            f"{100 * max(0.0, facts.gain_of_double):.1f} points, so its limit is the features.",
        )


def _of_the_features(facts: FineTuningFacts) -> Iterator[tuple[int, str]]:
    near = facts.neighbours_accuracy
    if near is not None and facts.accuracy - near >= _FAR_NEIGHBOURS:
        yield (
            1,
            f"For: nearest neighbours are {100 * (facts.accuracy - near):.0f} points behind the probe; the "
            "features were not made for what sets these classes apart.",
        )
    if facts.resolution_share is not None and facts.resolution_share <= _SMALL_INPUT:
        yield (
            1,
            f"For: the network sees pictures of {100 * facts.resolution_share:.0f} % of the side it was "
            "trained with, and can learn to (a higher --resolution may do as well).",
        )
    if facts.gain_of_batch_norm is not None and facts.gain_of_batch_norm >= _FLAT_GAIN:
        yield (
            1,
            f"For: re-estimated batch norms gain {100 * facts.gain_of_batch_norm:.1f} points: the pictures "
            "are unlike those of the pretraining.",
        )
