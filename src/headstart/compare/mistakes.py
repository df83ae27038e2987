"""What the chosen model mixes up, and its most confident mistakes, with small pictures for the report."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart import metrics
from headstart.compare.final import FinalPredictions
from headstart.compare.records import Mistake
from headstart.compare.shown_pictures import save_heat_maps, save_thumbnail
from headstart.models import Classifier

MAX_MISTAKES = 24


def confusion(final: FinalPredictions) -> tuple[tuple[int, ...], ...]:
    """Return K rows of K counts, row = true class, column = predicted; of the first repeat's predictions."""
    return count_confusions(final.dataset.labels, final.probabilities[0])


def count_confusions(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32]
) -> tuple[tuple[int, ...], ...]:
    """Return K rows of K counts, row = true class, column = predicted.

    Args:
        labels: int64 of shape (N,), the true classes.
        probabilities: float32 of shape (N, K).
    """
    counts = metrics.confusion_matrix(labels, probabilities)
    return tuple(tuple(int(count) for count in row) for row in counts)


def most_confident_mistakes(
    final: FinalPredictions, classifier: Classifier, run: Path
) -> tuple[Mistake, ...]:
    """Return the wrongly classified pictures with the highest probabilities, first repeat, at most 24.

    Writes of each a thumbnail and a heat map of the predicted class into the run's folder.

    Args:
        final: what is wrong in it.
        classifier: the trained model; in a cross-validation its head is not the one that made the mistake.
        run: the run's folder.
    """
    labels, names = final.dataset.labels, final.dataset.class_names
    probabilities = final.probabilities[0]
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities[wrong, predicted[wrong]]
    worst = wrong[np.argsort(-confidence, kind="stable")][:MAX_MISTAKES]
    ids = [final.dataset.ids[index] for index in worst]
    heat_maps = save_heat_maps(classifier, final.dataset.source, ids, predicted[worst], run)
    return tuple(
        Mistake(
            id=final.dataset.ids[index],
            true_class=names[labels[index]],
            predicted_class=names[predicted[index]],
            probability=float(probabilities[index, predicted[index]]),
            true_probability=float(probabilities[index, labels[index]]),
            thumbnail=save_thumbnail(final.dataset.source, final.dataset.ids[index], run),
            heat_map=heat_map,
        )
        for index, heat_map in zip(worst, heat_maps, strict=True)
    )
