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
from headstart.evaluate.weighted import weighted_difference

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
    train_labels: npt.NDArray[np.int64] | None = None,
    metric: Metric = "accuracy",
    folds: npt.NDArray[np.int64] | None = None,
    seed: int,
) -> Choice:
    """Rank the candidates and choose one on validation pictures.

    They are ranked by the metric, equal ones by log loss. All that are not significantly worse than the best
    on the same pictures are ties, and of those the one with the best merit is chosen: on validation pictures
    and, where all of them were cross-validated there, on training pictures.

    Args:
        evidence: one or more candidates.
        labels: int64 of shape (N,), of the validation pictures.
        train_labels: int64 of shape (M,), of the training pictures; None where `labels` are all that there
            are.
        metric: what to rank by.
        folds: int64 of shape (R, N), where the candidates were cross-validated.
        seed: of the bootstrap.
    """
    evaluations = [
        evaluate_repeats(each.probabilities, labels, folds=folds, fewer=each.fewer, seed=seed)
        for each in evidence
    ]
    correct = [each.probabilities.argmax(2) == labels for each in evidence]  # M of (R, N)
    losses = [surprisals(each, labels).mean() for each in evidence]
    weights = picture_weights(labels, metric)
    ranking = rank(np.stack([each.mean(0) for each in correct]), losses, weights=weights)
    best, behind, tied = ranking.order[0], list(ranking.behind_best), list(ranking.tied)
    if folds is not None and metric == "accuracy":
        for index, difference in enumerate(ranking.behind_best):
            if difference is not None:
                a, b = evidence[best].fewer, evidence[index].fewer
                wider = repeated_difference(
                    correct[best],
                    correct[index],
                    folds,
                    fewer=None if a is None or b is None else (a, b),
                    confidence=difference.confidence,
                )
                behind[index], tied[index] = wider, wider.low <= 0
    rows = tuple(
        _row(evidence[index], evaluations[index], behind[index], tied=tied[index]) for index in ranking.order
    )
    gains = _gains(evidence, correct, weights)
    proven = [
        index for index in ranking.order if tied[index] and (index not in gains or gains[index].low > 0)
    ]
    if train_labels is not None and any(evidence[index].left_out is None for index in proven):
        train_labels = None
    standings = {index: _standing(evidence[index], labels, train_labels, metric) for index in proven}
    chosen = max(proven, key=lambda index: metrics.merit(*standings[index]))
    why = _why(standings[chosen], standings.get(best), metric, train_labels)
    reason = _reason(rows, rows[ranking.order.index(chosen)], metric, why=why)
    told = [_gain_sentence(evidence[index], gain) for index, gain in gains.items()]
    return Choice(rows=rows, best=int(chosen), reason=" ".join([reason, *told]))


def _standing(
    evidence: Evidence,
    labels: npt.NDArray[np.int64],
    train_labels: npt.NDArray[np.int64] | None,
    metric: Metric,
) -> tuple[float, float]:
    """Return the metric and the log loss of pictures that the heads had not seen, training pictures included
    where their labels are given."""
    correct, losses = (evidence.probabilities.argmax(2) == labels).mean(0), surprisals(evidence, labels)
    if train_labels is not None and evidence.left_out is not None:
        labels = np.concatenate([labels, train_labels])
        correct = np.concatenate([correct, evidence.left_out[0]])
        losses = np.concatenate([losses, evidence.left_out[1]])
    weights = picture_weights(labels, metric)
    return float((weights * correct).mean()), float((weights * losses).mean())


def _gains(
    evidence: Sequence[Evidence], correct: Sequence[npt.NDArray[np.bool_]], weights: npt.NDArray[np.float64]
) -> dict[int, PairedDifference]:
    """Return, by index, what fine-tuned networks gain over the probes that they come from, paired.

    It is a gain in what candidates are ranked by, as `weights` of the pictures say: otherwise a network might
    be better than its probe beyond doubt, and yet not have gained.
    """
    places = {each.candidate.name: index for index, each in enumerate(evidence)}
    tuned = {index: places.get(each.candidate.tuned_from) for index, each in enumerate(evidence)}
    return {
        index: weighted_difference(correct[index].mean(0) - correct[probe].mean(0), weights)
        for index, probe in tuned.items()
        if probe is not None
    }


