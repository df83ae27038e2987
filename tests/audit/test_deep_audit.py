"""The deep audit finds what was planted, with a real network, and nothing where nothing was planted."""

import csv
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.audit import Audit, audit, write_cleaned
from headstart.core.errors import InputError
from headstart.core.records import dumps, from_json
from headstart.data import dataset_from_arrays
from headstart.data.dataset import ImageDataset
from headstart.models import Classifier
from headstart.preprocess import with_resolution
from headstart.report import write_audit_page

Draw = Callable[..., Image.Image]
KINDS = ("cross", "disc", "square")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    loaded = hs.load("efficientnet_lite0")
    return loaded.with_preprocessing(with_resolution(loaded.preprocessing, 64))


def recompressed(image: Image.Image, quality: int) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return data.getvalue()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    """Shapes in train and test, with one of everything that can be wrong."""
    root = tmp_path_factory.mktemp("planted") / "shapes"
    for split, first, count in (("train", 0, 40), ("test", 100, 15)):
        for kind in KINDS:
            folder = root / split / kind
            folder.mkdir(parents=True)
            for seed in range(first, first + count):
                draw(kind, seed=seed).save(folder / f"{seed:03}.png")
    # A test picture in train, compressed anew; one whose label is wrong; one colour; a strip; an icon.
    (root / "train/disc/leak.jpg").write_bytes(recompressed(draw("disc", seed=101), 60))
    draw("square", seed=300).save(root / "train/disc/wrong.png")
    Image.new("RGB", (50, 40), (10, 200, 10)).save(root / "train/cross/green.png")
    draw("cross", seed=301).resize((400, 40)).save(root / "train/cross/strip.png")
    draw("cross", seed=302).resize((9, 9)).save(root / "train/cross/icon.png")
    (root / "train/cross/broken.png").write_bytes(b"nothing")
    return root


@pytest.fixture(scope="module")
def found(planted: Path, classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(tmp_path_factory.mktemp("home")))
        return audit(hs.open_dataset(planted), classifier=classifier)


def test_what_was_planted_is_found(found: Audit) -> None:
    deep = found.deep
    assert deep is not None
    across = deep.near_duplicates.across_splits
    assert [group for group in across if {"test/disc/101.png", "train/disc/leak.jpg"} <= set(group)]
    suspects = {each.id: each.reason for each in deep.suspects}
    assert suspects["train/cross/green.png"] == "one colour"
    assert suspects["train/cross/strip.png"] == "a strip: 400 x 40 pixels"
    assert suspects["train/cross/icon.png"] == "tiny: 9 x 9 pixels"
    assert len(suspects) == 3
    wrong = [each for each in deep.label_suspects if each.id == "train/disc/wrong.png"]
    assert [(each.label, each.suggested) for each in wrong] == [("disc", "square")]
    assert deep.accuracy is not None
    assert deep.accuracy.value > 0.6
    assert deep.skipped == ()
    assert deep.near_duplicates.inflation is not None
    assert deep.near_duplicates.inflation.n == 45  # the test pictures


def test_the_sentences_name_it(found: Audit) -> None:
    text = "\n".join(found.findings)
    for part in ("leak.jpg", "green.png (one colour)", "broken.png"):
        assert part in text
    assert found.deep is not None
    first = found.deep.label_suspects[:3]  # more are counted, not named
    assert all(f"{each.id} ({each.label}, or {each.suggested}?)" in text for each in first)


def test_the_record_survives_json(found: Audit) -> None:
    again = from_json(Audit, json.loads(dumps(found)))
    assert again == found


def test_a_second_audit_embeds_nothing_and_finds_the_same(
    found: Audit, planted: Path, classifier: Classifier
) -> None:
    again = audit(hs.open_dataset(planted), classifier=classifier)
    assert again == found


def test_a_class_that_is_given_away_is_noticed(classifier: Classifier, tmp_path: Path, draw: Draw) -> None:
    for kind, side, suffix in (("cross", 48, "png"), ("disc", 60, "jpg")):
        (tmp_path / kind).mkdir()
        for seed in range(40):
            picture = draw(kind, seed=seed).resize((side, side))
            picture.save(tmp_path / kind / f"{seed:03}.{suffix}")
    deep = audit(hs.open_dataset(tmp_path), classifier=classifier).deep
    assert deep is not None
    by_source = {each.source: each for each in deep.shortcuts}
    assert by_source["size and file format"].is_suspicious
    assert by_source["size and file format"].accuracy.value > 0.95
    assert by_source["size and file format"].chance == 0.5


