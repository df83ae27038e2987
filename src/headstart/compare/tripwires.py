"""Tripwires: figures that look like a mistake of the protocol, named in words with the likely cause.

A failure of the protocol reads like a property of the network: 34.90 % for a ResNet-50 that gives 93 % where
it is used rightly. What is asked here is whether a candidate's figures are those of a network that works at
all. An alarm changes nothing: neither ranking nor choice.
"""

from collections.abc import Callable
from math import hypot, sqrt

import numpy as np
import numpy.typing as npt

from headstart.catalog.entry import Preprocessing
from headstart.compare.baseline import Baseline
from headstart.compare.records import Alarm
from headstart.compare.signs import Signs
from headstart.evaluate.intervals import critical_value, wilson
from headstart.evaluate.paired import paired_difference

CONFIDENCE = 0.99
"""Of the intervals that a candidate must be outside of: a comparison of 50 asks 50 times."""
FEWEST_PICTURES = 30
"""Below so many predicted pictures even a good probe can hardly be told from guessing."""
NEIGHBOURS_MARGIN = 0.05
"""So far above the probe the neighbours are surely to be; in right use they were 5 to 9 points below it."""
TRAIN_MARGIN = 0.03
"""So far below validation accuracy that on the training pictures is surely to be. A probe is nearly always
better on what it was fitted on."""
MAX_CONSTANT = 0.9
"""Share of constant features above which a network hardly looks at the pictures: 0 to 0.2 in right use, 0.3
to 0.9 at 32 px."""
MAX_IDENTICAL = 0.1
"""Share of different pictures with the very same features; some blank ones in many formats are no mistake."""
MAX_DRIFT = 1.05
"""In running standard deviations, see `headstart.models.drift`.

Measured on EfficientNet-Lite0 to 2 with photographs, CIFAR-10, digits and drawings. In right use at 96 px or
more: 0.2 to 0.9, at 64 px up to 1.0. At 32 px: 1.06 to 2.0; levels of 0..255 that were not scaled: 6 or more;
statistics that drifted on other data: mostly 2 to 3. Mean and std of another network, or colours in another
order, do not show: 0.1 to 1.3."""
MAX_MOVED = 1e-3
"""In the same unit: half a step of one training pass moves more, rounding to half precision less."""
MIN_SIDE = 48
"""Of the input, in pixels. EfficientNet-Lite0, made for 224, is right on 40 % of CIFAR-10 at 32 px, where one
place is left at its end, on 60 % at 48, 64 % at 64 and 75 % at 128: probes on 1,200 pictures."""
SMALL_SHARE = 0.5
"""A side below `MIN_SIDE` is a mistake only for weights that were made for twice as much or more."""
MAX_GREY_LEVELS = 4.0
"""By how many of the levels 0..255 two records may differ on which is zero: published means are rounded."""
MAX_SCALE = 0.05
"""By which part two records may differ on the scale of the levels, likewise."""


def find_alarms(signs: Signs) -> tuple[Alarm, ...]:
    """Return what looks like a mistake, likely causes before effects; nothing where nothing is known."""
    found = [check(signs) for check in _CHECKS]
    return tuple(alarm for alarm in found if alarm is not None)


def _preprocessing(signs: Signs) -> Alarm | None:
    used, native = signs.preprocessing, signs.native
    if used is None or native is None:
        return None
    differences = _list_differences(used, native)
    if not differences:
        return None
    return Alarm(
        name="wrong-preprocessing",
        text="The pictures are prepared in another way than the weights were trained with: "
        f"{'; '.join(differences)}.",
        cause="The network gets other numbers for the same picture than it learned from. Use the "
        "preprocessing that comes with the weights; if you set it yourself, take your setting out.",
    )


def _list_differences(used: Preprocessing, native: Preprocessing) -> list[str]:
    """Return in words how two preprocessings differ, but for size, fit and crop, which anyone may choose."""
    found = []
    if used.input_space != native.input_space:
        found.append(f"colours in the order {used.input_space} instead of {native.input_space}")
    if not _same_numbers(used, native):
        found.append(f"{_numbers(used)} instead of {_numbers(native)}")
    if used.interpolation != native.interpolation:
        found.append(f"resized by {used.interpolation} instead of {native.interpolation} filtering")
    return found


def _same_numbers(used: Preprocessing, native: Preprocessing) -> bool:
    """Say whether a grey level becomes the same number, in whatever units the two records say it."""
    zero, scale = _levels(used)
    native_zero, native_scale = _levels(native)
    if scale.shape != native_scale.shape:
        return False
    near = np.abs(zero - native_zero).max() <= MAX_GREY_LEVELS
    return bool(near and np.abs(np.log(scale / native_scale)).max() <= MAX_SCALE)