def _gain_sentence(evidence: Evidence, gain: PairedDifference) -> str:
    """Return whether fine-tuning helped, as a sentence."""
    points = f"{100 * gain.value:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    name = evidence.candidate.tuned_from
    if gain.low > 0:
        return f"Fine-tuning {name} gained {points} over its probe, on the same pictures."
    return f"Fine-tuning {name} did not help beyond doubt: {points} over its probe, which is kept."


def surprisals(evidence: Evidence, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return -log probability of each picture's true class, in nats: float64 of shape (N,)."""
    found: npt.NDArray[np.float64] = np.mean(
        [metrics.surprisals(labels, each) for each in evidence.probabilities], axis=0
    )
    return found


def merits(evidence: Evidence, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return what each picture says for a candidate, float64 of shape (N,); their mean is its merit.

    See `headstart.metrics.merit`.
    """
    correct = (evidence.probabilities.argmax(2) == labels).mean(0)
    found: npt.NDArray[np.float64] = correct - metrics.LOG_LOSS_WEIGHT * surprisals(evidence, labels)
    return found


def left_out_merits(evidence: Evidence) -> npt.NDArray[np.float64]:
    """Return the same of training pictures, float64 of shape (M,); evidence must have `left_out`."""
    correct, losses = np.asarray(evidence.left_out, np.float64)
    found: npt.NDArray[np.float64] = correct - metrics.LOG_LOSS_WEIGHT * losses
    return found


def evaluate_repeats(
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    *,
    folds: npt.NDArray[np.int64] | None = None,
    fewer: npt.NDArray[np.float32] | None = None,
    seed: int,
) -> Evaluation:
    """Return the mean over R repeats of the metrics of `probabilities`, float32 of shape (R, N, K).

    Where `folds`, int64 of shape (R, N), are given, the interval of the accuracy is that of the model fitted
    on all pictures, for which fits on `fewer` say more: see `headstart.evaluate.repeated_accuracy`.
    """
    evaluation = mean_evaluation([evaluate(each, labels, seed=seed) for each in probabilities])
    if folds is None:
        return evaluation
    return replace(
        evaluation, accuracy=repeated_accuracy(probabilities.argmax(2) == labels, folds, fewer=fewer)
    )


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


def _why(
    chosen: tuple[float, float],
    best: tuple[float, float] | None,
    metric: Metric,
    train_labels: npt.NDArray[np.int64] | None,
) -> str:
    """Return why one was chosen that does not have the highest metric, as the end of a sentence.

    Args:
        chosen: its standing.
        best: that of the one with the highest metric; None where that one was not to be chosen.
        metric: what they are ranked by.
        train_labels: of the training pictures, where they are part of the standings.
    """
    if best is None:
        return "."
    losses = f"log loss is {chosen[1]:.3f} instead of {best[1]:.3f}."
    if train_labels is None:
        return f", and better probabilities: its {losses}"
    return (
        f", and is better where {len(train_labels)} training pictures are added, each predicted by a probe "
        f"that had not seen it: its {metric.replace('_', ' ')} is {chosen[0]:.3f} instead of {best[0]:.3f}, "
        f"its {losses}"
    )


def _reason(rows: Sequence[Row], chosen: Row, metric: Metric, *, why: str) -> str:
    """Return why `chosen` was, in one or two sentences; the first of the rows has the highest metric.

    Args:
        rows: best first.
        chosen: one of them.
        metric: what they are ranked by.
        why: it was preferred to the first, as the end of a sentence.
    """
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
        text = (
            f"On {own.n} validation pictures {chosen.name} has {named} {own.value:.3f}, which cannot be told "
            f"from the highest, {score.value:.3f} of {best.name}{why}"
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
