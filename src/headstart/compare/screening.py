"""Cheap evidence on a candidate, from the features of few pictures."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.data import ImageDataset
from headstart.embed.store import StoredFeatures
from headstart.train.closed_form import fit_closed_form
from headstart.train.neighbours import vote

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """How a candidate stands after a rung. Every picture was predicted by a head that had not seen it.

    Attributes:
        num_train: T, training pictures it has seen.
        correct_train: bool of shape (T,), by ridge regression fitted on the others.
        correct: bool of shape (V,), validation pictures by ridge regression fitted on the training pictures.
        neighbours: accuracy of the nearest neighbours on all T + V pictures, in [0, 1].
        h_score: regularised H-score of the training pictures.
        log_me: their log evidence, in nats a picture.
    """

    num_train: int
    correct_train: npt.NDArray[np.bool_]
    correct: npt.NDArray[np.bool_]
    neighbours: float
    h_score: float
    log_me: float

    @property
    def ridge(self) -> float:
        """Accuracy of ridge regression on all pictures, in [0, 1]."""
        return float(np.concatenate([self.correct_train, self.correct]).mean())

    @property
    def score(self) -> float:
        """What candidates are ordered by: the mean accuracy of the two kinds of head, in [0, 1].

        In tasks of `benchmarks/selection.py` it led to better choices than either alone, than LogME, the
        H-score, and a probe of one strength on the validation pictures.
        """
        return (self.ridge + self.neighbours) / 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScreeningTask:
    """The evidence on a candidate as a worker is asked for it.

    Attributes:
        pictures: names and labels of T + V pictures, training pictures first; no worker needs to read one.
        features: where the candidate's are.
        num_train: T.
    """

    pictures: ImageDataset
    features: StoredFeatures
    num_train: int

    def run(self) -> Iterator[Standing]:
        """Yield how the candidate stands.

        Raises:
            StorageError: features are not in the store.
        """
        yield screen(
            self.features.rows(self.pictures),
            self.pictures.labels,
            num_train=self.num_train,
            num_classes=self.pictures.num_classes,
        )


def screen(features: Floats, labels: Integers, *, num_train: int, num_classes: int) -> Standing:
    """Return how a candidate stands.

    Args:
        features: float32 of shape (T + V, D), the training pictures first.
        labels: int64 of shape (T + V,), in the same order.
        num_train: T.
        num_classes: K.
    """
    train, truth = features[:num_train], labels[:num_train]
    fitted = fit_closed_form(train, truth, num_classes=num_classes)
    votes = vote(features, train, truth, num_classes=num_classes)
    return Standing(
        num_train=num_train,
        correct_train=fitted.left_out_scores.argmax(axis=1) == truth,
        correct=fitted.scores(features[num_train:]).argmax(axis=1) == labels[num_train:],
        neighbours=float((votes.argmax(axis=1) == labels).mean()),
        h_score=fitted.h_score,
        log_me=fitted.log_me,
    )
