"""From accuracies at a few numbers of training pictures to what more would bring, to all and to a class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.compare.advice_records import ClassOutlook, LearningCurve, Prediction
from headstart.compare.metric import Metric, picture_weights
from headstart.compare.power_law import NUM_DRAWS, Curves, Floats, fit_curves
from headstart.evaluate import Estimate, wilson

Integers = npt.NDArray[np.int64]

GROWTHS = (2, 4)
"""Predictions are made for this many times the pictures. Further out a curve says what one wants."""

# How far errors lie off the curve with every doubling away from all rows, and how far another draw of as many
# training pictures moves them: as a share of what a doubling changes, and at least as a share of the error.
# Ours, from simulations on digits and CIFAR-10, where draws moved the error by 0.16 to 0.23 of a doubling.
_WANDER, _DRAW, _CLASS_FACTOR = 0.15, 0.15, 1.5
_LEAST = 0.01
_CLASS_DRAWS = 1000  # of curves: there may be a thousand classes
_INDEPENDENT = 0.8  # the part of the pictures that tells the level; in the simulations the rest was missing
# As many right and as many wrong pictures are added, as in Jeffreys' interval: none wrong does not say much.
_ADDED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """Probes of one size.

    Attributes:
        size: rows that each was fitted on; the mean where they differ.
        errors: float64 of shape (R, V): how wrong each of R probes was on each picture, in [0, 1].
    """

    size: float
    errors: Floats


def describe_curve(
    measured: Sequence[Measured],
    labels: Integers,
    class_counts: Integers,
    *,
    metric: Metric = "accuracy",
    seed: int,
) -> LearningCurve:
    """Return the curve through what was measured.

    Args:
        measured: at least two sizes, ascending; the last is all rows.
        labels: int64 of shape (V,), of the pictures that were tried.
        class_counts: of shape (K,): training pictures of each class.
        metric: what the accuracies are.
        seed: of the draws.
    """
    weights = picture_weights(labels, metric)
    whole = _Group.of(measured, weights)
    curves = whole.curves(whole.doubling, guessing=1 - _guess(labels, weights), seed=seed)
    generator = np.random.default_rng(seed)
    return LearningCurve(
        metric=metric,
        sizes=tuple(round(each.size) for each in measured),
        accuracies=tuple(whole.accuracy(index) for index in range(len(measured))),
        num_draws=tuple(len(each.errors) for each in measured),
        exponent=_estimate(curves.exponents, n=len(measured)),
        floor=_estimate(curves.floors, n=len(measured)),
        predictions=tuple(_predict(whole, curves, growth, generator) for growth in GROWTHS),
        per_class=tuple(_outlooks(measured, labels, class_counts, curves, whole.doubling, generator)),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Group:
    """Measured errors of some pictures: all of them, or those of a class.

    Attributes:
        sizes: float64 of shape (M,).
        errors: of shape (M,): weighted means.
        covariance: of shape (M, M): by the choice of the pictures that were tried.
        num_draws: of shape (M,).
        num_pictures: V.
    """

    sizes: Floats
    errors: Floats
    covariance: Floats
    num_draws: Floats
    num_pictures: int

    @classmethod
    def of(cls, measured: Sequence[Measured], weights: Floats) -> "_Group":
        means = np.stack([each.errors.mean(axis=0) for each in measured])  # (M, V)
        errors = means @ weights / weights.sum()
        return cls(
            sizes=np.array([each.size for each in measured]),
            errors=errors,
            covariance=_covariance(means, weights),
            num_draws=np.array([float(len(each.errors)) for each in measured]),
            num_pictures=len(weights),
        )

    @property
    def positive_errors(self) -> Floats:
        """The errors with a bit of a right and a wrong picture more: above 0."""
        positive: Floats = (self.errors * self.num_pictures + _ADDED) / (self.num_pictures + 2 * _ADDED)
        return positive

    @property
    def doubling(self) -> float:
        """What a doubling changes the error by, as a share of it, on average over the sizes."""
        errors = self.positive_errors
        fall = abs(float(np.log(errors[0] / errors[-1])))
        return max(fall / float(np.log2(self.sizes[-1] / self.sizes[0])), _LEAST)

    def curves(
        self,
        steepness: float,
        *,
        guessing: float,
        start: Floats | None = None,
        usual: tuple[float, float] | None = None,
        num_draws: int = NUM_DRAWS,
        seed: int,
    ) -> Curves:
        """Return the curves that fit; errors are taken to be log-normal about them.

        So they are above 0, and a few mistakes among few pictures may mean many.

        Args:
            steepness: what a doubling changes the error by, as a share of it.
            guessing: error of a guess.
            start: as in `fit_curves`.
            usual: as in `fit_curves`.
            num_draws: how many curves are drawn.
            seed: of the draws.
        """
        errors = self.positive_errors
        relative = self.covariance / np.outer(errors, errors)
        shrink = np.sqrt(np.log1p(np.diag(relative)) / np.diag(relative))  # to the variances of logarithms
        covariance = relative * np.outer(shrink, shrink)
        middle = np.exp(np.log(errors) - np.diag(covariance) / 2)
        distance = np.log2(self.sizes[-1] / self.sizes)  # doublings away from all rows
        off = (_WANDER * steepness) ** 2 * np.minimum(distance[:, None], distance)
        drawn = np.diag((_DRAW * steepness) ** 2 / self.num_draws)
        return fit_curves(
            self.sizes,
            middle,
            covariance + off + drawn,
            guessing=guessing,
            start=start,
            usual=usual,
            num_draws=num_draws,
            seed=seed,
        )

    @property
    def num_effective(self) -> float:
        """As many equal pictures would be as uncertain: fewer than there are where they weigh differently."""
        plain = float(self.errors[-1] * (1 - self.errors[-1])) + _ADDED / self.num_pictures
        return float(np.clip(plain / self.covariance[-1, -1], 1, self.num_pictures))

    def last_errors(self, generator: np.random.Generator) -> Floats:
        """Return draws of the true error of the probe of all rows, by Jeffreys: float64 of shape (S,)."""
        # Whether it and its fall look small by chance is decided by the same pictures; the rest is for that.
        num, error = _INDEPENDENT * self.num_effective, float(np.clip(self.errors[-1], 0, 1))
        drawn: Floats = generator.beta(error * num + _ADDED, (1 - error) * num + _ADDED, NUM_DRAWS)
        return drawn

    def accuracy(self, index: int) -> Estimate:
        """Return the measured accuracy at a size with its interval."""
        value, num = float(np.clip(1 - self.errors[index], 0, 1)), self.num_effective
        ends = wilson(value * num, num)
        low, high = min(ends.low, value), max(ends.high, value)
        return Estimate(value=value, low=low, high=high, n=self.num_pictures, method="wilson")


def _covariance(means: Floats, weights: Floats) -> Floats:
    """Return the covariance of weighted means over the pictures, of shape (M, M).

    Half a picture that is right and half a one that is wrong for all are added: without them nothing would be
    uncertain where all pictures are right.

    Source: Brown, Cai and DasGupta 2001, https://doi.org/10.1214/ss/1009213286, section 3.1.3 (Jeffreys).
    """
    squares = np.append(np.square(weights / weights.mean()), [_ADDED, _ADDED])
    values = np.column_stack([means, np.zeros(len(means)), np.ones(len(means))])
    centred = values - np.average(values, axis=1, weights=np.sqrt(squares))[:, None]
    num = means.shape[1] + 2 * _ADDED
    covariance: Floats = (centred * squares) @ centred.T / num**2 + 1e-9 * np.eye(len(means))
    return covariance


def _guess(labels: Integers, weights: Floats) -> float:
    """Return how good it is to name the heaviest class for every picture, in (0, 1)."""
    shares = np.bincount(labels, weights=weights) / weights.sum()
    return min(float(shares.max()), 0.95)


def _predict(group: _Group, curves: Curves, growth: int, generator: np.random.Generator) -> Prediction:
    now, ratio = group.last_errors(generator), _ratios(curves, growth, group.doubling, generator)
    then = np.clip(now * ratio, 0, 1)
    return Prediction(
        growth=growth,
        num_train=round(growth * curves.size),
        accuracy=_estimate(1 - then, n=group.num_pictures),
        gain=_estimate(now - then, n=group.num_pictures),
    )


def _ratios(curves: Curves, growth: int, steepness: float, generator: np.random.Generator) -> Floats:
    """Return draws of the error with `growth` times the rows as a share of that with all: of shape (S,).

    The curves say by how much the error falls; where it is now is better known from what was measured there.
    """
    ratio = curves.errors_at(growth * curves.size) / curves.errors_at(curves.size)
    # Off the curve by the wandering, and by the draws of the training pictures now and then.
    spread = steepness * np.sqrt(_WANDER**2 * np.log2(growth) + 2 * _DRAW**2)
    drawn: Floats = ratio * np.exp(spread * generator.standard_normal(len(ratio)))
    return drawn


def _outlooks(
    measured: Sequence[Measured],
    labels: Integers,
    class_counts: Integers,
    curves: Curves,
    doubling: float,
    generator: np.random.Generator,
) -> Iterator[ClassOutlook]:
    """Yield what twice the pictures would do for each class that was tried.

    A class has few pictures, so its curve begins as one of all classes: their shapes, and an error as theirs
    are spread.
    """
    groups = {
        int(label): _Group.of(
            [Measured(size=each.size, errors=each.errors[:, labels == label]) for each in measured],
            np.ones(int(np.count_nonzero(labels == label))),
        )
        for label in np.unique(labels)
    }
    usual, steepness = _usual_error(list(groups.values())), _CLASS_FACTOR * doubling
    shift = 2 * np.sqrt(_class_variance(measured, labels))  # now and then; twice as much covers what was seen
    for label, group in groups.items():
        seed = int(generator.integers(2**31))
        found = group.curves(
            steepness,
            guessing=1.0,
            start=curves.weights,
            usual=usual,
            num_draws=_CLASS_DRAWS,
            seed=seed,
        )
        now, ratio = found.errors_at(found.size), _ratios(found, 2, steepness, generator)
        then = np.clip(now * ratio + shift * generator.standard_normal(len(now)), 0, 1)
        yield ClassOutlook(
            label=label,
            num_train=int(class_counts[label]),
            accuracy=group.accuracy(-1),
            gain=_estimate(now - then, n=group.num_pictures),
        )


def _class_variance(measured: Sequence[Measured], labels: Integers) -> float:
    """Return by how much the errors of classes vary with the draw of the training pictures, all of them.

    Classes take pictures from each other: which draw it is moves them more than all pictures together. It is
    seen where a size has several draws, the rest of the variance being that other pictures flip, and it falls
    as the rows grow more; by the root of their number, which is slower than for all pictures together.
    """
    counts, found = np.bincount(labels), []
    for each in measured:
        if len(each.errors) < 2:
            continue
        shares = np.stack([np.bincount(labels, weights=draw) for draw in each.errors]) / np.maximum(counts, 1)
        flips = np.bincount(labels, weights=each.errors.var(axis=0, ddof=1)) / np.maximum(counts, 1) ** 2
        between = (shares.var(axis=0, ddof=1) - flips)[counts > 0]
        found.append(float(between.mean()) * (each.size / measured[-1].size) ** 0.5)
    return max(float(np.mean(found)), 0.0) if found else 0.0


def _usual_error(groups: Sequence[_Group]) -> tuple[float, float]:
    """Return the mean error of the classes and how its logarithm is spread, what chance adds taken off."""
    errors = np.array([group.errors[-1] for group in groups])
    by_chance = np.mean([group.covariance[-1, -1] for group in groups])
    mean = max(float(errors.mean()), 1e-3)
    spread = max(float(errors.var()) - float(by_chance), (mean / 3) ** 2)
    return mean, float(np.sqrt(np.log1p(spread / mean**2)))


def _estimate(draws: Floats, *, n: int) -> Estimate:
    low, value, high = np.quantile(draws, (0.025, 0.5, 0.975)).tolist()
    return Estimate(value=value, low=low, high=high, n=n, method="learning curve")
