"""`predict`: pictures in, one `Prediction` each out, in order, with bounded memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from headstart.core.errors import InputError
from headstart.core.progress import SILENT, Progress
from headstart.core.runner import Runner, SerialRunner
from headstart.data import Exclusion, ImageDataset, PictureSource, stream_pictures
from headstart.data.names import printable
from headstart.data.shards import shards
from headstart.data.stream import unlabelled
from headstart.embed.check import Check, spread_sample
from headstart.embed.decoding import DecodedBatch, Decoding, decode_batches
from headstart.embed.embedder import EmbeddedBatch, Embedder, piece_size
from headstart.embed.group import EmbedderGroup
from headstart.embed.pace import Pace
from headstart.embed.plan import PlanOptions, choose_plan
from headstart.embed.rows import Features
from headstart.models import Classifier

Threshold: TypeAlias = float | Literal["auto"] | None

UNKNOWN = "unknown"
"""The label of a picture whose most probable class is below the threshold."""

# The check of a faster plan costs two networks' start; fewer pictures than this are done before that.
_WORTH_A_CHECK = 64

# Pictures that are listed before the first is predicted, so that their number is known and a plan can be
# checked on a sample of them; a pipe may be slow to tell of so many.
_LOOK_AHEAD = 100_000
_LOOK_AHEAD_IN_PIPE = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """What a classifier says of one picture.

    Attributes:
        path: the picture's path as it was given, or its id in the data set.
        label: name of the most probable class, "unknown" where that is below the threshold; "" when the
            picture could not be read.
        probability: of the most probable class, in [0, 1]; 0.0 when the picture could not be read.
        probabilities: float32 of shape (K,), in the order of the classifier's `class_names`, sums to 1; empty
            when it could not be read.
        best: name of the most probable class, also where the label is "unknown".
        is_unknown: whether the label is "unknown" for being below the threshold.
        is_unlike: whether it is unlike the pictures that the classifier was trained on; None where the
            classifier knows nothing of them, or the picture could not be read.
        error: "" or why it could not be read.
    """

    path: str
    label: str
    probability: float
    probabilities: npt.NDArray[np.float32]
    best: str = ""
    is_unknown: bool = False
    is_unlike: bool | None = None
    error: str = ""


def predict(
    classifier: Classifier,
    pictures: ImageDataset | str | Path | Iterable[str | Path],
    *,
    threshold: Threshold = "auto",
    options: PlanOptions = PlanOptions(),
    runner: Runner = SerialRunner(),
    progress: Progress = SILENT,
) -> Iterator[Prediction]:
    """Yield one prediction a picture, in the order of the pictures.

    Args:
        classifier: must know classes.
        pictures: a data set, or a file, folder or zip of pictures, or several of these. They are found while
            they are predicted, so any number takes no more memory; what is in no sequence, as the lines of a
            pipe, is not checked before, and a path that does not exist is a row with an error.
        threshold: the label is "unknown" where the largest probability is below it, in [0, 1]; "auto" is the
            classifier's own, which was chosen on validation pictures; None for no such label.
        options: device, precision and plan.
        runner: who reads the pictures and runs the network.
        progress: told about every picture.

    Raises:
        InputError: the threshold is not in [0, 1].
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
    classifier = _with_threshold(classifier.with_logits_as_features(), threshold)
    first, others, source = _pictures(pictures)
    if not runner.is_local:
        return _stream_elsewhere(classifier, first, others, source, options, runner, progress)
    return _stream(classifier, first, others, source, options, progress)


def _with_threshold(classifier: Classifier, threshold: Threshold) -> Classifier:
    """Return a classifier that shares all but the threshold."""
    if threshold == "auto" or threshold == classifier.threshold:
        return classifier
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"a threshold of {threshold} was given, expected one from 0 to 1")
    other = classifier.with_preprocessing(classifier.preprocessing)
    other.threshold = threshold
    return other


def _pictures(
    pictures: ImageDataset | str | Path | Iterable[str | Path],
) -> tuple[Sequence[str], Iterator[str], PictureSource]:
    """Return the ids of the first pictures, those of the others, and what they are read from.

    Raises:
        InputError: there are no pictures.
    """
    if isinstance(pictures, ImageDataset):
        return pictures.ids, iter(()), pictures.source
    paths = [pictures] if isinstance(pictures, (str, Path)) else pictures
    ids, source = stream_pictures(paths)
    first = list(islice(ids, _LOOK_AHEAD if isinstance(paths, Sequence) else _LOOK_AHEAD_IN_PIPE))
    if not first:
        raise InputError("no pictures are given", hint="give files, folders or zips")
    return first, ids, source


