"""`predict`: one row a picture, in order, from anything, with bounded memory."""

import importlib
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

import headstart as hs
from headstart.core.errors import InputError, ModelError, PictureError
from headstart.data import dataset_from_arrays
from headstart.data.decode import decode
from headstart.embed import Plan, PlanOptions
from headstart.embed.plan import batch_size
from headstart.models import Classifier
from headstart.models.familiarity import Familiarity
from headstart.models.parts import Parts
from headstart.predict import Prediction, predict
from headstart.preprocess import to_input, to_pixels

EXACT = PlanOptions(device="cpu", plan="exact")
prediction = importlib.import_module("headstart.predict.prediction")


class Counter:
    """A progress that only counts."""

    def __init__(self) -> None:
        self.started: list[tuple[int | None, str]] = []
        self.done = 0

    def start(self, what: str, *, total: int | None = None, unit: str = "") -> None:
        self.started.append((total, unit))

    def advance(self, count: int = 1) -> None:
        self.done += count

    def note(self, text: str) -> None:
        raise AssertionError(text)


@dataclass
class Noise:
    """Endless pictures; counts how many were asked for."""

    read_ids: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, picture_id: str) -> npt.NDArray[np.uint8]:
        with self.lock:
            self.read_ids.append(picture_id)
        if picture_id.endswith("7"):
            raise PictureError("ends in seven")
        generator = np.random.default_rng(int(picture_id))
        return generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)


def endless(count: int) -> tuple[hs.ImageDataset, Noise]:
    source = Noise()
    one = dataset_from_arrays(np.zeros((1, 2, 2), np.uint8), np.array([0]), class_names=["square"])
    ids = tuple(str(index) for index in range(count))
    return replace(one, ids=ids, labels=np.zeros(count, np.int64), source=source), source


def test_the_figures_are_the_networks_own(classifier: Classifier, few_shapes: Path) -> None:
    path = few_shapes / "disc" / "0003.png"
    (row,) = predict(classifier, path, options=EXACT)
    pixels = to_pixels(decode(path.read_bytes()), classifier.preprocessing)
    with torch.inference_mode():
        logits = classifier(to_input(torch.from_numpy(pixels.copy())[None], classifier.preprocessing))
    expected = torch.softmax(logits / 0.5, dim=1)[0].numpy()
    assert row.probabilities.dtype == np.float32
    assert np.allclose(row.probabilities, expected, atol=1e-5)
    assert row.probabilities.sum() == pytest.approx(1)
    assert row.path == path.as_posix()
    assert row.label == classifier.class_names[expected.argmax()]
    assert row.probability == row.probabilities.max()
    assert row.error == ""


