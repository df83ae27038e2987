import pickle
import subprocess
import sys
import urllib.error

import numpy as np
import pytest
from PIL import Image

from headstart.core.errors import DataError, InputError
from headstart.data import dataset_from_arrays, open_dataset
from headstart.data.scan import scan


def test_digits():
    digits = open_dataset("digits")
    assert (len(digits), digits.num_classes, digits.name, digits.location) == (1797, 10, "digits", "digits")
    assert (digits.ids[0], digits.ids[-1]) == ("digits/0000", "digits/1796")
    first = digits.source.read("digits/0000")
    assert (first.dtype, first.shape, first.min(), first.max()) == (np.uint8, (8, 8), 0, 239)
    assert first[0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0 0 5 13 9 1 0 0, times 255/16
    found = scan(digits)
    assert found.excluded == ()
    splits = found.dataset.split()
    assert (len(splits.train), len(splits.val), len(splits.test)) == (1151, 287, 359)
    assert open_dataset("digits", name="numbers").name == "numbers"


def test_an_existing_folder_wins_over_a_name(make_folder, monkeypatch, tmp_path):
    make_folder(["a/1.png", "b/1.png"], name="digits")
    monkeypatch.chdir(tmp_path)
    assert open_dataset("digits").class_names == ("a", "b")
    assert open_dataset(".").class_names == ("a", "b")


class FakeCifar:
    """Behaves as torchvision's CIFAR10 does, with four pictures a split."""

    url = "https://pictures.example/cifar.tar.gz"
    failure = None

    def __init__(self, root, *, train, download):
        from pathlib import Path

        marker = Path(root) / "downloaded"
        if download and self.failure is not None:
            raise self.failure
        if download:
            print("Downloading")
            marker.write_text("")
        if not marker.exists():
            raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")
        self.targets = [0, 1, 1, 0] if train else [1, 0, 0, 1]
        self.classes = ["cat", "dog"]

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return Image.new("RGB", (5, 4), (index, 0, 0)), self.targets[index]


@pytest.fixture
def cifar(monkeypatch, tmp_path):
    import torchvision.datasets

    from headstart.data.named import _open_part

    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADSTART_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", FakeCifar)
    monkeypatch.setattr(FakeCifar, "failure", None)
    _open_part.cache_clear()
    yield FakeCifar
    _open_part.cache_clear()


def test_torchvision_sets_come_with_their_splits(cifar, capsys, monkeypatch):
    pictures = open_dataset("CIFAR-10")
    assert capsys.readouterr().out == ""
    assert pictures.name == "cifar10"
    assert pictures.ids[0] == "train/000000"
    assert pictures.ids[-1] == "test/000003"
    assert pictures.given_splits == ("train",) * 4 + ("test",) * 4
    assert pictures.labels.tolist() == [0, 1, 1, 0, 1, 0, 0, 1]
    assert pictures.class_names == ("cat", "dog")
    source = pickle.loads(pickle.dumps(pictures.source))
    assert source.read("train/000003")[0, 0].tolist() == [3, 0, 0]
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")  # it is here now
    assert open_dataset("cifar10").ids == pictures.ids


def test_offline_means_no_download(cifar, monkeypatch):
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(DataError, match="HEADSTART_OFFLINE=1 forbids") as caught:
        open_dataset("cifar10")
    assert "local copy" in caught.value.hint


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            urllib.error.URLError("Name or service not known"),
            "from pictures.example: Name or service not known",
        ),
        (TimeoutError("timed out"), "from pictures.example: timed out"),
        (
            RuntimeError("File not found or corrupted."),
            "cannot download the data set 'cifar10': File not found",
        ),
    ],
)
def test_a_host_that_does_not_answer_is_named(cifar, monkeypatch, failure, message):
    monkeypatch.setattr(FakeCifar, "failure", failure)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset("cifar10")
    assert "local copy" in caught.value.hint


def test_every_torchvision_name_is_a_class_of_torchvision():
    import torchvision.datasets

    from headstart.data.named import _TORCHVISION

    for kind, parts in _TORCHVISION.values():
        assert hasattr(torchvision.datasets, kind)
        assert len({split for split, _ in parts}) == len(parts)


def test_arrays_of_one_size():
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    pictures = dataset_from_arrays(images, [2, 0, 0, 2, 7, 7], name="mine")
    assert pictures.ids[5] == "mine/000005"
    assert pictures.class_names == ("0", "2", "7")
    assert pictures.labels.tolist() == [1, 0, 0, 1, 2, 2]
    assert np.array_equal(pictures.source.read("mine/000004"), images[4])
    assert dataset_from_arrays(images[..., 0], list("abcabc")).class_names == ("a", "b", "c")
    assert dataset_from_arrays(images[..., :1], np.arange(6)).source.read("arrays/000000").shape == (5, 4)


def test_class_names_give_the_order():
    images = np.zeros((3, 2, 2), dtype=np.uint8)
    assert dataset_from_arrays(images, [1, 0, 1], class_names=["b", "a"]).labels.tolist() == [1, 0, 1]
    assert dataset_from_arrays(images, ["a", "b", "a"], class_names=["b", "a"]).labels.tolist() == [1, 0, 1]


def test_lists_of_several_sizes_and_pil_images():
    images = [
        np.zeros((4, 3), np.uint8),
        np.zeros((2, 9, 3), np.uint8),
        Image.new("RGBA", (3, 3), (0, 0, 0, 0)),
    ]
    pictures = dataset_from_arrays(images, ["a", "b", "b"])
    assert (pictures.source.read("arrays/000002") == 255).all()
    assert scan(pictures).widths.tolist() == [3, 9, 3]


@pytest.mark.parametrize(
    ("images", "labels", "options", "message"),
    [
        (np.zeros((2, 3, 3), np.uint8), [0], {}, "2 pictures, but 1 labels"),
        (np.zeros((0, 3, 3), np.uint8), [], {}, "no pictures"),
        (np.zeros((1, 3, 3)), [0], {}, "picture 0 is float64"),
        (np.zeros((1, 3, 3, 4), np.uint8), [0], {}, r"shape \(3, 3, 4\)"),
        (["a.png"], [0], {}, "picture 0 is a str"),
        (np.zeros((1, 3, 3), np.uint8), [0.5], {}, "whole numbers or texts"),
        (np.zeros((1, 3, 3), np.uint8), [2], {"class_names": ["a", "b"]}, "label 2 is none of the 2 classes"),
        (np.zeros((1, 3, 3), np.uint8), ["c"], {"class_names": ["a", "b"]}, "label 'c' is none"),
    ],
)
def test_arrays_that_cannot_be_used(images, labels, options, message):
    with pytest.raises(InputError, match=message):
        dataset_from_arrays(images, labels, **options)


def test_opening_a_folder_imports_nothing_heavy(make_folder):
    root = make_folder(["a/1.png", "b/1.png"])
    program = (
        "import sys; from headstart.data import open_dataset; import headstart.data.split; "
        "import headstart.data.scan; "
        f"open_dataset({str(root)!r}); "
        "print([name for name in ('torch', 'torchvision', 'sklearn', 'scipy', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
