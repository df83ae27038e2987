"""The heads of one candidate: fitted on training pictures, and judged on pictures that they did not see.

With a validation part the probe is fitted on the training part and predicts the other. Without one
(too few pictures) it is cross-validated: folds drawn several times, every picture predicted once each time by
a probe that never saw it. Where the validation part is small, the training part is cross-validated, too: its
many more pictures tell candidates apart that validation cannot.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from headstart import metrics
from headstart.compare.pictures import without_pictures
from headstart.core.errors import DataError
from headstart.data import ImageDataset, Splits
from headstart.data.dataset import check_classes
from headstart.data.partition import inseparable
from headstart.embed.matrix import select_rows
from headstart.embed.store import StoredFeatures
from headstart.train import LinearProbe

Features: TypeAlias = npt.NDArray[np.float32]

NUM_FOLDS = 5
NUM_REPEATS = 3

MAX_LEFT_OUT = 20_000
"""Training pictures up to which they are cross-validated beside a validation part. That takes about as long
as the probe itself; with more of them, validation has thousands of pictures, which are enough."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What heads say of pictures that they did not see.

    Attributes:
        probabilities: float32 of shape (R, N, K): of the N validation pictures, predicted R times by
            probes that did not see them; R is 1 with a validation part.
        inner_losses: float32 of shape (R, F): the log loss by which each of F probes chose its own strength,
            from its own training part.
        regularization: strength that the probe chose; the median over folds.
        fewer: float32 of shape (R, N): 1 where a probe is right that did not see the picture, nor those of a
            second fold; None with a validation part, or with two folds.
        head: float32 of shape (K, D + 1): weights and intercepts of the probe fitted on the training part;
            None where there are many probes, for candidates that are cross-validated.
        train_correct: float32 of shape (M,): 1 where that probe is right on a picture that it was fitted on;
            None likewise.
        left_out: float32 of shape (2, M): of each training picture, predicted by a probe that was fitted on
            others, 1 where it is right, and -log probability of the true class in nats. None where there are
            many pictures, or too few of a class, or where all of the above is of left out pictures.
    """

    probabilities: Features
    inner_losses: Features
    regularization: float
    fewer: Features | None = None
    head: Features | None = None
    train_correct: Features | None = None
    left_out: Features | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadsTask:
    """The heads of a candidate as a worker is asked to judge them.

    Attributes:
        splits: names and labels of training and validation pictures; no worker needs to read one.
        features: where the candidate's are.
        seed: of the folds and the probe.
        device: that embedded the pictures.
    """

    splits: Splits
    features: StoredFeatures
    seed: int
    device: str

    @classmethod
    def of(cls, splits: Splits, features: StoredFeatures, *, seed: int, device: str) -> "HeadsTask":
        """Return the task without the pictures' source and without the test part."""
        train, val = without_pictures(splits.train), splits.val and without_pictures(splits.val)
        return cls(
            splits=replace(splits, train=train, val=val, test=None),
            features=features,
            seed=seed,
            device=device,
        )

    def run(self) -> Iterator[Judged]:
        """Yield what the heads say.

        Raises:
            StorageError: features are not in the store.
        """
        yield judge(self.splits, self.features.rows, seed=self.seed, device=head_device(self.device))


def head_device(device: str) -> str:
    """Return where heads are fitted: on a GPU if one embedded the pictures and one is here."""
    return "cuda" if device == "cuda" and torch.cuda.is_available() else "cpu"


def judge(splits: Splits, rows: Callable[[ImageDataset], Features], *, seed: int, device: str) -> Judged:
    """Return what the heads of a candidate say; the test part is not looked at.

    Args:
        splits: training pictures, and validation pictures if there are some.
        rows: gives the features of a part, float32 of shape (N, D).
        seed: of the folds and the probe.
        device: where heads are fitted.
    """
    if splits.val is None:
        folds = draw_folds(splits.train, seed=seed)
        return _cross_validate(rows(splits.train), splits.train, folds, seed=seed, device=device)
    features = rows(splits.train)
    probe = fit_probe(features, splits.train, seed=seed, device=device)
    return Judged(
        probabilities=probe.predict_proba(rows(splits.val)).astype(np.float32)[None],
        inner_losses=np.array([[probe.inner_log_losses_.min()]], np.float32),
        regularization=probe.strength_,
        head=np.column_stack([probe.coef_, probe.intercept_]).astype(np.float32),
        train_correct=(probe.predict(features) == splits.train.labels).astype(np.float32),
        left_out=_leave_out(features, splits.train, strength=probe.strength_, seed=seed, device=device),
    )


