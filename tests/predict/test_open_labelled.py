"""`open_labelled`: folders, zips and tables become pictures with a classifier's own labels."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.core.errors import DataError, InputError, ModelError
from headstart.embed import PlanOptions
from headstart.models import Classifier
from headstart.models.parts import Parts
from headstart.predict import LabelledPictures, open_labelled, predict_labelled

TENCH, GOLDFISH, DAISY = "n01440764", "n01443537", "n11939491"
LABELS = {TENCH: 0, GOLDFISH: 1, DAISY: 985}


@pytest.fixture(scope="module")
def imagenet(tiny_models: tuple[str, str]) -> Classifier:
    """A tiny network that knows ImageNet's classes by name."""
    return hs.load(tiny_models[1], num_classes=1000)


def draw(root: Path, names: Sequence[str]) -> Path:
    """Save different pictures of 8 pixels under these names."""
    for index, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 3 * index, np.uint8)).save(path)
    return root


def found(pictures: LabelledPictures) -> dict[str, int]:
    return dict(zip(pictures.dataset.ids, pictures.dataset.labels.tolist(), strict=True))


# ---- where the classes stand ------------------------------------------------------------------------------


def test_class_folders_named_by_wordnet_id_name_or_index(imagenet: Classifier, tmp_path: Path) -> None:
    for names, words in (
        ((TENCH, DAISY), "wordnet id"),
        (("tench", "daisy"), "name"),
        (("0", "985"), "class index"),
    ):
        root = draw(tmp_path / words, [f"{names[0]}/1.png", f"{names[0]}/2.png", f"{names[1]}/deep/1.png"])
        pictures = open_labelled(imagenet, str(root))
        assert found(pictures) == {
            f"{names[0]}/1.png": 0,
            f"{names[0]}/2.png": 0,
            f"{names[1]}/deep/1.png": 985,
        }
        assert (pictures.matched_by, pictures.part) == (words, None)
        assert pictures.dataset.class_names == imagenet.class_names
        assert pictures.dataset.digests is not None


@pytest.mark.parametrize("folder", ["", "imagenet100/", "some/where/"])
@pytest.mark.parametrize(
    ("stems", "words"),
    [
        ((f"000_{TENCH}_tench", f"985_{DAISY}_daisy"), "the wordnet id in file names"),
        (
            (f"ILSVRC2012_val_00000001_{TENCH}", f"ILSVRC2012_val_00000002_{DAISY}"),
            "the wordnet id in file names",
        ),
        (("0_tench", "985_Gänseblümchen ✿"), "the index before file names"),
    ],
)
def test_names_of_files_in_a_folder_or_zip(
    folder: str, stems: tuple[str, str], words: str, imagenet: Classifier, tmp_path: Path
) -> None:
    root = draw(tmp_path / "flat", [f"{folder}{stem}.PNG" for stem in stems])
    packed = tmp_path / "flat.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in root.rglob("*.PNG"):
            archive.write(path, path.relative_to(root).as_posix())
    for location in (root, packed):
        pictures = open_labelled(imagenet, str(location))
        assert sorted(found(pictures).values()) == [0, 985]
        assert all(
            (label == 985) == ("985" in name or DAISY in name) for name, label in found(pictures).items()
        )
        assert pictures.matched_by == words


def test_shards_are_no_classes_where_files_carry_wordnet_ids(imagenet: Classifier, tmp_path: Path) -> None:
    root = draw(tmp_path / "shards", [f"0/{DAISY}_1.png", f"1/{DAISY}_2.png", f"1/{TENCH}_1.png"])
    pictures = open_labelled(imagenet, str(root))
    assert list(found(pictures).values()) == [985, 0, 985]
    assert pictures.matched_by == "the wordnet id in file names"


@pytest.mark.parametrize(
    ("labels", "words"),
    [((TENCH, DAISY), "wordnet id"), (("tench", "daisy"), "name"), (("0", "985"), "class index")],
)
def test_labels_of_a_table(labels: tuple[str, str], words: str, imagenet: Classifier, tmp_path: Path) -> None:
    draw(tmp_path, ["3_x.png", "4_y.png"])
    table = tmp_path / "table.csv"
    table.write_text(f"path,label\n3_x.png,{labels[0]}\n4_y.png,{labels[1]}\n")
    pictures = open_labelled(imagenet, str(table))
    assert found(pictures) == {"3_x.png": 0, "4_y.png": 985}
    assert pictures.matched_by == words


def test_a_table_with_unknown_labels_is_not_read_by_its_file_names(
    imagenet: Classifier, tmp_path: Path
) -> None:
    draw(tmp_path, [f"{TENCH}_1.png", f"{DAISY}_1.png"])
    table = tmp_path / "table.csv"
    table.write_text(f"path,label\n{TENCH}_1.png,0_{TENCH}\n{DAISY}_1.png,985_{DAISY}\n")
    with pytest.raises(DataError, match=f"does not know the class '0_{TENCH}', nor '985_{DAISY}'"):
        open_labelled(imagenet, str(table))
    table.write_text(f"path\n{TENCH}_1.png\n")
    with pytest.raises(DataError, match="no column for labels"):
        open_labelled(imagenet, str(table))


# ---- parts and samples ------------------------------------------------------------------------------------


