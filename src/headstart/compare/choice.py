"""The choice, from validation evidence only: nothing here is given a test label."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headstart import metrics
from headstart.compare.evidence import Evidence
from headstart.compare.metric import Metric, picture_weights
from headstart.compare.records import Row
from headstart.evaluate import (
    Estimate,
    Evaluation,
    PairedDifference,
    evaluate,
    mean_evaluation,
    rank,
    repeated_accuracy,
    repeated_difference,
)

LOG_LOSS_WEIGHT = 0.3
"""Accuracy that a nat of log loss is worth. In the first 46 tasks of `benchmarks/selection.py` (digits,
CIFAR-10, Fashion-MNIST, clip art) the choice by this merit was on average 0.5 points below the best candidate
on new pictures, and at most 2.5 in 95 % of them; that by accuracy alone 1.0 and 4.7. From 0.2 to 0.5 it is
the same."""

_NOTABLY_FASTER = 0.8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """The ranking and its winner.

    Attributes:
        rows: of all candidates with evidence, best first.
        best: index of the winner in the evidence as it was given.
        reason: why, in words.
    """

    rows: tuple[Row, ...]
    best: int
    reason: str


def choose(
    evidence: Sequence[Evidence],
    labels: npt.NDArray[np.int64],
    *,
    metric: Metric = "accuracy",
    folds: npt.NDArray[np.int64] | None = None,
    seed: int,
) -> Choice:
    """Rank the candidates and choose one on validation pictures.

    They are ranked by the metric, equal ones by log loss. All that are not significantly worse than the best
    on the same pictures are ties, and of those the one with the best merit is chosen.

    Args:
        evidence: one or more candidates.
        labels: int64 of shape (N,), of the validation pictures.
        metric: what to rank by.
        folds: int64 of shape (R, N), where the candidates were cross-validated.
        seed: of the bootstrap.
    """
    evaluations = [evaluate_repeats(each.probabilities, labels, folds=folds, seed=seed) for each in evidence]
    correct = [each.probabilities.argmax(2) == labels for each in evidence]  # M of (R, N)
    losses = [surprisals(each, labels).mean() for each in evidence]
    weights = picture_weights(labels, metric)
    ranking = rank(np.stack([each.mean(0) for each in correct]), losses, weights=weights)
    best, behind, tied = ranking.order[0], list(ranking.behind_best), list(ranking.tied)
    if folds is not None and metric == "accuracy":
        for index, difference in enumerate(ranking.behind_best):
            if difference is not None:
                wider = repeated_difference(
                    correct[best], correct[index], folds, confidence=difference.confidence
                )
                behind[index], tied[index] = wider, wider.low <= 0
    rows = tuple(
        _row(evidence[index], evaluations[index], behind[index], tied=tied[index]) for index in ranking.order
    )
    merit = [float((weights * merits(each, labels)).mean()) for each in evidence]
    chosen = max((index for index in ranking.order if tied[index]), key=lambda index: merit[index])
    reason = _reason(rows, rows[ranking.order.index(chosen)], metric)
    return Choice(rows=rows, best=int(chosen), reason=reason)


def surprisals(evidence: Evidence, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return -log probability of each picture's true class, in nats: float64 of shape (N,)."""
    found: npt.NDArray[np.float64] = np.mean(
        [metrics.surprisals(labels, each) for each in evidence.probabilities], axis=0
    )
    return found


def merits(evidence: Evidence, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return what each picture says for a candidate, float64 of shape (N,); their mean is its merit.

    That is how right it is, less `LOG_LOSS_WEIGHT` times the log loss. Accuracy counts pictures that are
    right or wrong by a hair like all others; log loss tells more of each, so both together mislead less.
    """
    correct = (evidence.probabilities.argmax(2) == labels).mean(0)
    found: npt.NDArray[np.float64] = correct - LOG_LOSS_WEIGHT * surprisals(evidence, labels)
    return found


def evaluate_repeats(
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    *,
    folds: npt.NDArray[np.int64] | None = None,
    seed: int,
) -> Evaluation:
    """Return the mean over R repeats of the metrics of `probabilities`, float32 of shape (R, N, K).

    Where `folds`, int64 of shape (R, N), are given, the interval of the accuracy is that of the model fitted
    on all pictures.
    """
    evaluation = mean_evaluation([evaluate(each, labels, seed=seed) for each in probabilities])
    if folds is None:
        return evaluation
    return replace(evaluation, accuracy=repeated_accuracy(probabilities.argmax(2) == labels, folds))


def _row(evidence: Evidence, evaluation: Evaluation, behind: PairedDifference | None, *, tied: bool) -> Row:
    return Row(
        name=evidence.candidate.name,
        model=evidence.candidate.entry.name,
        entry=evidence.candidate.entry,
        resolution=evidence.resolution,
        validation=evaluation,
        behind_best=behind,
        tied=tied,
        regularization=evidence.regularization,
        plan=evidence.plan,
        cost=evidence.cost,
        feature_dim=evidence.feature_dim,
        alarms=evidence.alarms,
    )


def _reason(rows: Sequence[Row], chosen: Row, metric: Metric) -> str:
    """Return why `chosen` was, in one or two sentences; the first of the rows has the highest metric."""
    best = rows[0]
    if best.validation is None or chosen.validation is None:
        return ""
    score: Estimate = getattr(best.validation, metric)
    named = metric.replace("_", " ")
    where = f"{named} on {score.n} validation pictures, {score.value:.3f}"
    if len(rows) == 1:
        return f"{best.name} is the only candidate with a result; its {where}."
    text = f"{best.name} has the highest {where}."
    if chosen is not best:
        own: Estimate = getattr(chosen.validation, metric)
        losses = chosen.validation.log_loss.value, best.validation.log_loss.value
        text = (
            f"{chosen.name} has a {named} of {own.value:.3f} on {own.n} validation pictures, which cannot be "
            f"told from the highest, {score.value:.3f} of {best.name}, and better probabilities: its log "
            f"loss is {losses[0]:.3f} instead of {losses[1]:.3f}."
        )
    ties = [row for row in rows if row.tied and row is not chosen]
    if not ties:
        return f"{text} Every other candidate is significantly worse."
    num_worse = len(rows) - 1 - len(ties)
    text += f" Significantly worse: {num_worse or 'none'} of the others."
    return text + _faster_tie(ties, chosen)


def _faster_tie(ties: Sequence[Row], chosen: Row) -> str:
    """Return which tied row is notably faster than the chosen one, as a sentence; "" where none is."""
    timed = [(row.cost.latency_ms, row.name) for row in ties if row.cost is not None]
    if not timed or chosen.cost is None:
        return ""
    latency_ms, name = min(timed)
    if latency_ms >= _NOTABLY_FASTER * chosen.cost.latency_ms:
        return ""
    return f" {name} is {chosen.cost.latency_ms / latency_ms:.1f} times as fast."