def fit_probe(
    features: npt.NDArray[np.float32],
    dataset: ImageDataset,
    *,
    regularization: float | None = None,
    start: npt.NDArray[np.float32] | None = None,
    seed: int,
    device: str,
) -> LinearProbe:
    """Return a probe fitted on a part's features, by the strength that is given or chooses itself.

    Where a strength is given the fit may begin at the head of an earlier one, see `LinearProbe.fit`.

    Raises:
        DataError: a class has no picture in this part.
    """
    check_classes(dataset)
    strengths = None if regularization is None else [regularization]
    probe = LinearProbe(strengths=strengths, seed=seed, device=device)
    return probe.fit(features, dataset.labels, start=start)


def count_folds(dataset: ImageDataset) -> int:
    """Return how many folds a part is cut into: 5, or less where a class has fewer different pictures."""
    _, labels = _contents(dataset)
    return min(NUM_FOLDS, int(np.bincount(labels, minlength=dataset.num_classes).min()))


def draw_folds(dataset: ImageDataset, *, seed: int) -> npt.NDArray[np.int64]:
    """Return int64 of shape (R, N): the fold that each picture is predicted in, in each of R drawings.

    Stratified; pictures of the same content or group are in the same fold.

    Raises:
        DataError: a class has fewer than two different pictures.
    """
    from sklearn.model_selection import StratifiedKFold

    num_folds = count_folds(dataset)
    if num_folds < 2:
        raise DataError(
            "cross-validation needs two different pictures of every class, none of which lies in another "
            "class as well",
            hint="headstart check DATA lists pictures that occur more than once",
        )
    content, labels = _contents(dataset)
    folds = np.empty((NUM_REPEATS, len(labels)), np.int64)
    for repeat in range(NUM_REPEATS):
        cut = StratifiedKFold(num_folds, shuffle=True, random_state=seed + repeat)
        for fold, (_, held_out) in enumerate(cut.split(labels, labels)):
            folds[repeat, held_out] = fold
    return folds[:, content]


def _contents(dataset: ImageDataset) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the number of each picture's content, of shape (N,), and the label of each content's first."""
    _, first, content = np.unique(inseparable(dataset), return_index=True, return_inverse=True)
    return content, dataset.labels[first]


def _cross_validate(
    features: Features, dataset: ImageDataset, folds: npt.NDArray[np.int64], *, seed: int, device: str
) -> Judged:
    num_folds = int(folds.max()) + 1
    probabilities = np.empty((*folds.shape, dataset.num_classes), np.float32)
    losses = np.empty((len(folds), num_folds), np.float32)
    fewer = np.empty(folds.shape, np.float32) if num_folds > 2 else None
    strengths = []
    for repeat, fold in np.ndindex(losses.shape):
        asked = folds[repeat] == fold
        probe, probabilities[repeat, asked] = _predict(
            features, dataset, ~asked, asked, seed=seed, device=device
        )
        losses[repeat, fold] = probe.inner_log_losses_.min()
        strengths.append(probe.strength_)
        if fewer is not None:
            known = ~asked & (folds[repeat] != (fold + 1) % num_folds)
            _, found = _predict(
                features, dataset, known, asked, regularization=probe.strength_, seed=seed, device=device
            )
            fewer[repeat, asked] = found.argmax(1) == dataset.labels[asked]
    return Judged(
        probabilities=probabilities,
        inner_losses=losses,
        regularization=float(np.median(strengths)),
        fewer=fewer,
    )


def _leave_out(
    features: Features, dataset: ImageDataset, *, strength: float, seed: int, device: str
) -> Features | None:
    """Return how probes of one strength do on training pictures that they were not fitted on: `left_out`."""
    if len(dataset) > MAX_LEFT_OUT or count_folds(dataset) < 2:
        return None
    folds = draw_folds(dataset, seed=seed)[0]
    probabilities = np.empty((len(dataset), dataset.num_classes), np.float32)
    for fold in range(folds.max() + 1):
        asked = folds == fold
        _, probabilities[asked] = _predict(
            features, dataset, ~asked, asked, regularization=strength, seed=seed, device=device
        )
    correct = probabilities.argmax(1) == dataset.labels
    return np.stack([correct, metrics.surprisals(dataset.labels, probabilities)]).astype(np.float32)


def _predict(
    features: Features,
    dataset: ImageDataset,
    known: npt.NDArray[np.bool_],
    asked: npt.NDArray[np.bool_],
    *,
    regularization: float | None = None,
    seed: int,
    device: str,
) -> tuple[LinearProbe, Features]:
    """Return a probe fitted on the known pictures, and its probabilities of those that are asked for."""
    seen = np.flatnonzero(known)
    probe = fit_probe(
        select_rows(features, seen),
        dataset.select(seen),
        regularization=regularization,
        seed=seed,
        device=device,
    )
    return probe, probe.predict_proba(select_rows(features, np.flatnonzero(asked))).astype(np.float32)
