"""What a network's features must beat: the pixels themselves, and the nearest neighbours in the features.

Both look at few pictures, for what they are to show is coarse: that something is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.compare.pictures import SMALL
from headstart.data import ImageDataset, Splits
from headstart.data.decode import Decoder
from headstart.embed import PixelStore
from headstart.embed.decoding import Decoding, decode_batches
from headstart.train import LinearProbe
from headstart.train.neighbours import vote

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

MAX_TRAIN, MAX_VALIDATION = 2000, 1000
"""Pictures that are looked at: so many validation pictures tell 5 points apart."""
SIDE = 8
"""Of the shrunk picture, in pixels: colours and rough layout, no detail."""
_BATCH = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """How right something simple is on some of the validation pictures.

    Attributes:
        rows: int64 of shape (n,): which pictures, by their places in the validation part; in the training
            part where that is cross-validated.
        correct: float64 of shape (n,), 1 where it is right and 0 where it is wrong.
    """

    rows: Integers
    correct: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """Pictures to learn from and pictures to predict.

    Attributes:
        train: int64 of shape (m,), places in the training part.
        validation: int64 of shape (n,), places in the validation part; in the training part where that is
            cross-validated.
    """

    train: Integers
    validation: Integers


def pixel_features(pixels: npt.NDArray[np.uint8]) -> Floats:
    """Return pictures shrunk to 8 x 8, float32 of shape (N, 192) in [0, 1].

    Args:
        pixels: uint8 of shape (N, H, W, 3).
    """
    rows, columns = _area(pixels.shape[1]), _area(pixels.shape[2])
    shrunk = np.einsum("ah,nhwc,bw->nabc", rows, pixels.astype(np.float32), columns, optimize=True)
    features: Floats = shrunk.reshape(len(pixels), -1) / np.float32(255)
    return features


def pixel_baseline(
    splits: Splits,
    *,
    folds: Integers | None = None,
    seed: int,
    store: PixelStore | None = None,
    decoder: Decoder = "fast",
) -> Baseline | None:
    """Return how right the usual probe is on the pixels of shrunk pictures; the test part is not looked at.

    At most 2,000 training and 1,000 validation pictures are read, drawn evenly over the classes.

    Args:
        splits: the pictures.
        folds: int64 of shape (N,), of the training pictures, one drawing of `draw_folds`; needed where there
            is no validation part.
        seed: of the draw and of the probe.
        store: pixels that were decoded before, or None.
        decoder: how pictures are decoded where there is no store.

    Returns:
        None where too few pictures could be read, or folds are needed and not given.
    """
    tasks = draw_tasks(splits, folds=folds, seed=seed)
    if not tasks:
        return None
    validation = predicted_part(splits)
    train_rows = np.unique(np.concatenate([task.train for task in tasks]))
    validation_rows = np.unique(np.concatenate([task.validation for task in tasks]))
    train = _read(splits.train, train_rows, store=store, decoder=decoder)
    other = _read(validation, validation_rows, store=store, decoder=decoder)
    found = [_predict(task, train, other, splits, seed=seed) for task in tasks]
    return _join([each for each in found if each is not None])


def neighbour_baseline(
    train: Floats, validation: Floats | None, splits: Splits, *, folds: Integers | None = None, seed: int
) -> Baseline | None:
    """Return how right the vote of the nearest neighbours is, on the pictures of `pixel_baseline`.

    Args:
        train: features of the training part, float32 of shape (N, D).
        validation: features of the validation part, float32 of shape (V, D), or None without one.
        splits: the pictures.
        folds: as in `pixel_baseline`.
        seed: of the draw.

    Returns:
        None where folds are needed and not given.
    """
    labels, others = splits.train.labels, predicted_part(splits).labels
    looked_at = train if validation is None else validation
    found = []
    for task in draw_tasks(splits, folds=folds, seed=seed):
        if len(task.train) < 2:
            continue
        known = train[task.train]
        # The first rows given are the neighbours themselves, whose votes nobody needs here.
        rows = np.concatenate([known, looked_at[task.validation]])
        votes = vote(rows, known, labels[task.train], num_classes=splits.train.num_classes)[len(known) :]
        found.append(_judge(task.validation, votes.argmax(axis=1), others))
    return _join(found)


def predicted_part(splits: Splits) -> ImageDataset:
    """Return the part whose pictures are predicted: validation, or training where that is cross-validated."""
    return splits.val if splits.val is not None else splits.train


def draw_tasks(splits: Splits, *, folds: Integers | None, seed: int) -> tuple[Task, ...]:
    """Return which pictures are learned from and predicted: one task, or one a fold without validation part.

    Args:
        splits: the pictures.
        folds: int64 of shape (N,), of the training pictures; needed where there is no validation part.
        seed: of the draw.
    """
    labels = splits.train.labels
    everything = np.arange(len(labels))
    if splits.val is not None:
        predicted = draw_evenly(splits.val.labels, MAX_VALIDATION, seed=seed)
        return (Task(train=draw_evenly(labels, MAX_TRAIN, seed=seed), validation=predicted),)
    if folds is None:
        return ()
    predicted = draw_evenly(labels, MAX_VALIDATION, seed=seed)
    tasks = []
    for fold in np.unique(folds):
        seen = everything[folds != fold]
        train = seen[draw_evenly(labels[seen], MAX_TRAIN, seed=seed)]
        tasks.append(Task(train=train, validation=predicted[folds[predicted] == fold]))
    return tuple(tasks)


def draw_evenly(labels: Integers, count: int, *, seed: int) -> Integers:
    """Return places of at most `count` pictures, sorted, every class with its share.

    Args:
        labels: int64 of shape (N,).
        count: how many.
        seed: of the draw; a larger count draws the same pictures and more.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # The r-th of a class of n has its turn at (r + 1/2) / n of the draw.
    turn = (rank + 0.5) / np.repeat(sizes, sizes)
    chosen: Integers = np.sort(by_class[np.argsort(turn, kind="stable")[:count]])
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Read:
    """Pixel features of the pictures of a part that could be read, `features[i]` of the picture `rows[i]`."""

    rows: Integers
    features: Floats

    def of(self, rows: Integers) -> tuple[Integers, Floats]:
        """Return those of `rows` that could be read, and their features."""
        known = rows[np.isin(rows, self.rows)]
        return known, self.features[np.searchsorted(self.rows, known)]


