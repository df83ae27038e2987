"""Pictures that belong together stay together, whatever else is asked of the parts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from headstart.core.errors import InputError
from headstart.data import dataset_from_arrays, open_dataset
from headstart.data.grouping import burst_groups, folder_groups, group_by, name_groups
from headstart.data.headers import Header
from headstart.data.partition import inseparable, joined


def test_folders_and_names():
    assert folder_groups(["a/b/1.png", "a/2.png", "3.png"]) == ("a/b", "a", "")
    names = ["a/x_01.png", "a/x_02.png", "a/x-3 (4).jpg", "a/17.png"]
    assert name_groups(names) == ("a/x", "a/x", "a/x-3", "")


def test_bursts_are_of_one_camera_and_some_seconds():
    shots = [("A", 100.0), ("A", 102.0), ("B", 102.0), ("A", 104.5), ("A", 200.0), ("A", 0.0)]
    names = burst_groups([Header(camera=camera, taken=taken) for camera, taken in shots])
    assert names[0] == names[1] == names[3]
    assert len({names[0], names[2], names[4]}) == 3
    assert names[5] == ""


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=20))
def test_joined_groups_are_the_smallest_that_hold_both(pairs):
    first, second = (np.array(each, np.int64) for each in zip(*pairs, strict=True))
    found = joined(first, second)
    expected = list(range(len(pairs)))
    for _ in pairs:  # spread the smallest number until nothing changes
        for a in range(len(pairs)):
            for b in range(len(pairs)):
                if first[a] == first[b] or second[a] == second[b]:
                    expected[a] = expected[b] = min(expected[a], expected[b])
    for a in range(len(pairs)):
        for b in range(len(pairs)):
            assert (found[a] == found[b]) == (expected[a] == expected[b])


def test_splits_keep_groups_whole_and_free_pictures_free():
    images = np.random.default_rng(0).integers(0, 256, (1200, 4, 4), dtype=np.uint8)
    dataset = dataset_from_arrays(images, [0, 1] * 600)
    names = tuple("" if number % 3 == 0 else f"thing {number // 6}" for number in range(1200))
    dataset = replace(dataset, groups=names)
    assert len(np.unique(inseparable(dataset))) == 400 + 200
    splits = dataset.split(seed=3)
    parts = [splits.train, splits.val, splits.test]
    groups = [{name for name in part.groups if name} for part in parts]
    assert all(groups)
    assert len(groups[0] | groups[1] | groups[2]) == sum(map(len, groups))
    assert sum(map(len, parts)) == 1200
    assert abs(len(splits.test) - 240) < 12


def test_groups_change_the_fingerprint_and_travel_with_the_pictures():
    dataset = dataset_from_arrays(np.zeros((4, 3, 3), np.uint8), [0, 0, 1, 1])
    grouped = replace(dataset, groups=("x", "x", "", "y"))
    assert grouped.fingerprint != dataset.fingerprint
    assert grouped.select([3, 0]).groups == ("y", "x")


def test_a_column_of_the_table_groups(make_folder):
    root = make_folder({f"p/{number}.png": None for number in range(4)})
    table = root / "table.csv"
    lines = [f"p/{n}.png,{'ab'[n % 2]},{n // 2}" for n in range(4)]
    table.write_text("\n".join(["path,label,patient", *lines]))
    grouped = group_by(open_dataset(table), "patient")
    assert grouped.groups == ("0", "0", "1", "1")
    with pytest.raises(InputError, match="no column 'doctor'"):
        group_by(open_dataset(table), "doctor")
    with pytest.raises(InputError, match="no two pictures"):
        group_by(open_dataset(table), "path")
    with pytest.raises(InputError, match="is no CSV"):
        group_by(open_dataset(root), "patient")
    with pytest.raises(InputError, match="one group"):
        group_by(open_dataset(table), "folder")


def test_given_splits_lose_what_belongs_to_the_test_part(make_folder):
    folders = ("train/a", "train/b", "test/a", "test/b")
    dataset = open_dataset(make_folder({f"{folder}/{n}.png": None for folder in folders for n in range(8)}))
    groups = tuple("one thing" if each.endswith("/0.png") else "" for each in dataset.ids)
    splits = replace(dataset, groups=groups).split(val=0)
    assert {each.id for each in splits.excluded} == {"train/a/0.png", "train/b/0.png"}
    assert all("group" in each.reason for each in splits.excluded)


def test_bursts_are_read_from_the_files(tmp_path):
    for number, clock in enumerate(["10:00:00", "10:00:02", "11:00:00", ""]):
        exif = Image.Exif()
        exif[ExifTags.Base.Make] = "Cam\0"
        if clock:
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"2024:05:01 {clock}"
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.jpg", exif=exif)
    (tmp_path / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    grouped = group_by(open_dataset(tmp_path), "burst")
    names = dict(zip(grouped.ids, grouped.groups, strict=True))
    assert names["a/0.jpg"] == names["b/1.jpg"] == "Cam 1714557600"
    assert names["a/2.jpg"] not in ("", names["a/0.jpg"])
    assert names["b/3.jpg"] == names["a/broken.jpg"] == ""
