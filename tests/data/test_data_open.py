import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from headstart.core.errors import DataError, InputError, PictureError
from headstart.data import open_dataset, stream_pictures
from headstart.data.scan import scan

CLASSES = ["roses/1.png", "roses/deep/er/2.png", "tulips/1.png", "tulips/2.png"]
SPLITS = ["train/roses/1.png", "train/tulips/1.png", "valid/roses/2.png", "Test/tulips/3.png"]


def test_class_folders(make_folder):
    pictures = open_dataset(make_folder(CLASSES))
    assert pictures.name == "flowers"
    assert pictures.ids == ("roses/1.png", "roses/deep/er/2.png", "tulips/1.png", "tulips/2.png")
    assert pictures.class_names == ("roses", "tulips")
    assert pictures.labels.tolist() == [0, 0, 1, 1]
    assert pictures.given_splits is None
    assert len(scan(pictures).dataset) == 4


def test_given_splits_are_kept_whatever_their_spelling(make_folder):
    pictures = open_dataset(str(make_folder(SPLITS)))
    assert dict(zip(pictures.ids, pictures.given_splits, strict=True)) == {
        "Test/tulips/3.png": "test",
        "train/roses/1.png": "train",
        "train/tulips/1.png": "train",
        "valid/roses/2.png": "val",
    }
    assert pictures.class_names == ("roses", "tulips")


@pytest.mark.parametrize("paths", [CLASSES, SPLITS])
@pytest.mark.parametrize("prefix", ["", "top/", "top/second/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_equals_its_folder_and_top_folders_are_stepped_through(
    make_folder, make_zip, paths, prefix, method
):
    prefixed = [prefix + path for path in paths]
    folder, archive = open_dataset(make_folder(prefixed)), open_dataset(make_zip(prefixed, method=method))
    plain = open_dataset(make_folder(paths, name="plain"))
    assert scan(folder).dataset.fingerprint == scan(archive).dataset.fingerprint
    assert scan(folder).dataset.fingerprint == scan(plain).dataset.fingerprint
    assert archive.name == folder.name


def test_one_class_folder_is_a_class_not_a_top_folder(make_folder):
    assert open_dataset(make_folder(["roses/1.png", "roses/2.png"])).class_names == ("roses",)


def test_a_folder_train_alone_is_the_whole(make_folder):
    pictures = open_dataset(make_folder(["train/a/1.png", "train/b/1.png"]))
    assert pictures.class_names == ("a", "b")
    assert pictures.given_splits is None


def test_train_may_be_a_class_among_others(make_folder):
    assert open_dataset(make_folder(["train/1.png", "bus/1.png"])).class_names == ("bus", "train")


def test_what_systems_leave_is_passed_over_and_other_files_are_counted(make_folder, make_zip):
    names = dict.fromkeys(CLASSES)
    names |= dict.fromkeys(
        ["__MACOSX/roses/._1.png", "roses/.DS_Store", "roses/Thumbs.db", "desktop.ini", ".hidden/a/1.png"],
        b"x",
    )
    names |= {"README.txt": b"x", "roses/notes.json": b"{}"}
    for pictures in (open_dataset(make_folder(names)), open_dataset(make_zip(names))):
        assert pictures.ids == tuple(CLASSES)
        assert pictures.excluded == ()
        assert pictures.num_passed_over == 2


def test_pictures_outside_classes_are_excluded_with_a_reason(make_folder):
    beside = open_dataset(make_folder([*CLASSES, "banner.png"], name="beside"))
    assert [(each.id, each.reason) for each in beside.excluded] == [("banner.png", "not in a class folder")]
    splits = open_dataset(make_folder([*SPLITS, "extra/roses/1.png", "test/flat.png"], name="splits"))
    assert {each.id: each.reason for each in splits.excluded} == {
        "extra/roses/1.png": "beside the folders train, val and test",
        "test/flat.png": "not in a class folder",
    }


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["1.png", "2.png"], "2 pictures but no class folders"),
        (["train/1.png", "test/2.png"], "2 pictures but no class folders"),
        (["val/a/1.png", "test/a/2.png"], "none for train"),
        ({"a/readme.txt": b"x"}, "no pictures in"),
        ({}, "no pictures in"),
    ],
)
def test_folders_that_cannot_be_understood(make_folder, tmp_path, paths, message):
    root = make_folder(paths)
    root.mkdir(exist_ok=True)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(root)
    assert "CLASS" in caught.value.hint


