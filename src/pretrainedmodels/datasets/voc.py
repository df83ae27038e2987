"""Pascal VOC 2007: photographs with labels for twenty kinds of objects, fetched and unpacked when absent.

Source: Everingham et al., The PASCAL Visual Object Classes Challenge 2007,
http://host.robots.ox.ac.uk/pascal/VOC/voc2007/. That host has no https and states no digests. The archives
hold pictures and text, nothing that is run; they are unpacked so that no entry can lie outside the folder.
"""

import csv
import tarfile
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from headstart.core.errors import DataError
from headstart.core.files import atomic_path
from headstart.core.plain_progress import PlainProgress
from headstart.weights.local_file import locked
from pretrainedmodels.datasets.utils import download_url

__all__ = [
    "Voc2007Classification",
    "download_voc2007",
    "find_images_classification",
    "object_categories",
    "read_image_label",
    "read_object_labels",
    "read_object_labels_csv",
    "urls",
    "write_object_labels_csv",
]

object_categories = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]
"""The 20 classes, in the order of the labels."""

_HOST = "http://host.robots.ox.ac.uk/pascal/VOC"

urls = {
    "devkit": f"{_HOST}/voc2012/VOCdevkit_18-May-2011.tar",
    "trainval_2007": f"{_HOST}/voc2007/VOCtrainval_06-Nov-2007.tar",
    "test_images_2007": f"{_HOST}/voc2007/VOCtest_06-Nov-2007.tar",
    "test_anno_2007": f"{_HOST}/voc2007/VOCtestnoimgs_06-Nov-2007.tar",
}
"""Where the archives are; the last is kept for code that names it, its content is in the one before."""

# From archive to the files that show that it has been unpacked, here or by the original library.
_SIGNS = {
    "devkit": ("",),
    "trainval_2007": ("VOC2007/JPEGImages",),
    "test_images_2007": ("VOC2007/ImageSets/Main/aeroplane_test.txt", "VOC2007/JPEGImages/000001.jpg"),
}

_Path = str | PathLike[str]


def read_image_label(file: _Path) -> dict[str, int]:
    """Return the labels in a list of VOC's for one class, by the picture's name: -1, 0 (difficult) or 1."""
    with open(file, encoding="utf-8") as lines:
        return {words[0]: int(words[-1]) for words in map(str.split, lines)}


def read_object_labels(root: _Path, dataset: str, set: str) -> dict[str, NDArray[np.float64]]:
    """Return the labels for all classes, float64 of shape (20,), by the picture's name.

    Args:
        root: the folder that holds `VOCdevkit`.
        dataset: the year's folder, "VOC2007".
        set: "train", "val", "trainval" or "test".

    Raises:
        OSError: there is no such list.
    """
    labels: dict[str, NDArray[np.float64]] = {}
    for index, category in enumerate(object_categories):
        path = _lists(root, dataset) / f"{category}_{set}.txt"
        for name, label in read_image_label(path).items():
            labels.setdefault(name, np.zeros(len(object_categories)))[index] = label
    return labels


def write_object_labels_csv(file: _Path, labeled_data: Mapping[str, Sequence[float] | NDArray[Any]]) -> None:
    """Write labels as a table: a header, then a picture's name and its 20 labels in a row.

    Args:
        file: the table's path; its folder is made where it is missing.
        labeled_data: as `read_object_labels` returns it.

    Raises:
        StorageError: (also an OSError) it cannot be written.
    """
    with atomic_path(Path(file)) as part, part.open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["name", *object_categories])
        writer.writerows([name, *map(int, labels)] for name, labels in labeled_data.items())


def read_object_labels_csv(file: _Path, header: bool = True) -> list[tuple[str, torch.Tensor]]:
    """Return a table's rows as pairs of a picture's name and its labels, float32 of shape (20,).

    Args:
        file: a table as `write_object_labels_csv` writes it.
        header: whether the first row names the columns.
    """
    with open(file, encoding="utf-8", newline="") as table:
        rows = list(csv.reader(table))[bool(header) :]
    return [(name, torch.tensor([float(label) for label in labels])) for name, *labels in rows]


def find_images_classification(root: _Path, dataset: str, set: str) -> list[str]:
    """Return the lines of a set's list of pictures, each with its line end as the original library did."""
    with open(_lists(root, dataset) / f"{set}.txt", encoding="utf-8") as lines:
        return list(lines)


