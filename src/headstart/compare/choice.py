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
    """Rank the candidates and choose the best on validation pictures.

    Equal ones are settled by log loss. All that are not significantly worse than the best on the same
    pictures are shown as ties.

    Args:
        evidence: one or more candidates.
        labels: int64 of shape (N,), of the validation pictures.
        metric: what to rank by.
        folds: int64 of shape (R, N), where the candidates were cross-validated.
        seed: of the bootstrap.
    """
    evaluations = [evaluate_repeats(each.probabilities, labels, folds=folds, seed=seed) for each in evidence]
    correct = [each.probabilities.argmax(2) == labels for each in evidence]  # M of (R, N)
    losses = [_log_loss(each.probabilities, labels) for each in evidence]
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
    return Choice(rows=rows, best=int(best), reason=_reason(rows, metric))


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


def _log_loss(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    return float(np.mean([metrics.log_loss(labels, each) for each in probabilities]))


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


def _reason(rows: Sequence[Row], metric: Metric) -> str:
    best = rows[0]
    if best.validation is None or best.cost is None:
        return ""
    score: Estimate = getattr(best.validation, metric)
    where = f"{metric.replace('_', ' ')} on {score.n} validation pictures, {score.value:.3f}"
    if len(rows) == 1:
        return f"{best.name} is the only candidate with a result; its {where}."
    text = f"{best.name} has the highest {where}."
    ties = [row for row in rows[1:] if row.tied]
    if not ties:
        return f"{text} Every other candidate is significantly worse."
    num_worse = len(rows) - 1 - len(ties)
    text += f" Significantly worse: {num_worse or 'none'} of the others."
    cheapest = min(
        (row for row in ties if row.cost), key=lambda row: row.cost.latency_ms if row.cost else 0.0
    )
    if cheapest.cost and cheapest.cost.latency_ms < 0.8 * best.cost.latency_ms:
        ratio = best.cost.latency_ms / cheapest.cost.latency_ms
        text += f" {cheapest.name} is {ratio:.1f} times as fast."
    return text