def _levels(each: Preprocessing) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return of each channel, red first, which of the levels 0..255 becomes 0, and how many levels are 1."""
    low, high = each.input_range
    mean, std = np.asarray(each.mean, np.float64), np.asarray(each.std, np.float64)
    step = 1 if each.input_space == "RGB" else -1
    levels = 255 / (high - low)
    return ((mean - low) * levels)[::step], (std * levels)[::step]


def _numbers(each: Preprocessing) -> str:
    low, high = each.input_range
    mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (each.mean, each.std))
    return f"levels in {low:g}..{high:g} with mean {mean} and std {std}"


def _small_input(signs: Signs) -> Alarm | None:
    used, native = signs.preprocessing, signs.native
    if used is None or native is None:
        return None
    side, own = min(used.input_size), min(native.input_size)
    if side >= MIN_SIDE or side > own * SMALL_SHARE:
        return None
    return Alarm(
        name="tiny-input",
        text=f"Pictures of {side} x {side} pixels go into a network that was made for {own} x {own}.",
        cause="Most networks shrink a picture 32 times on its way: of this one a single place is left, and "
        f"features are far from what the weights were trained for. Enlarge the pictures: --resolution "
        f"{min(own, 128)} or native, however small the files are.",
    )


def _training(signs: Signs) -> Alarm | None:
    if not signs.is_training:
        return None
    return Alarm(
        name="training-mode",
        text="Part of the network was in training mode while features were computed.",
        cause="Batch norms then use and change their statistics with every batch, and dropout leaves out "
        "features at random. Call .eval() on the network before it is used.",
    )


def _moved(signs: Signs) -> Alarm | None:
    if signs.moved is None or signs.moved <= MAX_MOVED or signs.batch_norm != "pretrained":
        return None
    return Alarm(
        name="changed-network",
        text="The network is no longer the one whose weights were loaded: the statistics in its batch norms "
        "or its weights have changed.",
        cause="It was run in training mode, which moves the statistics of frozen batch norms too. Load it "
        "again and keep it in .eval(). Statistics of your own pictures are an option of their own: "
        "--batch-norm reestimated.",
    )


def _drifting(signs: Signs) -> Alarm | None:
    if signs.drift is None or signs.drift <= MAX_DRIFT:
        return None
    return Alarm(
        name="batch-norm-drift",
        text=f"In at least one layer the channels lie {signs.drift:.1f} standard deviations from the "
        f"statistics that its batch norm was trained with; up to {MAX_DRIFT:g} occurs in right use.",
        cause="The pictures reach the network in another way than in its training (a wrong range of values, "
        "an input much too small), its statistics were changed by training on other data, or the pictures "
        "are unlike any photograph. Check the preprocessing and the resolution, and try "
        "--batch-norm pretrained,reestimated.",
    )


def _constant(signs: Signs) -> Alarm | None:
    facts = signs.features
    if facts is None or facts.constant <= MAX_CONSTANT:
        return None
    return Alarm(
        name="constant-features",
        text=f"{facts.constant:.0%} of the {facts.num_features:,} features are the same for every picture.",
        cause="The network hardly looks at the pictures: weights that were not loaded or are damaged, values "
        "in a wrong range, or pictures that are all blank.",
    )


def _identical(signs: Signs) -> Alarm | None:
    facts = signs.features
    if facts is None or facts.identical <= MAX_IDENTICAL:
        return None
    return Alarm(
        name="identical-features",
        text=f"{facts.identical:.0%} of the {facts.num_pictures:,} pictures have exactly the features of "
        "another picture, though their files differ.",
        cause="What tells the pictures apart gets lost before the features: an input much too small, values "
        "cut off by a wrong range, damaged weights. Or the pictures are the same, saved again: look at some.",
    )


def _not_finite(signs: Signs) -> Alarm | None:
    facts = signs.features
    if facts is None or not facts.not_finite:
        return None
    return Alarm(
        name="not-finite",
        text=f"{facts.not_finite:.1%} of the pictures have features that are infinite or not a number.",
        cause="Damaged weights, or a precision in which this network overflows: try --precision fp32.",
    )


def _at_chance(signs: Signs) -> Alarm | None:
    correct, labels, probabilities = signs.correct, signs.labels, signs.probabilities
    if correct is None or labels is None or probabilities is None or len(correct) < FEWEST_PICTURES:
        return None
    majority = float(np.bincount(labels).max()) / len(labels)
    accuracy = wilson(float(correct.sum()), len(correct))
    # With one large class accuracy says little: what is found of the small ones counts too.
    if accuracy.low > majority or _agrees(labels, probabilities.mean(axis=0).argmax(axis=1)):
        return None
    return Alarm(
        name="at-chance",
        text=f"{accuracy.value:.1%} of {len(correct):,} validation pictures are right (95 % interval "
        f"{accuracy.low:.1%} to {accuracy.high:.1%}). Naming the commonest class every time gives "
        f"{majority:.1%}.",
        cause="Nothing was learned: labels that do not belong to their pictures, weights that were not "
        "loaded, or pictures that reach the network in a wrong way. If other models do better, it is this "
        "one; if none does, look at the labels first.",
    )


def _agrees(labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]) -> bool:
    """Say whether predictions agree with the labels more than the same predictions dealt out at random.

    Source: mean and variance of the number of agreements over all permutations, Hoeffding 1951, "A
        Combinatorial Central Limit Theorem", https://doi.org/10.1214/aoms/1177729545.
    """
    num, size = len(labels), int(max(labels.max(), predicted.max())) + 1
    true, named = np.bincount(labels, minlength=size) / num, np.bincount(predicted, minlength=size) / num
    expected = float(true @ named)
    deviation = np.eye(size) - named[:, None] - true[None, :] + expected  # (K of true, K of named)
    variance = num**2 / (num - 1) * float(true @ deviation**2 @ named)
    excess = float((labels == predicted).sum()) - num * expected
    return excess > critical_value(0.95) * sqrt(max(variance, 0.0)) and excess > 0


def _below_pixels(signs: Signs) -> Alarm | None:
    pair = _surely_behind(signs, signs.pixels, margin=0.0)
    if pair is None:
        return None
    other, own = pair
    return Alarm(
        name="below-pixels",
        text=f"A probe on the pictures shrunk to 8 x 8 pixels is right on {other.mean():.1%}, on the "
        f"features of this network on {own.mean():.1%}, of the same {len(own):,} pictures.",
        cause="The features tell less than a few colours do: the pictures reach the network in a wrong way "
        "(normalisation, size), or its weights were not loaded. Or the classes differ in colour or place "
        "alone, which a network for photographs does not look at.",
    )


def _below_neighbours(signs: Signs) -> Alarm | None:
    pair = _surely_behind(signs, signs.neighbours, margin=NEIGHBOURS_MARGIN)
    if pair is None:
        return None
    other, own = pair
    return Alarm(
        name="below-neighbours",
        text=f"The nearest neighbours in the features are right on {other.mean():.1%}, the probe on the same "
        f"features on {own.mean():.1%}, of the same {len(own):,} pictures.",
        cause="The features are good and the classifier on them is not: its training did not get to the end, "
        "or its regularisation is far off. Or near copies of the training pictures are among the validation "
        "pictures: headstart check DATA finds them.",
    )


def _below_validation(signs: Signs) -> Alarm | None:
    correct, train = signs.correct, signs.train_correct
    if correct is None or train is None or min(len(correct), len(train)) < FEWEST_PICTURES:
        return None
    seen = wilson(float(np.sum(train)), len(train), confidence=CONFIDENCE)
    other = wilson(float(correct.sum()), len(correct), confidence=CONFIDENCE)
    # The lower end of method 10 of Newcombe 1998, "Interval estimation for the difference between independent
    # proportions", Statistics in Medicine 17(8), 873-890.
    low = other.value - seen.value - hypot(other.value - other.low, seen.high - seen.value)
    if low <= TRAIN_MARGIN:
        return None
    return Alarm(
        name="below-validation",
        text=f"The probe is right on {seen.value:.1%} of the {len(train):,} pictures that it was fitted on, "
        f"and on {other.value:.1%} of the {len(correct):,} that it never saw.",
        cause="It should be the other way round. Training and validation pictures went different ways (a "
        "network in training mode, augmentation), or the labels of the training part are worse: "
        "headstart check DATA lists doubtful ones.",
    )


def _surely_behind(
    signs: Signs, baseline: Baseline | None, *, margin: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Return how right a baseline and the candidate are on the same pictures.

    None where the candidate is not behind by more than the margin beyond doubt, or where that cannot be told.
    """
    if baseline is None or signs.correct is None or len(baseline.rows) < FEWEST_PICTURES:
        return None
    other, own = baseline.correct, signs.correct[baseline.rows]
    difference = paired_difference(other, own, confidence=CONFIDENCE)
    return (other, own) if difference.low > margin else None


_CHECKS: tuple[Callable[[Signs], Alarm | None], ...] = (
    _preprocessing,
    _small_input,
    _training,
    _moved,
    _drifting,
    _not_finite,
    _constant,
    _identical,
    _at_chance,
    _below_pixels,
    _below_neighbours,
    _below_validation,
)
"""Likely causes first."""
