"""Tars: samples of files that bear one name, places in them, patterns of names, and splits by name."""

import io
import json
import pickle
import tarfile

import pytest
from PIL import Image

from headstart.core.errors import DataError, InputError
from headstart.data import open_dataset
from headstart.data.patterns import find_files
from headstart.data.scan import scan


def png_bytes(level):
    buffer = io.BytesIO()
    Image.new("L", (6, 6), level).save(buffer, format="PNG")
    return buffer.getvalue()


def samples(*labels, start=0, suffix="cls"):
    """Files of a shard: a picture and a label a sample."""
    files = {}
    for number, label in enumerate(labels, start):
        files[f"{number:06}.png"] = png_bytes(number)
        if label is not None:
            files[f"{number:06}.{suffix}"] = label if isinstance(label, bytes) else str(label).encode()
    return files


@pytest.fixture
def make_tar(tmp_path):
    """Return a function that packs files into a tar of a folder."""

    def make(files, *, name="flowers.tar", mode="w"):
        path = tmp_path / "tars" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, mode) as archive:
            for each, content in files.items():
                info = tarfile.TarInfo(each)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return make


def test_labels_beside_pictures(make_tar):
    path = make_tar(samples("rose", "tulip", "rose\n"))
    found = open_dataset(path)
    assert found.name == "flowers"
    assert found.ids == ("flowers.tar/000000.png", "flowers.tar/000001.png", "flowers.tar/000002.png")
    assert found.class_names == ("rose", "tulip")
    assert found.labels.tolist() == [0, 1, 0]
    assert found.source.read(found.ids[1]) == png_bytes(1)
    assert scan(found).excluded == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [({"label": "rose"}, "rose"), ({"class": 3, "x": [1]}, "3"), ({"x": 1}, None), ([1], None), (None, None)],
)
def test_labels_in_json(make_tar, text, expected):
    content = b"{broken" if text is None else json.dumps(text).encode()
    found = open_dataset(make_tar(samples(content, b'{"label": "z"}', suffix="json")))
    if expected is None:
        assert [(each.id, each.reason) for each in found.excluded] == [
            ("flowers.tar/000000.png", "no .cls or .json with a label beside it")
        ]
    else:
        assert found.class_names[found.labels[0]] == expected


def test_numbers_are_classes_in_order_of_number_or_named_by_a_file(make_tar):
    path = make_tar(samples(10, 9, 10))
    assert open_dataset(path).class_names == ("9", "10")
    names = path.with_name("classes.txt")
    names.write_text("\n".join(f"c{number}" for number in range(10)))
    found = open_dataset(path)
    assert (found.class_names[9], found.labels.tolist()) == ("c9", [9])
    assert {each.reason for each in found.excluded} == {"the label 10, but classes.txt names 10 classes"}


def test_shards_and_their_splits(make_tar):
    make_tar(samples("a", "b"), name="d/train-000.tar")
    make_tar(samples("b", "a"), name="d/train-001.tar")
    path = make_tar(samples("a", None), name="d/val-000.tar")
    folder = path.parent
    whole = open_dataset(folder)
    assert whole.given_splits == ("train", "train", "train", "train", "val")
    assert [each.id for each in whole.excluded] == ["val-000.tar/000001.png"]
    assert whole.name == "d"
    train = open_dataset(f"{folder}/train-{{000..001}}.tar")
    assert (train.ids, train.given_splits) == (whole.ids[:4], None)
    assert open_dataset(f"{folder}/train-*.tar").ids == whole.ids[:4]
    assert open_dataset(f"{folder}/{{train,val}}-*.tar").given_splits == whole.given_splits
    assert open_dataset(f"{folder.parent}/**/train-*.tar").ids[0] == "d/train-000.tar/000000.png"
    with pytest.raises(InputError, match="no file is called"):
        open_dataset(f"{folder}/test-*.tar")
    with pytest.raises(DataError, match=r"cannot read .*train-002.tar"):
        open_dataset(f"{folder}/train-{{001..002}}.tar")


def test_shards_of_which_some_name_no_split(make_tar):
    make_tar(samples("a"), name="train.tar")
    make_tar(samples("a"), name="extra.tar")
    folder = make_tar(samples("a"), name="val.tar").parent
    with pytest.raises(DataError, match=r"'extra.tar' does not"):
        open_dataset(folder)


def test_patterns_are_bounded():
    with pytest.raises(InputError, match="at most a million"):
        find_files("s3://bucket/{0..999}-{0..9999}.tar")
    with pytest.raises(InputError, match="at most a million"):
        find_files("s3://bucket/{0..99999999999}.tar")
    root, files = find_files("s3://bucket/a/shard-{08..10}.tar")
    assert root == "s3://bucket/a"
    assert list(files.values()) == [f"s3://bucket/a/shard-{each}.tar" for each in ("08", "09", "10")]


def test_a_tar_of_class_folders_equals_its_folder(make_tar, make_folder):
    names = ["roses/1.png", "roses/deep/er/2.png", "tulips/1.png", "tulips/2.png"]
    files = {name: png_bytes(level) for level, name in enumerate(names)}
    found = open_dataset(make_tar({f"./top/{name}": content for name, content in files.items()}))
    assert scan(found).dataset.fingerprint == scan(open_dataset(make_folder(files))).dataset.fingerprint
    assert len(pickle.loads(pickle.dumps(found.source)).read(found.ids[0])) > 50


def test_several_tars_without_labels(make_tar):
    make_tar({"a/1.png": b"x"}, name="1.tar")
    folder = make_tar({"a/1.png": b"x"}, name="2.tar").parent
    with pytest.raises(DataError, match="hold no labels") as caught:
        open_dataset(folder)
    assert ".cls" in caught.value.hint


def test_tars_in_a_bucket(s3, make_tar):
    paths = [make_tar(samples("a", "b"), name="train-0.tar"), make_tar(samples("b"), name="test-0.tar")]
    bucket = s3.fill({f"in/{path.name}": path.read_bytes() for path in paths} | {"in/classes.txt": b"a\nb"})
    local = scan(open_dataset(paths[0].parent)).dataset
    before = len(s3.proxy.seen)
    found = open_dataset(f"{bucket}/in/")
    assert len(s3.proxy.seen) - before <= 1 + 2 * 2 + 1  # the list, size and content of each, classes.txt
    assert scan(found).dataset.fingerprint == local.fingerprint
    _, _, wanted, status = s3.proxy.seen[-1]
    member = found.source.members[found.ids[-1]]
    assert (status, wanted) == (206, f"bytes={member.offset}-{member.offset + member.size_bytes - 1}")


def test_tars_on_a_web_server_are_not_listed(web, make_tar):
    make_tar(samples("a", "b"), name="s-0.tar")
    make_tar(samples("b", "a"), name="s-1.tar")
    found = open_dataset(f"{web}/tars/s-{{0..1}}.tar")
    assert found.ids == tuple(f"s-{shard}.tar/00000{number}.png" for shard in (0, 1) for number in (0, 1))
    assert scan(found).excluded == ()
