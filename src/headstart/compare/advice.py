"""What a comparison tells beside its ranking, once the choice was made; the test part is not looked at."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headstart.compare.advice_records import Advice, LearningCurve
from headstart.compare.choice import Choice, left_out_merits, merits
from headstart.compare.evidence import Embedded, Evidence
from headstart.compare.fine_tuning import FineTuningFacts, FineTuningOutlook, fine_tuning_outlook
from headstart.compare.heads import draw_folds
from headstart.compare.learning_curve import cross_validated_curve, learning_curve
from headstart.compare.metric import MetricChoice, picture_weights
from headstart.compare.trade_offs import list_trade_offs, pareto_table
from headstart.data import Splits
from headstart.evaluate import Estimate, corrected_best


def advise(
    evidence: Sequence[Evidence],
    choice: Choice,
    winner: Embedded,
    splits: Splits,
    *,
    metric: MetricChoice,
    seed: int,
) -> Advice:
    """Return what is to be told beside the ranking.

    Args:
        evidence: of all candidates that ran in full.
        choice: the ranking.
        winner: network and features of the chosen one.
        splits: the pictures.
        metric: what they were ranked by.
        seed: of everything random.
    """
    labels = (splits.val or splits.train).labels
    correct = {
        each.candidate.name: (each.probabilities.argmax(2) == labels).mean(0) for each in evidence
    }  # of (N,) each
    weights = picture_weights(labels, metric.metric)
    chosen = evidence[choice.best]
    name = chosen.candidate.name
    curve = _learning_curve(chosen, correct[name], winner, splits, metric=metric, seed=seed)
    return Advice(
        metric=metric,
        corrected=_corrected(evidence, labels, seed=seed) if metric.metric == "accuracy" else None,
        pareto=pareto_table(choice.rows, correct, weights=weights, metric=metric.metric),
        trade_offs=list_trade_offs(choice.rows, name, correct, weights=weights, metric=metric.metric),
        learning_curve=curve,
        fine_tuning=_outlook(chosen, correct[name], winner, splits, curve),
    )


def _corrected(evidence: Sequence[Evidence], labels: npt.NDArray[np.int64], *, seed: int) -> Estimate:
    correct = np.stack([(each.probabilities.argmax(2) == labels).mean(0) for each in evidence])
    by = np.stack([merits(each, labels) for each in evidence])
    left_out = [left_out_merits(each) for each in evidence if each.left_out is not None]
    if len(left_out) == len(evidence):  # whatever validation pictures choose by, these have their say, too
        by += np.sum(left_out, axis=1, keepdims=True) / len(labels)
    return corrected_best(correct, by=by, seed=seed)


def _learning_curve(
    chosen: Evidence,
    correct: npt.NDArray[np.float64],
    winner: Embedded,
    splits: Splits,
    *,
    metric: MetricChoice,
    seed: int,
) -> LearningCurve | None:
    train, regularization = splits.train, chosen.regularization
    if regularization is None:  # the features have seen the training pictures' labels
        return None
    if splits.val is not None:
        return learning_curve(
            winner.rows(train),
            train.labels,
            winner.rows(splits.val),
            splits.val.labels,
            regularization=regularization,
            correct=correct,
            metric=metric.metric,
            seed=seed,
            device=winner.head_device,
        )
    return cross_validated_curve(
        winner.rows(train),
        train.labels,
        draw_folds(train, seed=seed),
        regularization=regularization,
        correct=correct,
        metric=metric.metric,
        seed=seed,
        device=winner.head_device,
    )


def _outlook(
    chosen: Evidence,
    correct: npt.NDArray[np.float64],
    winner: Embedded,
    splits: Splits,
    curve: LearningCurve | None,
) -> FineTuningOutlook | None:
    if chosen.train_correct is None:
        return None
    native = chosen.candidate.entry.weights.preprocessing.input_size[0]
    return fine_tuning_outlook(
        FineTuningFacts(
            accuracy=float(correct.mean()),
            train_accuracy=float(chosen.train_correct.mean()),
            pictures_per_class=float(np.median(splits.train.class_counts())),
            resolution_share=chosen.resolution / native,
            gain_of_double=curve.predictions[0].gain.high if curve and curve.predictions else None,
        )
    )
