"""Data sets that are known by name: scikit-learn's digits, and torchvision's classification sets."""

import contextlib
import sys
import urllib.error
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from headstart.core.errors import DataError, PictureError
from headstart.core.offline import OFFLINE_VARIABLE, is_offline
from headstart.core.paths import datasets_dir
from headstart.data.dataset import ImageDataset, RawPicture, Split
from headstart.data.sources import ArraySource

_DIGITS_MAX = 16  # scikit-learn's digits count the dark pixels of 4x4 blocks

Part: TypeAlias = tuple[Split, tuple[tuple[str, Any], ...]]
"""A split, and the keyword arguments with which torchvision opens it."""


def _by(argument: str, **values: Any) -> tuple[Part, ...]:
    names: Mapping[str, Split] = {"train": "train", "val": "val", "test": "test"}
    return tuple((names[split], ((argument, value),)) for split, value in values.items())


_TRAIN_FLAG = _by("train", train=True, test=False)
_TRAIN_TEST = _by("split", train="train", test="test")
_TRAIN_VAL_TEST = _by("split", train="train", val="val", test="test")
_WHOLE: tuple[Part, ...] = (("train", ()),)

# fmt: off
_TORCHVISION: dict[str, tuple[str, tuple[Part, ...]]] = {
    "caltech101": ("Caltech101", _WHOLE),
    "caltech256": ("Caltech256", _WHOLE),
    "cifar10": ("CIFAR10", _TRAIN_FLAG),
    "cifar100": ("CIFAR100", _TRAIN_FLAG),
    "country211": ("Country211", _by("split", train="train", val="valid", test="test")),
    "dtd": ("DTD", _TRAIN_VAL_TEST),
    "eurosat": ("EuroSAT", _WHOLE),
    "fashionmnist": ("FashionMNIST", _TRAIN_FLAG),
    "fgvcaircraft": ("FGVCAircraft", _TRAIN_VAL_TEST),
    "flowers102": ("Flowers102", _TRAIN_VAL_TEST),
    "food101": ("Food101", _TRAIN_TEST),
    "gtsrb": ("GTSRB", _TRAIN_TEST),
    "imagenette": ("Imagenette", _by("split", train="train", test="val")),
    "kmnist": ("KMNIST", _TRAIN_FLAG),
    "mnist": ("MNIST", _TRAIN_FLAG),
    "oxfordiiitpet": ("OxfordIIITPet", _by("split", train="trainval", test="test")),
    "pcam": ("PCAM", _TRAIN_VAL_TEST),
    "qmnist": ("QMNIST", _TRAIN_FLAG),
    "renderedsst2": ("RenderedSST2", _TRAIN_VAL_TEST),
    "stl10": ("STL10", _TRAIN_TEST),
    "sun397": ("SUN397", _WHOLE),
    "svhn": ("SVHN", _TRAIN_TEST),
    "usps": ("USPS", _TRAIN_FLAG),
}
# fmt: on


def known_names() -> list[str]:
    """Return the names that `open_named` knows, ascending."""
    return sorted(["digits", *_TORCHVISION])


def canonical_name(text: str) -> str:
    """Return how a name is written here: "Fashion-MNIST" is "fashionmnist"."""
    return text.lower().replace("-", "").replace("_", "").replace(" ", "")


def open_named(name: str, *, title: str) -> ImageDataset:
    """Open a data set that is known by its name.

    Torchvision's are downloaded into the cache folder the first time, unless HEADSTART_OFFLINE is 1; files
    that lie there already are used. The splits that come with them are kept; Imagenette's "val" is its test
    split, for it is the one that results are reported on.

    Args:
        name: one of `known_names`.
        title: name of the data set.

    Raises:
        DataError: its host cannot be reached, or downloads are switched off.
    """
    if name == "digits":
        return _open_digits(title)
    kind, parts = _TORCHVISION[name]
    source = TorchvisionSource(kind=kind, root=datasets_dir() / name, parts=parts)
    sizes: list[tuple[Split, list[int]]] = []
    for split, arguments in parts:
        opened = _download(kind, source.root, arguments, name)
        sizes.append((split, _targets(opened)))
    labels = np.array([label for _, targets in sizes for label in targets], dtype=np.int64)
    offset = int(labels.min())  # some count from 1
    return ImageDataset(
        name=title,
        location=name,
        ids=tuple(f"{split}/{index:06d}" for split, targets in sizes for index in range(len(targets))),
        labels=labels - offset,
        class_names=_class_names(opened, int(labels.max()) - offset + 1),
        source=source,
        given_splits=tuple(split for split, targets in sizes for _ in targets) if len(parts) > 1 else None,
    )