def _read(dataset: ImageDataset, rows: Integers, *, store: PixelStore | None, decoder: Decoder) -> _Read:
    """Read pictures small; `rows` is sorted."""
    place = {dataset.ids[row]: int(row) for row in rows}
    digests = None
    if dataset.digests is not None:
        digests = {dataset.ids[row]: dataset.digests[row] for row in rows}
    decoding = Decoding(
        source=dataset.source,
        preprocessing=SMALL,
        decoder=store.decoder if store is not None else decoder,
        store=store,
        digests=digests,
    )
    batches = [each for each in decode_batches(decoding, list(place), batch_size=_BATCH) if each.ids]
    return _Read(
        rows=np.array([place[each] for batch in batches for each in batch.ids], np.int64),
        features=np.concatenate(
            [np.empty((0, 3 * SIDE**2), np.float32), *(pixel_features(b.pixels) for b in batches)]
        ),
    )


def _predict(task: Task, train: _Read, validation: _Read, splits: Splits, *, seed: int) -> Baseline | None:
    seen, features = train.of(task.train)
    predicted, others = validation.of(task.validation)
    labels = splits.train.labels[seen]
    if not len(predicted) or len(np.unique(labels)) < 2:
        return None
    probe = LinearProbe(seed=seed).fit(features, labels)
    return _judge(predicted, probe.predict(others), predicted_part(splits).labels)


def _judge(rows: Integers, predicted: npt.NDArray[np.integer], labels: Integers) -> Baseline:
    return Baseline(rows=rows, correct=(predicted == labels[rows]).astype(np.float64))


def _join(parts: Sequence[Baseline]) -> Baseline | None:
    if not parts:
        return None
    return Baseline(
        rows=np.concatenate([each.rows for each in parts]),
        correct=np.concatenate([each.correct for each in parts]),
    )


def _area(size: int) -> Floats:
    """Return weights of shape (8, size) for the mean over each eighth of a side, parts of pixels too."""
    edges = np.arange(SIDE + 1) * (size / SIDE)
    pixels = np.arange(size)
    upper = np.minimum(edges[1:, None], pixels + 1)  # (8, size)
    overlap = np.maximum(0, upper - np.maximum(edges[:-1, None], pixels))
    weights: Floats = (overlap * (SIDE / size)).astype(np.float32)
    return weights
