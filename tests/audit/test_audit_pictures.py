import json

import numpy as np
import pytest

from headstart.audit import Audit, audit
from headstart.core.records import dumps, from_json
from headstart.data import dataset_from_arrays, open_dataset


def pgm(content):
    """An 8-bit grey picture of 40 x 36 pixels."""
    pixels = np.random.default_rng(content).integers(0, 256, 40 * 36, dtype=np.uint8)
    return b"P5 40 36 255\n" + pixels.tobytes()


@pytest.fixture
def write(tmp_path):
    """Return a function that writes files and opens the folder."""

    def make(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return open_dataset(tmp_path)

    return make


def some(label, count, start=0):
    return {f"{label}/{number:03d}.pgm": pgm(start + number) for number in range(count)}


def test_all_is_well():
    images = np.random.default_rng(0).integers(0, 256, (600, 40, 36), dtype=np.uint8)
    found = audit(dataset_from_arrays(images, [0, 1] * 300))
    assert found.findings == ()
    assert (found.num_pictures, found.class_counts, found.imbalance) == (600, (300, 300), 1.0)
    assert (found.smallest_side, found.median_side, found.largest_side) == (36, 36.0, 40)


def test_everything_at_once_is_said_and_counted(write):
    files = some("train/a", 30) | some("train/b", 3, 100) | some("test/a", 2, 200) | some("test/b", 2, 300)
    files |= {
        "train/a/broken.png": b"nothing",
        "train/b/twin.pgm": pgm(0),
        "test/a/leak.pgm": pgm(5),
        "train/c/one.pgm": b"P5 8 9 255\n" + bytes(72),
        "train/notes.txt": b"",
        "train/stray.pgm": pgm(400),
    }
    found = audit(write(files), max_unreadable=0.01)
    assert found.class_names == ("a", "b", "c")
    assert found.class_counts == (33, 6, 1)
    assert (found.num_unreadable, found.num_passed_over) == (1, 1)
    assert found.unreadable_share == pytest.approx(1 / 41)
    assert {each.id for each in found.excluded} == {"train/a/broken.png", "train/stray.pgm"}
    assert found.conflicts == (("train/a/000.pgm", "train/b/twin.pgm"),)
    assert found.across_splits == (("test/a/leak.pgm", "train/a/005.pgm"),)
    assert len(found.duplicates) == 2
    assert (found.smallest_side, found.largest_side, found.imbalance) == (8, 40, 33.0)
    said = "\n".join(found.findings)
    for words in (
        "1 picture (2.4%) cannot be read, more than the 1%",
        "train/a/broken.png",
        "1 class with fewer than 3 pictures, too few to train on: c (1)",
        "cross-validation takes its place",
        "33 times as many",
        "under different labels, so that one of them is wrong",
        "in more than one of the given splits",
        "2 pictures exactly the same as another one",
        "1 picture under 32 pixels",
        "1 picture left out when the data set was opened: train/stray.pgm (not in a class folder)",
        "1 file without a picture's suffix",
    ):
        assert words in said


def test_one_class_and_nothing_readable_are_findings_not_errors(write):
    found = audit(write({"a/1.png": b"", "a/2.png": b"text"}))
    assert (found.num_pictures, found.smallest_side, found.imbalance) == (0, None, None)
    assert found.unreadable_share == 1.0
    assert any("only one class" in finding for finding in found.findings)
    assert "more than the 10%" in found.findings[0]


def test_the_record_goes_to_json_and_back(write):
    found = audit(write(some("a", 3) | some("b", 4, 50) | {"b/x.jpg": b"no"}), max_unreadable=1)
    assert from_json(Audit, json.loads(dumps(found))) == found
