"""Predictions held against labels that bear names of their own."""

import numpy as np
import numpy.typing as npt

from headstart.core.errors import DataError
from headstart.core.progress import SILENT, Progress
from headstart.data import ImageDataset
from headstart.embed import PlanOptions
from headstart.models import Classifier
from headstart.predict.prediction import predict


def predict_labelled(
    classifier: Classifier,
    dataset: ImageDataset,
    *,
    options: PlanOptions = PlanOptions(),
    progress: Progress = SILENT,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return a classifier's probabilities of labelled pictures, and the labels in the classifier's order.

    A data set with a test split of its own is predicted on that part alone.

    Args:
        classifier: must know every class of the data set, by name.
        dataset: labelled pictures.
        options: device and precision.
        progress: told about every picture.

    Returns:
        Probabilities, float32 of shape (N, K), and labels, int64 of shape (N,), indices into the classifier's
        `class_names`; N counts the pictures that could be read.

    Raises:
        DataError: a class of the data set is unknown to the classifier, or nothing could be read.
        ModelError: the classifier has no head.
    """
    if dataset.given_splits is not None and "test" in dataset.given_splits:
        part = [index for index, name in enumerate(dataset.given_splits) if name == "test"]
        dataset = dataset.select(part)
    places = {name: place for place, name in enumerate(classifier.class_names)}
    unknown = [name for name in dataset.class_names if name not in places]
    if unknown:
        known = ", ".join(repr(name) for name in classifier.class_names[:5])
        raise DataError(
            f"{classifier.name} does not know the class {unknown[0]!r}"
            + (f" nor {len(unknown) - 1} others" if len(unknown) > 1 else ""),
            hint=f"it knows {len(classifier.class_names)} classes: {known}, ...",
        )
    translate = np.array([places[name] for name in dataset.class_names], np.int64)
    rows = list(predict(classifier, dataset, options=options, progress=progress))
    read = [index for index, row in enumerate(rows) if not row.error]
    if not read:
        raise DataError("none of the pictures could be read")
    return np.stack([rows[index].probabilities for index in read]), translate[dataset.labels[read]]