def _open_digits(title: str) -> ImageDataset:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / _DIGITS_MAX)).astype(np.uint8)  # (N, 8, 8)
    ids = tuple(f"digits/{index:04d}" for index in range(len(pixels)))
    return ImageDataset(
        name=title,
        location="digits",
        ids=ids,
        labels=digits.target.astype(np.int64),
        class_names=tuple(str(digit) for digit in range(10)),
        source=ArraySource(pictures=dict(zip(ids, pixels, strict=True))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchvisionSource:
    """Pictures of a torchvision data set that has been downloaded; each process opens it anew.

    Attributes:
        kind: the class in `torchvision.datasets`.
        root: the folder that it was downloaded to.
        parts: the splits that it is opened in.
    """

    kind: str
    root: Path
    parts: tuple[Part, ...]

    def read(self, picture_id: str) -> RawPicture:
        """Return a picture's pixels. Raises PictureError when torchvision cannot read it."""
        split, _, index = picture_id.partition("/")
        try:
            image, _ = _open_part(self.kind, self.root, dict(self.parts)[_as_split(split)])[int(index)]
            return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise PictureError(f"cannot be read: {error}") from error


def _as_split(text: str) -> Split:
    return "train" if text == "train" else "val" if text == "val" else "test"


@cache
def _open_part(kind: str, root: Path, arguments: tuple[tuple[str, Any], ...]) -> Any:
    import torchvision.datasets

    return getattr(torchvision.datasets, kind)(root=str(root), download=False, **dict(arguments))


def _download(kind: str, root: Path, arguments: tuple[tuple[str, Any], ...], name: str) -> Any:
    """Open one part, downloading it where it is not there yet."""
    local = (
        f"give a local copy instead (a folder of class folders, or a zip of it), or put its files into {root}"
    )
    with contextlib.suppress(RuntimeError, OSError):  # "not found": the download below says more
        return _open_part(kind, root, arguments)
    if is_offline():
        raise DataError(
            f"the data set {name!r} is not on this machine, and {OFFLINE_VARIABLE}=1 forbids to download it",
            hint=local,
        )
    import torchvision.datasets

    dataset_class = getattr(torchvision.datasets, kind)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            dataset_class(root=str(root), download=True, **dict(arguments))
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"cannot download the data set {name!r} from {_host(dataset_class)}: {reason}", hint=local
        ) from error
    except (RuntimeError, OSError, ImportError) as error:
        raise DataError(f"cannot download the data set {name!r}: {error}", hint=local) from error
    return _open_part(kind, root, arguments)


def _host(dataset_class: Any) -> str:
    """The host that a torchvision class names, for messages."""
    for attribute in ("url", "mirrors", "_URL", "_URL_PREFIX"):
        value = getattr(dataset_class, attribute, None)
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, str):
            return urllib.parse.urlsplit(first).netloc
    return "its host"


def _targets(opened: Any) -> list[int]:
    """The labels of a torchvision data set, without decoding its pictures where it keeps them apart."""
    for attribute in ("targets", "labels", "_labels", "y"):
        values = getattr(opened, attribute, None)
        if values is not None:
            return [int(value) for value in np.asarray(values)]
    samples = getattr(opened, "_samples", None)
    if samples is not None:
        return [int(sample[1]) for sample in samples]
    return [int(opened[index][1]) for index in range(len(opened))]


def _class_names(opened: Any, count: int) -> tuple[str, ...]:
    for attribute in ("classes", "categories"):
        names = getattr(opened, attribute, None)
        if names is not None and len(names) == count:
            return tuple(name if isinstance(name, str) else ", ".join(map(str, name)) for name in names)
    return tuple(str(number) for number in range(count))