def download_voc2007(root: _Path) -> None:
    """Fetch and unpack what `root` lacks of VOC 2007, 880 MB in all.

    A download or an unpacking that was killed is done again.

    Raises:
        DataError: (also a ValueError) an archive is damaged, or an entry of it points out of `root`.
        UnreachableError: (also an OSError) the host does not answer.
        StorageError: (also an OSError) it cannot be written.
    """
    folder = Path(root)
    if not _missing(folder):
        return
    with locked(folder / "VOCdevkit", PlainProgress(), work="fetches"):
        for archive in _missing(folder):
            tar = _tar_path(folder, archive)
            if not tar.exists():
                download_url(urls[archive], tar)
            _unpack(tar, folder)


class Voc2007Classification(Dataset[tuple[Any, str, Any]]):
    """The pictures of a set of VOC 2007 and which of the twenty kinds of objects each shows.

    Args:
        root: the folder of the data set; what is missing in it is fetched.
        set: "train", "val", "trainval" or "test".
        transform: applied to the picture, which is in RGB.
        target_transform: applied to the labels.

    Attributes:
        classes: the 20 classes' names, in the order of the labels.
        images: pairs of a picture's name ("000005") and its labels, float32 of shape (20,): 1 where the
            picture shows such an object, -1 where not, 0 where it is difficult to see.

    Raises:
        DataError, UnreachableError, StorageError: see `download_voc2007`.
    """

    def __init__(
        self,
        root: _Path,
        set: str,
        transform: Callable[[Image.Image], Any] | None = None,
        target_transform: Callable[[torch.Tensor], Any] | None = None,
    ) -> None:
        self.root = root
        self.path_devkit = str(Path(root, "VOCdevkit"))
        self.path_images = str(Path(root, "VOCdevkit", "VOC2007", "JPEGImages"))
        self.set = set
        self.transform = transform
        self.target_transform = target_transform
        download_voc2007(root)
        table = Path(root, "files", "VOC2007", f"classification_{set}.csv")
        if not table.exists():
            write_object_labels_csv(table, read_object_labels(root, "VOC2007", set))
        self.classes = object_categories
        self.images = read_object_labels_csv(table)

    def __getitem__(self, index: int) -> tuple[Any, str, Any]:
        """Return the picture, its name and its labels."""
        name, target = self.images[index]
        with Image.open(Path(self.path_images, f"{name}.jpg")) as file:
            img = file.convert("RGB")
        return (
            img if self.transform is None else self.transform(img),
            name,
            target if self.target_transform is None else self.target_transform(target),
        )

    def __len__(self) -> int:
        return len(self.images)

    def get_number_classes(self) -> int:
        """Return 20."""
        return len(self.classes)


def _lists(root: _Path, dataset: str) -> Path:
    return Path(root, "VOCdevkit", dataset, "ImageSets", "Main")


def _tar_path(root: Path, archive: str) -> Path:
    return root / "tmp" / PurePosixPath(urlsplit(urls[archive]).path).name


def _unfinished(tar: Path) -> Path:
    """Return the path of the file that stands beside an archive as long as it is being unpacked."""
    return tar.with_name(f"{tar.name}.unpacking")


def _missing(root: Path) -> list[str]:
    """Return the archives that have not been unpacked, or not to their end."""
    return [
        archive
        for archive, signs in _SIGNS.items()
        if _unfinished(_tar_path(root, archive)).exists()
        or not all((root / "VOCdevkit" / sign).exists() for sign in signs)
    ]


def _unpack(tar: Path, root: Path) -> None:
    """Unpack an archive into `root`; remove it where it is damaged or means harm."""
    unfinished = _unfinished(tar)
    unfinished.touch()
    try:
        with tarfile.open(tar) as archive:
            archive.getmembers()
            # tarfile takes a file that was cut between two entries for whole; a whole one ends with zeros.
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it ends too early")
            archive.extractall(root, filter="data")
    except (tarfile.TarError, EOFError) as error:
        tar.unlink()
        raise DataError(
            f"{tar} cannot be unpacked: {error}", hint="it has been removed; the next call fetches it again"
        ) from error
    unfinished.unlink()
