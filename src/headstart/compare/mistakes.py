"""The most confident mistakes, with a small picture of each for the report."""

from pathlib import Path

import numpy as np

from headstart import metrics
from headstart.compare.final import FinalPredictions
from headstart.compare.records import Mistake
from headstart.compare.run_folder import THUMBNAILS
from headstart.core.digest import digest_bytes
from headstart.core.errors import PictureError
from headstart.core.files import write_bytes
from headstart.data.thumbnail import make_thumbnail

MAX_MISTAKES = 24


def confusion(final: FinalPredictions) -> tuple[tuple[int, ...], ...]:
    """Return K rows of K counts, row = true class, column = predicted; of the first repeat's predictions."""
    counts = metrics.confusion_matrix(final.dataset.labels, final.probabilities[0])
    return tuple(tuple(int(count) for count in row) for row in counts)


def most_confident_mistakes(final: FinalPredictions, run: Path) -> tuple[Mistake, ...]:
    """Return the wrongly classified pictures with the highest probabilities, first repeat, at most 24.

    Writes a thumbnail of each, a JPEG without metadata, into the run's folder.
    """
    labels, names = final.dataset.labels, final.dataset.class_names
    probabilities = final.probabilities[0]
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities[wrong, predicted[wrong]]
    worst = wrong[np.argsort(-confidence, kind="stable")][:MAX_MISTAKES]
    return tuple(
        Mistake(
            id=final.dataset.ids[index],
            true_class=names[labels[index]],
            predicted_class=names[predicted[index]],
            probability=float(probabilities[index, predicted[index]]),
            true_probability=float(probabilities[index, labels[index]]),
            thumbnail=_save_thumbnail(final, int(index), run),
        )
        for index in worst
    )


def _save_thumbnail(final: FinalPredictions, index: int, run: Path) -> str:
    """Write one thumbnail; return its path relative to the run, "" when the picture can no longer be read."""
    picture_id = final.dataset.ids[index]
    try:
        thumbnail = make_thumbnail(final.dataset.source.read(picture_id))
    except PictureError:
        return ""
    name = f"{THUMBNAILS}/{digest_bytes(picture_id.encode('utf-8', 'surrogateescape'))[:16]}.jpg"
    write_bytes(run / name, thumbnail)
    return name