def test_paths_folders_and_zips_mix_and_keep_their_order(
    classifier: Classifier, few_shapes: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "more.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(few_shapes / "cross" / "0001.png", "b/one.png")
        archive.writestr("a/broken.jpg", b"not a picture")
    text = tmp_path / "notes.jpg"
    text.write_text("not a picture either")
    (tmp_path / "empty.png").touch()
    single = few_shapes / "square" / "0000.png"
    rows = list(
        predict(
            classifier,
            [text, packed, few_shapes / "disc", str(single), tmp_path / "empty.png"],
            options=EXACT,
        )
    )
    expected = [text.as_posix(), f"{packed.as_posix()}/a/broken.jpg", f"{packed.as_posix()}/b/one.png"]
    expected += [f"{few_shapes.as_posix()}/disc/{index:04}.png" for index in range(15)]
    expected += [single.as_posix(), f"{tmp_path.as_posix()}/empty.png"]
    assert [row.path for row in rows] == expected
    unread = [row for row in rows if row.error]
    assert [row.path for row in unread] == [expected[0], expected[1], expected[-1]]
    for row in unread:
        assert (row.label, row.probability, row.probabilities.shape) == ("", 0.0, (0,))
    assert "not a picture" in unread[0].error
    assert unread[2].error == "empty file"
    assert all(row.label in classifier.class_names for row in rows if not row.error)


def test_a_path_given_twice_is_one_row(classifier: Classifier, few_shapes: Path) -> None:
    first, second = few_shapes / "disc" / "0000.png", few_shapes / "disc" / "0001.png"
    rows = list(predict(classifier, [first, second, str(first)], options=EXACT))
    assert [row.path for row in rows] == [first.as_posix(), second.as_posix()]


def test_pictures_of_the_same_content_each_have_their_row(classifier: Classifier) -> None:
    grey = dataset_from_arrays(np.full((3, 8, 8), 90, np.uint8), np.zeros(3, np.int64), class_names=["disc"])
    rows = list(predict(classifier, grey, options=EXACT))
    assert [row.path for row in rows] == list(grey.ids)
    assert len({row.probability for row in rows}) == 1


def test_order_holds_over_many_batches_and_unreadable_pictures(classifier: Classifier) -> None:
    dataset, _ = endless(600)
    progress = Counter()
    rows = list(predict(classifier, dataset, options=EXACT, progress=progress))
    assert [row.path for row in rows] == list(dataset.ids)
    assert [row.path for row in rows if row.error] == [each for each in dataset.ids if each.endswith("7")]
    assert rows[7].error == "ends in seven"
    assert progress.started == [(600, "pictures")]
    assert progress.done == 600
    alone = next(predict(classifier, dataset.select([333]), options=EXACT))
    assert np.allclose(rows[333].probabilities, alone.probabilities, atol=1e-5)


def test_it_reads_only_a_little_ahead(classifier: Classifier) -> None:
    dataset, source = endless(100_000)
    size = batch_size(classifier.preprocessing)
    rows = predict(classifier, dataset, options=EXACT)
    assert not source.read_ids  # nothing happens before the first row is asked for
    assert next(rows).path == "0"
    assert len(source.read_ids) <= 4 * size
    for _ in range(size):
        next(rows)
    assert len(source.read_ids) <= 5 * size
    rows.close()  # type: ignore[attr-defined]  # a generator
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_a_pipe_is_read_as_it_is_predicted(classifier: Classifier, few_shapes: Path, tmp_path: Path) -> None:
    told: list[int] = []
    files = [few_shapes / "disc" / f"{index:04}.png" for index in range(3)] + [tmp_path / "gone.png"]

    def lines() -> Iterator[str]:
        for index in range(10**9):
            told.append(index)
            yield str(files[index % 4])

    size, progress = batch_size(classifier.preprocessing), Counter()
    rows = predict(classifier, lines(), options=EXACT, progress=progress)
    first = [next(rows) for _ in range(2 * size)]
    assert [row.path for row in first] == [files[index % 4].as_posix() for index in range(2 * size)]
    assert [bool(row.error) for row in first] == [index % 4 == 3 for index in range(2 * size)]
    assert "No such file" in first[3].error
    assert len(told) <= max(500, 2 * size) + 3 * size
    assert progress.started == [(None, "pictures")]
    rows.close()  # type: ignore[attr-defined]  # a generator


def test_a_short_pipe_is_counted(classifier: Classifier, few_shapes: Path) -> None:
    progress = Counter()
    rows = list(predict(classifier, iter([few_shapes / "disc"]), options=EXACT, progress=progress))
    assert progress.started == [(len(rows), "pictures")] == [(15, "pictures")]
    with pytest.raises(InputError, match="no pictures are given"):
        predict(classifier, iter(()))


def test_a_few_pictures_are_not_worth_a_check_of_the_precision(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def measure(_: object, plan: Plan) -> float:
        checked.append(plan.precision)
        return -1.0

    monkeypatch.setattr(prediction.Check, "min_cosine", measure)
    plan = importlib.import_module("headstart.embed.plan")
    monkeypatch.setattr(plan, "fast_precision", lambda device: "bf16")
    list(predict(classifier, endless(63)[0]))
    assert checked == []
    list(predict(classifier, endless(64)[0]))
    assert checked == ["bf16", "fp32"]
    list(predict(classifier, endless(3)[0], options=PlanOptions(device="cpu", precision="bf16")))
    assert checked == ["bf16", "fp32"] * 2


def test_below_the_threshold_a_picture_is_unknown(classifier: Classifier) -> None:
    dataset, _ = endless(30)
    named = list(predict(classifier, dataset, options=EXACT))
    assert not any(row.is_unknown for row in named)  # this classifier has no threshold
    middle = sorted(row.probability for row in named if not row.error)[10]
    knowing = classifier.with_preprocessing(classifier.preprocessing)
    knowing.threshold = middle
    asked = list(predict(classifier, dataset, threshold=middle, options=EXACT))
    assert [row.is_unknown for row in asked] == [bool(row.best) and row.probability < middle for row in named]
    for row, before in zip(asked, named, strict=True):
        assert (row.best, row.probability, row.error) == (before.label, before.probability, before.error)
        assert row.label == ("unknown" if row.is_unknown else before.label)
    own = list(predict(knowing, dataset, options=EXACT))
    assert [row.label for row in own] == [row.label for row in asked]
    always = list(predict(knowing, dataset, threshold=None, options=EXACT))
    assert [row.label for row in always] == [row.label for row in named]
    assert (classifier.threshold, knowing.threshold) == (None, middle)


def test_a_classifier_that_knows_its_pictures_says_which_are_unlike(classifier: Classifier) -> None:
    dataset, _ = endless(30)
    assert {row.is_unlike for row in predict(classifier, dataset, options=EXACT)} == {None}
    knowing = classifier.with_preprocessing(classifier.preprocessing)
    for limit, said in (
        (4.0, False),
        (-1.0, True),
    ):
        knowing.familiarity = Familiarity(
            mean=np.zeros(classifier.feature_dim, np.float32),
            axes=np.eye(2, classifier.feature_dim, dtype=np.float32),
            limit=limit,
            num_held_out=99,
            num_beyond=1,
        )
        for row in predict(knowing, dataset, threshold=0.9, options=EXACT):
            assert row.is_unlike is (None if row.error else said)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(threshold: float, classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one from 0 to 1"):
        predict(classifier, tmp_path, threshold=threshold)


def test_what_cannot_be_predicted_is_said_at_once(classifier: Classifier, tmp_path: Path) -> None:
    parts = Parts(backbone=classifier.backbone, head=None, feature_dim=classifier.feature_dim, network="x")
    headless = Classifier(
        parts, entry=classifier.entry, preprocessing=classifier.preprocessing, class_names=()
    )
    with pytest.raises(ModelError, match="has no classifier of its own") as caught:
        predict(headless, tmp_path)
    assert "headstart probe" in caught.value.hint
    with pytest.raises(InputError, match="no file or folder"):
        predict(classifier, tmp_path / "nowhere.png")
    with pytest.raises(InputError, match="no pictures are given"):
        predict(classifier, [])


def test_all_unreadable_pictures_are_all_rows(classifier: Classifier) -> None:
    dataset, _ = endless(8)
    rows = list(predict(classifier, dataset.select([7]), options=EXACT))
    assert [(row.path, row.error) for row in rows] == [("7", "ends in seven")]
    assert isinstance(rows[0], Prediction)
