"""Cheap evidence on a candidate, from the features of few pictures."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from headstart.data import ImageDataset
from headstart.embed.store import StoredFeatures
from headstart.metrics import merit
from headstart.train.closed_form import fit_closed_form
from headstart.train.neighbours import vote
from headstart.train.probe import LinearProbe

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_SMALLEST = 1e-6  # of probabilities


STRENGTH = 0.1
"""Penalty of the probes that screen: on features of pretrained networks it is about the best for some hundred
pictures, and so few are too few to choose it by."""

NUM_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """How a candidate stands after a rung. Every picture was predicted by a head that had not seen it.

    Attributes:
        num_train: T, training pictures it has seen.
        correct: bool of shape (V,), validation pictures by ridge regression fitted on the training pictures.
        probe: accuracy of cross-validated linear probes on all T + V pictures, in [0, 1].
        probe_loss: their log loss, in nats.
        neighbours: accuracy of the nearest neighbours on all T + V pictures, in [0, 1].
        h_score: regularised H-score of the training pictures.
        log_me: their log evidence, in nats a picture.
    """

    num_train: int
    correct: npt.NDArray[np.bool_]
    probe: float
    probe_loss: float
    neighbours: float
    h_score: float
    log_me: float

    @property
    def accuracy(self) -> float:
        """Mean accuracy of the two kinds of head that order candidates, in [0, 1]."""
        return (self.probe + self.neighbours) / 2

    @property
    def score(self) -> float:
        """What candidates are ordered by: the mean of the probes' merit and the neighbours' accuracy.

        In the first 44 tasks of `benchmarks/selection.py` the race chose better by it than by the probes
        alone, and than by the accuracies of ridge regression and the neighbours; the other 44 agreed.
        """
        return (merit(self.probe, self.probe_loss) + self.neighbours) / 2


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
    probe, probe_loss = _probe(features, labels, num_classes=num_classes)
    return Standing(
        num_train=num_train,
        probe=probe,
        probe_loss=probe_loss,
        correct=fitted.scores(features[num_train:]).argmax(axis=1) == labels[num_train:],
        neighbours=float((votes.argmax(axis=1) == labels).mean()),
        h_score=fitted.h_score,
        log_me=fitted.log_me,
    )


def _probe(features: Floats, labels: Integers, *, num_classes: int) -> tuple[float, float]:
    """Return accuracy and log loss of probes that are cross-validated on all pictures.

    A class with one picture counts as wrong: no probe that predicts it has seen the class.
    """
    num_folds = min(NUM_FOLDS, int(np.bincount(labels).max()))
    probabilities = np.full((len(labels), num_classes), _SMALLEST, np.float32)
    if num_folds > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes with fewer pictures than there are folds
            cut = [*StratifiedKFold(num_folds, shuffle=True, random_state=0).split(labels, labels)]
        for known, others in cut:
            if len(np.unique(labels[known])) == 1:
                probabilities[others, labels[known[0]]] = 1
                continue
            probe = LinearProbe(strengths=[STRENGTH]).fit(features[known], labels[known])
            probabilities[np.ix_(others, probe.classes_)] = probe.predict_proba(features[others])
    right = probabilities[np.arange(len(labels)), labels]
    loss = -np.log(np.maximum(right, _SMALLEST)).mean()
    return float((probabilities.argmax(axis=1) == labels).mean()), float(loss)
