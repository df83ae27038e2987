"""Predictions held against labels that bear names of their own."""

import numpy as np
import numpy.typing as npt
import torch

from headstart.core.errors import DataError
from headstart.core.progress import SILENT, Progress
from headstart.data import ImageDataset
from headstart.data.scan import scan
from headstart.embed import PlanOptions, embed
from headstart.models import Classifier
from headstart.predict.labelled import held_out
from headstart.predict.matching import attempt, first_complete, rules_for

_ROWS_AT_ONCE = 4096  # a thousand classes of as many pictures are 16 MiB


def predict_labelled(
    classifier: Classifier,
    dataset: ImageDataset,
    *,
    options: PlanOptions = PlanOptions(),
    progress: Progress = SILENT,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return a classifier's probabilities of labelled pictures, and the labels in the classifier's order.

    Of a data set with a test or val part of its own that part alone is predicted. Features come from the
    embedding cache, where they are kept for the next time.

    Args:
        classifier: must know every class of the data set by name; ImageNet's classes may be wordnet ids or
            indices.
        dataset: labelled pictures.
        options: device and precision.
        progress: told about every picture.

    Returns:
        Probabilities, float32 of shape (N, K), and labels, int64 of shape (N,), indices into the classifier's
        `class_names`; N counts the pictures that could be read.

    Raises:
        DataError: a class of the data set is unknown to the classifier, or nothing could be read.
        ModelError: the network has no classifier.
    """
    scorer = classifier.with_logits_as_features()
    part = held_out(dataset)
    rules = (rule for rule in rules_for(classifier.class_names) if not rule.in_file_names)
    pictures, _ = first_complete(classifier, (attempt(rule, part) for rule in rules))
    if pictures.digests is None:
        pictures = scan(pictures, max_unreadable=1.0, progress=progress).dataset
    embeddings = embed(scorer, pictures, options=options, progress=progress) if len(pictures) else None
    if embeddings is None or not embeddings.ids:
        raise DataError("none of the pictures could be read")
    progress.note(f"{classifier.name} was run in {embeddings.plan}")
    return _probabilities(scorer, embeddings.features), embeddings.labels


def _probabilities(classifier: Classifier, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return probabilities, float32 of shape (N, K), of features of shape (N, D)."""
    probabilities = np.empty((len(features), len(classifier.class_names)), np.float32)
    with torch.inference_mode():
        for start in range(0, len(features), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            probabilities[rows] = classifier.probabilities(torch.from_numpy(features[rows])).numpy()
    return probabilities