def test_the_part_that_is_held_out_is_measured_on(imagenet: Classifier, tmp_path: Path) -> None:
    root = draw(tmp_path / "a", [f"train/{TENCH}/1.png", f"val/{TENCH}/2.png", "train/my own/3.png"])
    pictures = open_labelled(imagenet, str(root))
    assert (found(pictures), pictures.part) == ({f"val/{TENCH}/2.png": 0}, "val")
    draw(root, [f"test/{DAISY}/4.png"])
    pictures = open_labelled(imagenet, str(root))
    assert (found(pictures), pictures.part) == ({f"test/{DAISY}/4.png": 985}, "test")
    flat = draw(tmp_path / "b", [f"train/{TENCH}_1.png", f"val/{DAISY}_1.png", "train/what.png"])
    pictures = open_labelled(imagenet, str(flat))
    assert (found(pictures), pictures.part) == ({f"val/{DAISY}_1.png": 985}, "val")


def test_a_sample_is_of_test_pictures_the_same_share_of_each_class(
    imagenet: Classifier, tmp_path: Path
) -> None:
    names = [
        f"{folder}{name}_{index}.png"
        for folder in ("train/", "val/")
        for name in LABELS
        for index in range(8)
    ]
    root = draw(tmp_path / "data", names)
    for sample in ({"test": 6}, {"train": 5, "test": 6}):
        pictures = open_labelled(imagenet, str(root), sample=sample, seed=1)
        assert sorted(found(pictures).values()) == [0, 0, 1, 1, 985, 985]
        assert pictures.part == "val"
    draws = [
        tuple(found(open_labelled(imagenet, str(root), sample={"test": 6}, seed=seed))) for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]
    whole = open_labelled(imagenet, str(root / "val"), sample={"test": 9})
    assert len(whole.dataset) == 9  # also where nothing is called a test part
    with pytest.raises(InputError, match="train=5 was asked for") as caught:
        open_labelled(imagenet, str(root), sample={"train": 5})
    assert "test=500" in caught.value.hint


# ---- what cannot be used ----------------------------------------------------------------------------------


def test_unreadable_pictures_are_left_out(imagenet: Classifier, tmp_path: Path) -> None:
    root = draw(tmp_path / "data", [f"{name}_{index}.png" for name in LABELS for index in range(4)])
    (root / f"{TENCH}_broken.png").write_bytes(b"no picture")
    pictures = open_labelled(imagenet, str(root))
    assert len(pictures.dataset) == 12
    assert [each.id for each in pictures.dataset.excluded] == [f"{TENCH}_broken.png"]
    with pytest.raises(DataError, match="1 of 13 pictures"):
        open_labelled(imagenet, str(root), max_unreadable=0.0)


def test_names_are_judged_before_any_picture_is_read(imagenet: Classifier, tmp_path: Path) -> None:
    for name in (f"{TENCH}_1.png", f"{DAISY}_1.png", "n99999999_1.png", "IMG_0001.png"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"in the file name 'IMG_0001', nor 'n99999999_1' \(2 of 4 pictures\)"
    ):
        open_labelled(imagenet, str(tmp_path))


def test_numbered_pictures_are_not_taken_for_classes(imagenet: Classifier, tmp_path: Path) -> None:
    for names in (["00017.png", "00018.png"], ["1_a.png", "2_b.png", "3_c.png"]):
        root = draw(tmp_path / names[0], names)
        with pytest.raises(DataError, match=f"'{names[0][:-4]}', nor") as caught:
            open_labelled(imagenet, str(root))
        assert "0001.jpg is no class" in caught.value.hint
    root = draw(tmp_path / "flowers", ["daisies/3_a.png", "roses/9_b.png"])
    with pytest.raises(DataError, match="does not know the class 'daisies', nor 'roses'"):
        open_labelled(imagenet, str(root))


def test_other_models_need_class_folders_as_ever(tiny_models: tuple[str, str], tmp_path: Path) -> None:
    own = hs.load(tiny_models[1], num_classes=2)
    root = draw(tmp_path / "flat", [f"{TENCH}_1.png", "0_a.png"])
    with pytest.raises(DataError, match="no class folders"):
        open_labelled(own, str(root))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        open_labelled(own, str(tmp_path / "empty"))
    with pytest.raises(InputError, match="no file or folder"):
        open_labelled(own, str(tmp_path / "nowhere"))


def test_a_network_without_a_classifier_is_the_one_to_blame(imagenet: Classifier, few_shapes: Path) -> None:
    parts = Parts(backbone=imagenet.backbone, head=None, feature_dim=imagenet.feature_dim, network="x")
    headless = Classifier(parts, entry=imagenet.entry, preprocessing=imagenet.preprocessing, class_names=())
    with pytest.raises(ModelError, match="no classifier of its own") as caught:
        open_labelled(headless, str(few_shapes))
    assert "headstart probe" in caught.value.hint


@pytest.mark.parametrize("location", ["empty", "broken.zip", "nowhere"])
def test_nothing_to_open_is_the_same_error_for_imagenet(
    location: str, imagenet: Classifier, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    with pytest.raises((DataError, InputError), match=r"no pictures|not a whole zip|no file or folder"):
        open_labelled(imagenet, str(tmp_path / location))


# ---- and on -----------------------------------------------------------------------------------------------


def test_what_is_opened_is_predicted_as_it_is(imagenet: Classifier, tmp_path: Path) -> None:
    root = draw(tmp_path / "data", [f"{DAISY}_1.png", f"{TENCH}_1.png", f"{TENCH}_2.png"])
    pictures = open_labelled(imagenet, str(root))
    exact = PlanOptions(device="cpu", precision="fp32")
    probabilities, labels = predict_labelled(imagenet, pictures.dataset, options=exact)
    assert probabilities.shape == (3, 1000)
    assert labels.tolist() == pictures.dataset.labels.tolist() == [0, 0, 985]
