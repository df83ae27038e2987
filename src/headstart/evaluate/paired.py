"""Models compared on the same pictures: a paired interval, and a ranking that shows its ties."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.core.errors import InputError
from headstart.evaluate.correctness import check_correctness
from headstart.evaluate.records import PairedDifference
from headstart.evaluate.weighted import weighted_difference

ERROR_RATE = 0.05
"""How often, at most, the truly best model may be missing from the ties of the best measured one."""

_DECIMALS = (
    12  # averages over repeats differ in their last bits by the order of summing; this is no difference
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """M models in the order of their accuracy, with what the pictures can tell apart.

    Attributes:
        order: M indices of models, best first.
        behind_best: for each model, in the order given: accuracy of the best minus its own; None for
            the best.
        tied: for each model, in the order given: whether it is not significantly worse than the best; the
            best is tied with itself.
    """

    order: tuple[int, ...]
    behind_best: tuple[PairedDifference | None, ...]
    tied: tuple[bool, ...]


def paired_difference(
    correct_a: npt.ArrayLike, correct_b: npt.ArrayLike, *, confidence: float = 0.95
) -> PairedDifference:
    """Return the accuracy of A minus that of B on the same pictures, with an interval.

    The interval is Tango's, from how many pictures A alone and B alone was right on. Written in means of
    differences and of their squares it holds for averages over repeats too; then it covers the choice of
    pictures, not the choice of folds. It keeps its error rate where few pictures tell the two apart, nearly
    all for one side, and at the tiny rates of many looks. (Agresti and Min's adjusted Wald interval does not:
    of 150 pictures, 3.5 % for one side and 0.5 % for the other, it missed in 0.5 % in place of 0.01 %.)

    Args:
        correct_a: of shape (N,), how right A was on each picture: 0 or 1, or an average over repeats.
        correct_b: of shape (N,), the same for B; place i is the same picture in both.
        confidence: of the interval, between 0 and 1.

    Raises:
        InputError: the shapes differ, there is no picture, or a value is not in [0, 1].

    Source: see `headstart.evaluate.intervals.score_interval`.
    """
    a, b = (check_correctness(each, ("N",)) for each in (correct_a, correct_b))
    if a.shape != b.shape:
        raise InputError(
            f"{len(a)} and {len(b)} pictures were given, expected the same pictures for both models"
        )
    return weighted_difference(a - b, np.ones(len(a)), confidence=confidence)


def rank(
    correct: npt.ArrayLike, tie_break: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> Ranking:
    """Return the models ranked by accuracy, and which of them cannot be told from the best.

    The best measured model is compared with each other one on the same pictures. Each of the M - 1 intervals
    has an error rate of 5 % / (M - 1) (Bonferroni). So the truly best model is among the ties in at least
    95 % of all cases, although the one it is compared with was chosen after the fact: whichever of the M - 1
    others that is, the chance that any of them beats the truly best by luck is at most the sum of the rates.

    Args:
        correct: of shape (M, N), how right model m was on picture i: 0 or 1, or an average over repeats.
        tie_break: of shape (M,), what decides between equal accuracies, lower is better (the log loss); after
            that the order in which they were given.
        weights: of shape (N,), above 0: how much each picture counts; None counts all alike.

    Raises:
        InputError: the shapes do not fit each other, or a value is out of its range.
    """
    rows = check_correctness(correct, ("M", "N"))
    second = np.asarray(tie_break, dtype=np.float64)
    if second.shape != (len(rows),) or np.isnan(second).any():
        raise InputError(
            f"a tie break of shape {second.shape} was given for {len(rows)} models, expected a number each"
        )
    scaled = np.ones(rows.shape[1]) if weights is None else np.asarray(weights, np.float64)
    values = np.round(rows @ scaled / scaled.sum(), _DECIMALS)
    order = np.lexsort((second, -values)).tolist()  # the last key is the first to count
    best = order[0]
    confidence = 1 - ERROR_RATE / max(1, len(rows) - 1)
    behind = tuple(
        None
        if model == best
        else weighted_difference(rows[best] - rows[model], scaled, confidence=confidence)
        for model in range(len(rows))
    )
    tied = tuple(difference is None or difference.low <= 0 for difference in behind)
    return Ranking(order=tuple(order), behind_best=behind, tied=tied)
