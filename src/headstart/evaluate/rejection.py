"""When to say "unknown": the smallest confidence at which what is kept is accurate enough, beyond doubt."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from headstart import metrics
from headstart.core.errors import InputError
from headstart.evaluate.intervals import wilson
from headstart.evaluate.records import KeptShare, Rejection

Floats = npt.NDArray[np.float64]

RISK = 0.05
"""Chance, at most, that the kept predictions miss their target on new pictures."""

HIGHEST_TARGET = 0.99
"""Target where half the mistakes would be fewer than 1 in 100: more takes many hundred pictures to show."""

_STARTS = (0.25, 0.5, 0.75)  # of the pictures, the surest ones: where a sequence of tests begins
_DECIMALS = 10_000  # thresholds are multiples of 1 / this, so that they can be told and typed
_MAX_POINTS = 100  # of the curve


def choose_rejection(
    labels: metrics.Labels,
    probabilities: metrics.Floats,
    *,
    target: float | None = None,
    risk: float = RISK,
) -> Rejection:
    """Return the smallest threshold whose kept predictions reach a target accuracy, and what it keeps.

    Thresholds are tested from high to low: can the accuracy of what is kept still be below the target (the
    exact binomial test)? The first that may be ends the sequence, so that one error rate serves for all of
    them. There are three sequences, which begin where a quarter, half and three quarters of the pictures
    are kept, and share the error rate: one alone would often end at once, on a mistake among the few surest.

    Unless it is given, the target is half the mistakes: 0.95 for a model that is right on 0.9 of the
    pictures. It then comes from the same pictures as the threshold, which no theorem covers; in simulations
    (tests/evaluate/test_rejection.py) the kept missed it at most as often as `risk`, for chance mistakes
    raise the target's error and the kept pictures' alike.

    Args:
        labels: int64 of shape (N,), in [0, K), of pictures that the model was not fitted on.
        probabilities: floats of shape (R, N, K), calibrated as they will be in use: R predictions of the same
            pictures, which count for one; R is 1 with a validation part.
        target: accuracy that the kept ones are to reach, in (0, 1); None for half the mistakes, but at most
            `HIGHEST_TARGET`.
        risk: chance, at most, that they do not, in (0, 1).

    Raises:
        InputError: the arrays do not fit each other, or a number is out of its range.

    Source: Angelopoulos et al. 2021, "Learn then Test", https://arxiv.org/abs/2110.01052: fixed-sequence
        testing, and several starts that share the error rate. Geifman and El-Yaniv 2017,
        https://arxiv.org/abs/1705.08500: the binomial bound on what a threshold keeps.
    """
    for repeat in probabilities:
        metrics.check_predictions(labels, repeat)
    correct = probabilities.argmax(axis=2) == labels  # (R, N)
    if target is None:
        target = min(HIGHEST_TARGET, (1 + float(correct.mean())) / 2)
    if not (0 < target < 1 and 0 < risk < 1):
        raise InputError(f"a target of {target} at a risk of {risk} was asked for, expected both in (0, 1)")
    steps = _Steps.of(probabilities.max(axis=2), correct)
    passed = steps.chance_below(target) <= risk / len(_STARTS)
    lowest = max(_end_of_run(passed, steps.first_keeping(share)) for share in _STARTS)
    shares = np.linspace(1 / _MAX_POINTS, 1, _MAX_POINTS)
    shown = dict.fromkeys(steps.first_keeping(share) for share in shares)
    return Rejection(
        target=target,
        risk=risk,
        kept=steps.kept_share(lowest) if lowest >= 0 else None,
        curve=tuple(steps.kept_share(step) for step in shown),
    )


def kept_share(labels: metrics.Labels, probabilities: metrics.Floats, threshold: float) -> KeptShare | None:
    """Return what a threshold keeps of N pictures, None where it keeps nothing.

    Args:
        labels: int64 of shape (N,), in [0, K).
        probabilities: floats of shape (N, K), rows sum to 1.
        threshold: a prediction is kept when its largest probability is at least this.

    Raises:
        InputError: the arrays do not fit each other.
    """
    metrics.check_predictions(labels, probabilities)
    kept = probabilities.max(axis=1) >= threshold
    num_kept = int(kept.sum())
    if not num_kept:
        return None
    num_right = int((probabilities.argmax(axis=1) == labels)[kept].sum())
    return KeptShare(
        threshold=threshold,
        coverage=wilson(num_kept, len(labels)),
        accuracy=wilson(num_right, num_kept),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Steps:
    """Every threshold that keeps another part of the pictures, from high to low.

    Attributes:
        n: number of pictures.
        thresholds: float64 of shape (T,).
        kept: float64 of shape (T,): pictures that each keeps, ascending; a mean over repeats, like `wrong`.
        wrong: those of them that are wrong.
    """

    n: int
    thresholds: Floats
    kept: Floats
    wrong: Floats

    @classmethod
    def of(cls, confidence: metrics.Floats, correct: npt.NDArray[np.bool_]) -> "_Steps":
        """Return the steps for confidences and correctness, both of shape (R, N)."""
        rounded = np.floor(confidence.astype(np.float64) * _DECIMALS).ravel()
        levels, place = np.unique(-rounded, return_inverse=True)
        kept = np.bincount(place).cumsum() / len(confidence)
        wrong = np.bincount(place, weights=~correct.ravel()).cumsum() / len(confidence)
        return cls(n=confidence.shape[1], thresholds=-levels / _DECIMALS, kept=kept, wrong=wrong)

    def chance_below(self, target: float) -> Floats:
        """Return, of shape (T,), the chance of so few mistakes if the accuracy were `target` and no more."""
        right = self.kept - self.wrong
        # The binomial distribution function, in a form that takes means over repeats as well.
        chance = betainc(np.maximum(right, 1e-9), self.wrong + 1, target)
        return np.asarray(np.where(right > 1e-9, chance, 1.0))

    def first_keeping(self, share: float) -> int:
        """Return the first step that keeps a share of the pictures."""
        return int(np.searchsorted(self.kept, share * self.n - 1e-9))

    def kept_share(self, step: int) -> KeptShare:
        """Return what a step keeps, with intervals."""
        kept, wrong = float(self.kept[step]), float(self.wrong[step])
        n = max(1.0, kept)  # a part of a picture, of repeats, is as uncertain as one
        return KeptShare(
            threshold=float(self.thresholds[step]),
            coverage=wilson(min(kept, self.n), self.n),
            accuracy=wilson(n * (1 - wrong / kept), n),
        )


def _end_of_run(passed: npt.NDArray[np.bool_], start: int) -> int:
    """Return the last of the steps that pass in a row from `start` on, -1 where `start` does not."""
    failed = np.flatnonzero(~passed[start:])
    end = start + int(failed[0]) if len(failed) else len(passed)
    return end - 1 if end > start else -1
