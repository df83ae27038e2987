"""`predict`: pictures in, one `Prediction` each out, in order, with bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from headstart.core.progress import SILENT, Progress
from headstart.data import Exclusion, ImageDataset, PictureSource, list_pictures
from headstart.embed.cache import Features
from headstart.embed.check import Check
from headstart.embed.decoding import DecodedBatch, Decoding, decode_batches
from headstart.embed.pace import Pace
from headstart.embed.plan import PlanOptions, choose_plan
from headstart.models import Classifier

# The check of a faster plan costs two networks' start; fewer pictures than this are done before that.
_WORTH_A_CHECK = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """What a classifier says of one picture.

    Attributes:
        path: the picture's path as it was given, or its id in the data set.
        label: name of the most probable class; "" when the picture could not be read.
        probability: of that class, in [0, 1]; 0.0 when it could not be read.
        probabilities: float32 of shape (K,), in the order of the classifier's `class_names`, sums to 1; empty
            when it could not be read.
        error: "" or why it could not be read.
    """

    path: str
    label: str
    probability: float
    probabilities: npt.NDArray[np.float32]
    error: str = ""


def predict(
    classifier: Classifier,
    pictures: ImageDataset | str | Path | Sequence[str | Path],
    *,
    options: PlanOptions = PlanOptions(),
    progress: Progress = SILENT,
) -> Iterator[Prediction]:
    """Yield one prediction a picture, in the order of the pictures.

    Args:
        classifier: must know classes.
        pictures: a data set, or a file, folder or zip of pictures, or several of these.
        options: device, precision and plan.
        progress: told about every picture.

    Raises:
        ModelError: the network has no classifier.
        DataError: a path does not exist, or holds no pictures.

    Example:
        >>> import headstart as hs, numpy as np
        >>> from headstart.data import dataset_from_arrays
        >>> grey = dataset_from_arrays(np.full((1, 8, 8), 128, np.uint8), np.array([0]))
        >>> classifier = hs.load("efficientnet_lite0", weights=None, num_classes=2)
        >>> [row.probabilities.shape for row in hs.predict(classifier, grey)]
        [(2,)]
    """
    classifier = classifier.with_logits_as_features()
    ids, source = _pictures(pictures)
    return _stream(classifier, ids, source, options, progress)


def _pictures(
    pictures: ImageDataset | str | Path | Sequence[str | Path],
) -> tuple[Sequence[str], PictureSource]:
    if isinstance(pictures, ImageDataset):
        return pictures.ids, pictures.source
    return list_pictures([pictures] if isinstance(pictures, (str, Path)) else list(pictures))


def _stream(
    classifier: Classifier,
    ids: Sequence[str],
    source: PictureSource,
    options: PlanOptions,
    progress: Progress,
) -> Iterator[Prediction]:
    if len(ids) < _WORTH_A_CHECK and options.precision == "auto":
        options = replace(options, plan="exact")
    decoding = Decoding(source=source, preprocessing=classifier.preprocessing, decoder="fast")
    check = Check(classifier, decoding, ids)
    plan = choose_plan(classifier.preprocessing, options=options, min_cosine=check.min_cosine)
    engine = check.engine(plan)
    progress.start(f"predicting with {classifier.name}", total=len(ids), unit="pictures")
    pace = Pace.of(classifier, engine, check, num_pictures=len(ids), progress=progress)
    decoding = replace(decoding, decoder=plan.decoder)
    batches = decode_batches(decoding, ids, batch_size=plan.batch_size, device=plan.device)
    for batch, features in pace.run(batches):
        yield from _rows(classifier, features, batch)
        progress.advance(len(batch.order))


def _rows(classifier: Classifier, features: Features | None, batch: DecodedBatch) -> Iterator[Prediction]:
    """Yield the predictions of one batch, in the order that its pictures were given in."""
    rows = {each.id: _unread(each) for each in batch.excluded}
    if features is not None:
        with torch.inference_mode():
            probabilities = classifier.probabilities(torch.from_numpy(features)).numpy()
        for each, row in zip(batch.ids, probabilities, strict=True):
            best = int(row.argmax())
            label = classifier.class_names[best]
            rows[each] = Prediction(path=each, label=label, probability=float(row[best]), probabilities=row)
    yield from (rows[each] for each in batch.order)


def _unread(excluded: Exclusion) -> Prediction:
    nothing = np.empty(0, np.float32)
    return Prediction(
        path=excluded.id, label="", probability=0.0, probabilities=nothing, error=excluded.reason
    )