def test_pictures_of_one_size_and_format_give_nothing_away(classifier: Classifier, few_shapes: Path) -> None:
    deep = audit(hs.open_dataset(few_shapes), classifier=classifier).deep
    assert deep is not None
    assert not any(each.is_suspicious for each in deep.shortcuts if each.source != "border pixels")
    assert "camera data" not in [each.source for each in deep.shortcuts]


def test_groups_that_likeness_bears_out_are_proposed(
    classifier: Classifier, tmp_path: Path, draw: Draw
) -> None:
    generator = np.random.default_rng(0)
    for kind in ("cross", "disc"):
        (tmp_path / kind).mkdir()
        for thing in range(12):
            picture = np.asarray(draw(kind, seed=thing)).astype(np.int64)
            for view in range(4):
                noisy = picture + generator.integers(-25, 26, picture.shape)
                Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
                    tmp_path / kind / f"thing{thing:02}_{view}.png"
                )
    deep = audit(hs.open_dataset(tmp_path), classifier=classifier).deep
    assert deep is not None
    assert [each.by for each in deep.groups] == ["name"]
    assert deep.groups[0].num_groups == 24
    assert deep.groups[0].nearest_inside > 3 * deep.groups[0].by_chance


@pytest.mark.parametrize("labels", [[0] * 40, [0, 1] * 4, [0] * 39 + [1]])
def test_few_pictures_and_single_classes_are_no_error(classifier: Classifier, labels: list[int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 20, 20, 3), dtype=np.uint8)
    deep = audit(dataset_from_arrays(images, labels), classifier=classifier).deep
    assert deep is not None
    assert deep.skipped
    assert deep.accuracy is None


def test_a_data_set_of_two_pictures_and_their_copies_is_no_error(
    classifier: Classifier, tmp_path: Path, draw: Draw
) -> None:
    for kind in ("cross", "disc"):
        for thing in range(2):
            for quality in range(60, 90, 2):
                folder = tmp_path / (kind if thing else "disc")
                folder.mkdir(exist_ok=True)
                picture = recompressed(draw(kind, seed=thing, side=96), quality)
                (folder / f"{kind}{thing}_{quality}.jpg").write_bytes(picture)
    found = audit(hs.open_dataset(tmp_path), classifier=classifier)
    assert found.deep is not None
    assert sum(map(len, found.deep.near_duplicates.groups)) > 40
    assert all(0 <= each.probability <= 1 for each in found.deep.label_suspects)


def test_without_cleanlab_the_rest_is_found(
    planted: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    deep = audit(hs.open_dataset(planted), classifier=classifier).deep
    assert deep is not None
    assert deep.label_suspects == ()
    assert deep.near_duplicates.across_splits
    assert "pip install 'headstart[audit]'" in deep.skipped[0]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_cleaned_table_opens_as_a_data_set_without_what_was_wrong(
    found: Audit, planted: Path, tmp_path: Path
) -> None:
    before = {each: each.read_bytes() for each in planted.rglob("*.png")}
    dataset = hs.open_dataset(planted)
    removed = write_cleaned(found, dataset, tmp_path / "sound.csv")
    sound = hs.open_dataset(tmp_path / "sound.csv")
    assert isinstance(sound, ImageDataset)
    left_out = {row["path"]: row["reason"] for row in rows_of(removed)}
    assert len(sound) + len(left_out) == len(dataset)
    assert left_out["train/disc/leak.jpg"] == "nearly the same as test/disc/101.png in test"
    assert "train/disc/wrong.png" not in left_out  # a person decides
    assert "strip" not in left_out.get("train/cross/strip.png", "")  # odd, but of use
    assert "not a picture" in left_out["train/cross/broken.png"]
    assert set(sound.given_splits or ()) == {"train", "test"}
    assert sound.excluded == ()
    assert before == {each: each.read_bytes() for each in planted.rglob("*.png")}


def test_a_cleaned_table_replaces_nothing_and_needs_files(
    found: Audit, planted: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.csv").write_text("path,label\n")
    with pytest.raises(InputError, match="is there already"):
        write_cleaned(found, hs.open_dataset(planted), tmp_path / "mine.csv")
    with pytest.raises(InputError, match="does not hold its pictures as files"):
        write_cleaned(found, hs.open_dataset("digits"), tmp_path / "digits.csv")


def test_the_page_shows_thumbnails_and_keeps_names_text(found: Audit, planted: Path, tmp_path: Path) -> None:
    hostile = replace(found, dataset_name="<script>alert(1)</script>")
    page = write_audit_page(hostile, hs.open_dataset(planted), tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert page.count("data:image/jpeg;base64,") >= 5
    assert "Nearly the same in different splits (" in page
    assert str(planted.parent) not in page
