"""What heads say of pictures that they did not see, validation pictures and training pictures alike."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from headstart import metrics
from headstart.compare import heads
from headstart.compare.heads import Judged, judge
from headstart.data import ImageDataset, Splits, dataset_from_arrays
from headstart.train import LinearProbe

NUM_TRAIN, NUM_VAL = 240, 60
Floats = npt.NDArray[np.float32]


def part(labels: npt.NDArray[np.int64], contents: npt.NDArray[np.int64]) -> ImageDataset:
    pictures = np.zeros((len(labels), 2, 2), np.uint8)
    names = tuple(f"{content:064x}" for content in contents)
    return replace(dataset_from_arrays(pictures, labels), digests=names)


def judged(features: Floats, labels: npt.NDArray[np.int64], contents: npt.NDArray[np.int64]) -> Judged:
    train = part(labels[:NUM_TRAIN], contents[:NUM_TRAIN])
    val = part(labels[NUM_TRAIN:], contents[NUM_TRAIN:])
    rows = {len(train): features[:NUM_TRAIN], len(val): features[NUM_TRAIN:]}
    splits = Splits(train=train, val=val, test=None, given_test=False, seed=0)
    return judge(splits, lambda dataset: rows[len(dataset)], seed=0, device="cpu")


def drawn(seed: int = 0) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Features of twice as many numbers as pictures, which say nothing of the labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(NUM_TRAIN + NUM_VAL) % 3
    return generator.normal(size=(len(labels), 600)).astype(np.float32), labels


def test_training_pictures_are_predicted_by_probes_that_did_not_see_them() -> None:
    features, labels = drawn()
    found = judged(features, labels, np.arange(len(labels)))
    assert found.train_correct is not None
    assert found.train_correct.mean() > 0.9  # known by heart
    assert found.left_out is not None
    assert found.left_out.shape == (2, NUM_TRAIN)
    assert abs(found.left_out[0].mean() - 1 / 3) < 0.1  # by chance


def test_the_same_content_does_not_give_itself_away() -> None:
    features, labels = drawn()
    half = NUM_TRAIN // 2
    contents = np.arange(len(labels))
    contents[half:NUM_TRAIN] = contents[:half]  # every training picture is there twice
    features[half:NUM_TRAIN], labels[half:NUM_TRAIN] = features[:half], labels[:half]
    found = judged(features, labels, contents)
    assert found.left_out is not None
    assert abs(found.left_out[0].mean() - 1 / 3) < 0.12


def test_they_are_what_cross_validation_says() -> None:
    features, labels = drawn()
    features[np.arange(len(labels)), labels] += 4
    found = judged(features, labels, np.arange(len(labels)))
    train = part(labels[:NUM_TRAIN], np.arange(NUM_TRAIN))
    folds = heads.draw_folds(train, seed=0)[0]
    for fold in range(5):
        known, others = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        probe = LinearProbe(strengths=[found.regularization]).fit(features[known], labels[known])
        probabilities = probe.predict_proba(features[others])
        expected = metrics.surprisals(labels[others], probabilities)
        assert found.left_out is not None
        assert np.allclose(found.left_out[1][others], expected, atol=1e-3)
        assert (found.left_out[0][others] == (probabilities.argmax(1) == labels[others])).all()


def test_many_training_pictures_or_a_class_of_one_are_left_to_validation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, labels = drawn()
    contents = np.arange(len(labels))
    single = labels.copy()
    single[:NUM_TRAIN][single[:NUM_TRAIN] == 2] = 1
    single[0] = 2  # the only one of its class to train on
    assert judged(features, single, contents).left_out is None
    monkeypatch.setattr(heads, "MAX_LEFT_OUT", NUM_TRAIN - 1)
    assert judged(features, labels, contents).left_out is None
