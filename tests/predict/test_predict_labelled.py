"""`predict_labelled`: probabilities beside labels in the classifier's own order."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.core.errors import DataError
from headstart.data import ImageDataset, dataset_from_arrays
from headstart.data.decode import decode
from headstart.embed import PlanOptions
from headstart.evaluate import evaluate
from headstart.models import Classifier
from headstart.predict import predict, predict_labelled
from headstart.preprocess import to_input, to_pixels

EXACT = PlanOptions(device="cpu", plan="exact")
scoring = importlib.import_module("headstart.predict.scoring")
embedder = importlib.import_module("headstart.embed.embedder")


@pytest.fixture
def dataset(few_shapes: Path) -> ImageDataset:
    """45 pictures; the classes stand in another order than the classifier's."""
    return hs.open_dataset(few_shapes)


def test_labels_are_translated_by_name(
    classifier: Classifier, dataset: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "_ROWS_AT_ONCE", 7)
    probabilities, labels = predict_labelled(classifier, dataset, options=EXACT)
    assert (probabilities.shape, probabilities.dtype) == ((45, 3), np.float32)
    assert (labels.shape, labels.dtype) == ((45,), np.int64)
    assert dataset.class_names != classifier.class_names
    assert [classifier.class_names[label] for label in labels] == [
        dataset.class_names[label] for label in dataset.labels
    ]
    rows = list(predict(classifier, dataset, options=EXACT))
    assert np.allclose(probabilities, np.stack([row.probabilities for row in rows]), atol=1e-6)
    right = np.mean([row.label == row.path.partition("/")[0] for row in rows])
    assert evaluate(probabilities, labels).accuracy.value == pytest.approx(right)


def test_a_classifier_may_know_more_classes(classifier: Classifier, dataset: ImageDataset) -> None:
    crosses = replace(dataset.select(range(15)), class_names=("cross",), labels=np.zeros(15, np.int64))
    _, labels = predict_labelled(classifier, crosses, options=EXACT)
    assert set(labels.tolist()) == {classifier.class_names.index("cross")}


def test_an_unknown_class_is_named_before_any_work(
    classifier: Classifier, dataset: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a picture was predicted")

    monkeypatch.setattr(scoring, "embed", fail)
    monkeypatch.setattr(scoring, "scan", fail)
    renamed = replace(dataset, class_names=("cross", "Disc", "sphere"))
    with pytest.raises(DataError, match=r"know the class 'Disc', nor 'sphere' \(30 of 45 pict") as caught:
        predict_labelled(classifier, renamed, options=EXACT)
    assert "'square', 'cross', 'disc'" in caught.value.hint


def test_only_a_part_that_is_held_out_is_used(classifier: Classifier, dataset: ImageDataset) -> None:
    parts = ("train", "val", "test")
    given = replace(dataset, given_splits=tuple(parts[index % 3] for index in range(45)))
    probabilities, labels = predict_labelled(classifier, given, options=EXACT)
    everything, all_labels = predict_labelled(classifier, dataset, options=EXACT)
    assert np.array_equal(labels, all_labels[2::3])
    assert np.allclose(probabilities, everything[2::3], atol=1e-5)
    names = ("cross", "disc", "cube")  # nobody asks for the names of classes that train alone has
    without = replace(dataset, class_names=names, given_splits=("val",) * 15 + ("train",) * 30)
    assert len(predict_labelled(classifier, without, options=EXACT)[1]) == 15


def test_the_second_time_no_picture_goes_through_the_network(
    classifier: Classifier, dataset: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = predict_labelled(classifier, dataset, options=EXACT)
    monkeypatch.setattr(embedder, "decode_batches", None)
    second, _ = predict_labelled(classifier, dataset, options=EXACT)
    assert np.array_equal(first, second)


def test_a_network_that_classifies_as_a_whole(dataset: ImageDataset) -> None:
    whole = hs.load("torchvision/squeezenet1_1", weights=None)
    small = whole.with_preprocessing(replace(whole.preprocessing, input_size=(64, 64)))
    crosses = replace(dataset.select([0, 1]), class_names=("goldfish", "", ""))
    probabilities, labels = predict_labelled(small, crosses, options=EXACT)
    rows = list(predict(small, crosses, options=EXACT))
    assert labels.tolist() == [1, 1]
    assert np.allclose(probabilities, np.stack([row.probabilities for row in rows]), atol=1e-6)
    pixels = [to_pixels(decode(crosses.source.read(each)), small.preprocessing) for each in crosses.ids]
    with torch.inference_mode():
        logits = small(to_input(torch.from_numpy(np.stack(pixels)), small.preprocessing))
    assert np.allclose(probabilities, logits.softmax(dim=1).numpy(), atol=1e-5)


def test_unreadable_pictures_are_left_out_with_their_labels(
    classifier: Classifier, dataset: ImageDataset, tmp_path: Path
) -> None:
    arrays = np.stack([np.full((8, 8, 3), 20 * index, np.uint8) for index in range(6)])
    small = dataset_from_arrays(arrays, np.array([0, 1, 2, 2, 1, 0]), class_names=["disc", "cross", "square"])

    class Broken:
        def read(self, picture_id: str) -> Any:
            return b"broken" if picture_id in small.ids[1:3] else small.source.read(picture_id)

    probabilities, labels = predict_labelled(classifier, replace(small, source=Broken()), options=EXACT)
    assert len(probabilities) == 4
    assert [classifier.class_names[label] for label in labels] == ["disc", "square", "cross", "disc"]
    with pytest.raises(DataError, match="none of the pictures could be read"):
        predict_labelled(classifier, replace(small.select([1, 2]), source=Broken()), options=EXACT)
