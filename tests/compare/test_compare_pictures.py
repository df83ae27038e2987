"""Pictures are read before anything rests on them, also when nobody scanned them."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import headstart as hs
from headstart.compare import CompareOptions, compare
from headstart.compare.final import FinalPredictions
from headstart.compare.mistakes import confusion, most_confident_mistakes
from headstart.compare.pictures import prepare_splits
from headstart.core.errors import PictureError
from headstart.core.progress import SILENT
from headstart.data import Splits, dataset_from_arrays
from headstart.evaluate import evaluate
from headstart.preprocess import with_resolution


@pytest.fixture
def folder(tmp_path: Path, draw_folder: Callable[..., Path]) -> Path:
    """30 pictures a class, one of them broken and one a copy."""
    root = draw_folder(tmp_path / "pictures", per_class=30)
    (root / "disc" / "0003.png").write_bytes(b"no picture")
    (root / "disc" / "0005.png").write_bytes((root / "disc" / "0004.png").read_bytes())
    return root


def test_a_data_set_is_read_and_split(folder: Path) -> None:
    splits = prepare_splits(hs.open_dataset(folder), seed=3, progress=SILENT)
    assert splits.seed == 3
    assert len(splits.train) == 89
    assert splits.train.digests is not None
    assert [each.id for each in splits.excluded] == ["disc/0003.png"]


def test_parts_drawn_without_a_scan_are_kept_less_what_cannot_be_used(folder: Path) -> None:
    dataset = hs.open_dataset(folder)
    part = np.arange(90) % 3
    part[[34, 35]] = [0, 2]  # a picture for training whose copy is in the test part
    part[33] = 1
    drawn = Splits(
        train=dataset.select(np.flatnonzero(part == 0)),
        val=dataset.select(np.flatnonzero(part == 1)),
        test=dataset.select(np.flatnonzero(part == 2)),
        given_test=False,
        seed=5,
    )
    splits = prepare_splits(drawn, seed=0, progress=SILENT)
    assert drawn.val is not None
    assert splits.val is not None
    assert splits.test is not None
    assert splits.train.ids == tuple(each for each in drawn.train.ids if each != "disc/0004.png")
    assert splits.val.ids == tuple(each for each in drawn.val.ids if each != "disc/0003.png")
    assert drawn.test is not None
    assert splits.test.ids == drawn.test.ids
    assert {each.id for each in splits.excluded} == {"disc/0003.png", "disc/0004.png"}
    assert (splits.given_test, splits.seed) == (False, 5)
    assert prepare_splits(splits, seed=0, progress=SILENT) is splits


def test_parts_without_validation_stay_without(few_shapes: Path) -> None:
    drawn = hs.open_dataset(few_shapes).split()
    splits = prepare_splits(drawn, seed=0, progress=SILENT)
    assert (splits.val, splits.test, splits.given_test) == (None, None, False)
    assert splits.train.ids == drawn.train.ids
    assert splits.train.digests is not None


def test_a_comparison_leaves_out_what_cannot_be_read(
    folder: Path, tiny_models: tuple[str, str], options: CompareOptions, tmp_path: Path
) -> None:
    comparison = compare(
        tiny_models[:1],
        hs.open_dataset(folder).split(),
        out=tmp_path / "run",
        options=replace(options, resolutions=(32,)),
    )
    assert comparison.chosen
    assert [each.id for each in comparison.excluded] == ["disc/0003.png"]
    assert comparison.excluded[0].reason
    assert comparison.num_duplicates == 2
    assert comparison.class_counts == (30, 29, 30)


class Files:
    """Pictures by their name; one is gone."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, picture_id: str) -> bytes:
        if picture_id not in self.files:
            raise PictureError("gone")
        return self.files[picture_id]


def jpeg(width: int, height: int) -> bytes:
    """A picture that says where it was taken."""
    data, exif = io.BytesIO(), Image.Exif()
    exif[0x010F] = "camera of somebody"
    Image.effect_noise((width, height), 90).convert("RGB").save(
        data, "JPEG", exif=exif, comment=b"at home, with my phone number", dpi=(300, 300)
    )
    return data.getvalue()


def test_the_surest_mistakes_come_first_and_bear_no_metadata(
    tmp_path: Path, tiny_models: tuple[str, str]
) -> None:
    dataset = dataset_from_arrays(
        np.zeros((40, 2, 2), np.uint8), np.array([0, 1] * 20), class_names=["a", "b"]
    )
    ids = dataset.ids
    files = {each: jpeg(400, 200) for each in ids[:20]} | {each: jpeg(30, 60) for each in ids[20:39]}
    dataset = replace(dataset, source=Files(files))
    wrong = np.linspace(0.4, 0.9, 40, dtype=np.float32)
    probabilities = np.stack([1 - wrong, wrong], axis=1)
    probabilities[1::2] = probabilities[1::2, ::-1]
    final = FinalPredictions(
        dataset=dataset, probabilities=probabilities[None], evaluation=evaluate(probabilities, dataset.labels)
    )
    network = hs.load(tiny_models[0])
    network = network.with_preprocessing(with_resolution(network.preprocessing, 64))
    classifier = network.with_head(torch.nn.Linear(network.feature_dim, 2), ("a", "b"))
    mistakes = most_confident_mistakes(final, classifier, tmp_path)
    assert len(mistakes) == 24
    assert [each.id for each in mistakes] == list(ids[:15:-1])
    assert mistakes[0].probability == pytest.approx(0.9)
    assert mistakes[0].true_probability == pytest.approx(0.1)
    assert [each.true_class for each in mistakes[:2]] == ["b", "a"]
    assert [each.predicted_class for each in mistakes[:2]] == ["a", "b"]
    assert mistakes[0].thumbnail == mistakes[0].heat_map == ""  # it is gone
    sizes = set()
    for each in mistakes[1:]:
        for path in (each.thumbnail, each.heat_map):
            data = (tmp_path / path).read_bytes()
            assert b"phone number" not in data
            assert b"camera" not in data
            with Image.open(io.BytesIO(data)) as image:
                assert "comment" not in image.info
                sizes.add(image.size)
    assert sizes == {(320, 160), (160, 320), (320, 320)}
    counts = confusion(final)
    assert sum(map(sum, counts)) == 40
    assert counts[0][1] + counts[1][0] == int((wrong > 0.5).sum())