def _stream(
    classifier: Classifier,
    first: Sequence[str],
    others: Iterator[str],
    source: PictureSource,
    options: PlanOptions,
    progress: Progress,
) -> Iterator[Prediction]:
    next_one = next(others, None)
    ids = first if next_one is None else chain(first, (next_one,), others)
    if len(first) < _WORTH_A_CHECK and options.precision == "auto":
        options = replace(options, plan="exact")
    decoding = Decoding(source=source, preprocessing=classifier.preprocessing, decoder="fast")
    check = Check(classifier, decoding, spread_sample(first))
    plan = choose_plan(classifier, options=options, min_cosine=check.min_cosine)
    engine = check.engine(plan)
    total = len(first) if next_one is None else None
    progress.start(f"predicting with {classifier.name}", total=total, unit="pictures")
    pace = Pace.of(classifier, engine, check, num_pictures=len(first), progress=progress)
    decoding = replace(decoding, decoder=plan.decoder)
    batches = decode_batches(decoding, ids, batch_size=plan.batch_size, device=plan.device)
    for batch, features in pace.run(batches):
        yield from _rows(classifier, features, batch)
        progress.advance(len(batch.order))


def _stream_elsewhere(
    classifier: Classifier,
    first: Sequence[str],
    others: Iterator[str],
    source: PictureSource,
    options: PlanOptions,
    runner: Runner,
    progress: Progress,
) -> Iterator[Prediction]:
    embedder = Embedder(classifier, num_pictures=len(first) // runner.num_workers)
    group = EmbedderGroup([embedder], decoder="fast")
    sample = unlabelled(spread_sample(first), source)
    (plan,) = runner.map(partial(group.choose_plans, options=options), [sample])
    embedder.plan = plan
    what = f"predicting with {classifier.name}"
    progress.start(what, unit="pictures")
    pieces = _cut(chain(first, others), source, piece_size(plan.batch_size))
    for _, batch in runner.map(group, pieces, what=what):
        yield from _rows(classifier, batch.features if batch.ids else None, batch)
        progress.advance(len(batch.order))


def _cut(ids: Iterator[str], source: PictureSource, num_pictures: int) -> Iterator[ImageDataset]:
    while piece := list(islice(ids, num_pictures)):
        yield from shards(unlabelled(piece, source), num_pictures)


def _rows(
    classifier: Classifier, features: Features | None, batch: DecodedBatch | EmbeddedBatch
) -> Iterator[Prediction]:
    """Yield the predictions of one batch, in the order that its pictures were given in."""
    rows = {each.id: _unread(each) for each in batch.excluded}
    if features is not None:
        paths = [printable(each) for each in batch.ids]
        rows |= zip(batch.ids, predictions_of(classifier, features, paths), strict=True)
    yield from (rows[each] for each in batch.order)


def predictions_of(classifier: Classifier, features: Features, paths: Sequence[str]) -> list[Prediction]:
    """Return what a classifier says of features of shape (N, D), of pictures that `paths` names."""
    with torch.inference_mode():
        probabilities = classifier.probabilities(torch.from_numpy(features)).numpy()
    familiarity = classifier.familiarity
    unlike = [None] * len(features) if familiarity is None else familiarity.is_unlike(features).tolist()
    return [
        _prediction(classifier, path, row, is_unlike=is_unlike)
        for path, row, is_unlike in zip(paths, probabilities, unlike, strict=True)
    ]


def _prediction(
    classifier: Classifier, path: str, probabilities: npt.NDArray[np.float32], *, is_unlike: bool | None
) -> Prediction:
    """Return what probabilities of shape (K,) say."""
    place = int(probabilities.argmax())
    best, probability = classifier.class_names[place], float(probabilities[place])
    is_unknown = classifier.threshold is not None and probability < classifier.threshold
    return Prediction(
        path=path,
        label=UNKNOWN if is_unknown else best,
        probability=probability,
        probabilities=probabilities,
        best=best,
        is_unknown=is_unknown,
        is_unlike=is_unlike,
    )


def _unread(excluded: Exclusion) -> Prediction:
    nothing = np.empty(0, np.float32)
    return Prediction(
        path=printable(excluded.id), label="", probability=0.0, probabilities=nothing, error=excluded.reason
    )