def test_a_table_in_a_folder_without_pictures_is_pointed_out(make_folder):
    with pytest.raises(DataError) as caught:
        open_dataset(make_folder({"labels.csv": b"path,label\n"}))
    assert "labels.csv" in caught.value.hint


def test_what_does_not_exist_is_refused_with_a_suggestion(make_folder):
    root = make_folder(CLASSES)
    with pytest.raises(InputError, match="no file or folder") as caught:
        open_dataset(root.with_name("flower"))
    assert "flowers" in caught.value.hint
    with pytest.raises(InputError) as caught:
        open_dataset("cifar01")
    assert "cifar10" in caught.value.hint
    with pytest.raises(InputError, match="neither a folder nor a zip"):
        open_dataset(root / CLASSES[0])


@pytest.mark.parametrize(
    "name", ["with space", 'it\'s "quoted"', "rose 🌹", "=SUM(1)", "x" * 250, "percent%20&amp;", "new\nline"]
)
def test_odd_names_work(make_folder, make_zip, name):
    file = (name[:246] + ".png") if len(name) > 200 else name + ".png"
    for location in (make_folder([f"{name}/{file}", "b/1.png"]), make_zip([f"{name}/{file}", "b/1.png"])):
        pictures = open_dataset(location)
        assert name in pictures.class_names
        assert scan(pictures).excluded == ()


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_no_utf8_get_printable_ids(make_folder):
    root = make_folder(["b/1.png", "b/2.png"])
    odd = os.fsencode(root) + b"/top\xff"
    os.rename(root / "b", odd)
    os.rename(odd + b"/1.png", odd + b"/caf\xe9.png")
    os.makedirs(root / "c")
    (root / "c" / "1.png").write_bytes((root / os.fsdecode(b"top\xff") / "2.png").read_bytes())
    pictures = open_dataset(root)
    assert pictures.ids == ("c/1.png", r"top\udcff/2.png", r"top\udcff/caf\udce9.png")
    assert "\n".join([*pictures.ids, *pictures.class_names]).encode("utf-8")
    assert scan(pictures).excluded == ()
    listed, source = stream_pictures([root])
    assert all(source.read(each) for each in listed)


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_links_are_followed_but_not_round_in_circles(make_folder, tmp_path):
    root = make_folder(CLASSES)
    elsewhere = make_folder(["1.png"], name="elsewhere")
    (root / "lilies").symlink_to(elsewhere, target_is_directory=True)
    (root / "roses" / "loop").symlink_to(root, target_is_directory=True)
    (root / "roses" / "itself.png").symlink_to("itself.png")
    pictures = open_dataset(root)
    assert "lilies/1.png" in pictures.ids
    assert "roses/itself.png" in pictures.ids
    assert [each.id for each in scan(pictures, max_unreadable=1).excluded] == ["roses/itself.png"]
    assert len(pictures) == 6


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_hang(make_folder):
    root = make_folder(CLASSES)
    os.mkfifo(root / "roses" / "pipe.jpg")
    found = scan(open_dataset(root), max_unreadable=1)
    assert [(each.id, each.reason) for each in found.excluded] == [("roses/pipe.jpg", "not a regular file")]


def test_a_folder_that_cannot_be_listed_is_named(make_folder, monkeypatch):
    root = make_folder(CLASSES)

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("headstart.data.folder.os.scandir", refuse)
    with pytest.raises(DataError, match=r"cannot list the folder .*Permission denied"):
        open_dataset(root)


def test_sources_can_be_sent_and_shared(make_folder, make_zip):
    for location in (make_folder(CLASSES), make_zip(CLASSES, method=zipfile.ZIP_DEFLATED)):
        pictures = open_dataset(location)
        source = pickle.loads(pickle.dumps(pictures.source))
        expected = [pictures.source.read(each) for each in pictures.ids]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(source.read, tuple(pictures.ids) * 50)) == expected * 50


def test_a_file_that_vanishes_is_a_picture_error(make_folder):
    root = make_folder(CLASSES)
    pictures = open_dataset(root)
    (root / CLASSES[0]).unlink()
    with pytest.raises(PictureError, match="No such file"):
        pictures.source.read(CLASSES[0])
