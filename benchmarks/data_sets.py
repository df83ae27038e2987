"""Real pictures for selection.py, written as zips of CLASS/PICTURE that headstart opens.

    apt-get download dataset-fashion-mnist openclipart-png
    for each in *.deb; do dpkg -x $each packages; done
    python benchmarks/data_sets.py WORK CIFAR10.zip packages

WORK/data/NAME.zip is written for each name of `DATA_SETS`, and WORK/data/data_sets.json says how many
pictures each holds, where they come from and under which licence. Of CIFAR-10 and Fashion-MNIST the classes
are parted: zoo.py pretrains on "cifar10-zoo" and "fashion-zoo", the tasks are of "cifar10" and "fashion", and
no class is in both. Pictures of the same bytes are taken once. Everything is drawn by one seed.
"""

import argparse
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

SEED = 0
CLIP_ART_SIDE = 160  # longer side in pixels: larger than any input but the native ones
CLIP_ART_MAX_PIXELS = 20_000_000
_FASHION = dict(
    enumerate(
        ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One zip of pictures.

    Attributes:
        name: of the zip.
        origin: package and folder, or file, that carries the pictures.
        license: of the pictures, in words.
        classes: names of those that are taken, in the source's spelling.
        max_per_class: drawn from each class, evenly over the whole of it; None takes all.
    """

    name: str
    origin: str
    license: str
    classes: tuple[str, ...]
    max_per_class: int | None = None


_CIFAR10 = "CIFAR10.zip, CIFAR-10 of A. Krizhevsky 2009 as JPEG files"
_CIFAR10_LICENSE = "none stated by the authors, who ask to be cited; not distributed here"
_FASHION_DEB = "Debian's dataset-fashion-mnist"
DATA_SETS = (
    DataSet(
        name="digits",
        origin="scikit-learn's load_digits, UCI's optical recognition of handwritten digits (test part)",
        license="CC BY 4.0",
        classes=tuple("0123456789"),
    ),
    DataSet(
        name="cifar10",
        origin=_CIFAR10,
        license=_CIFAR10_LICENSE,
        classes=("airplane", "cat", "dog", "horse", "truck"),
        max_per_class=2000,
    ),
    DataSet(
        name="fashion",
        origin=_FASHION_DEB,
        license="MIT",
        classes=("t-shirt", "pullover", "shirt", "sneaker", "ankle boot"),
        max_per_class=2000,
    ),
    DataSet(
        name="clipart",
        origin="Debian's openclipart-png 0.18: the Open Clip Art Library, folders of its own for classes",
        license="public domain (Creative Commons Public Domain Dedication)",
        classes=(
            *("animals", "computer", "food", "people"),
            *("recreation", "shapes", "signs_and_symbols", "transportation"),
        ),
    ),
    DataSet(
        name="cifar10-zoo",
        origin=_CIFAR10,
        license=_CIFAR10_LICENSE,
        classes=("automobile", "bird", "deer", "frog", "ship"),
        max_per_class=5000,
    ),
    DataSet(
        name="fashion-zoo",
        origin=_FASHION_DEB,
        license="MIT",
        classes=("trouser", "dress", "coat", "sandal", "bag"),
        max_per_class=5000,
    ),
)


def read_digits(_: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    """Yield class and PNG of scikit-learn's digits, 8x8 grey."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for pixels, label in zip(digits.images, digits.target, strict=True):
        yield str(label), png(np.round(pixels * 255 / 16).astype(np.uint8))


def read_cifar10(args: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    """Yield class and file of both parts of CIFAR-10, 32x32 RGB."""
    with ZipFile(args.cifar10) as archive:
        for name in sorted(archive.namelist()):
            if name.lower().endswith((".jpg", ".png")):
                yield name.split("/")[-2], archive.read(name)


def read_fashion(args: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    """Yield class and PNG of both parts of Fashion-MNIST, 28x28 grey."""
    folder = next(args.packages.rglob("train-images-idx3-ubyte.gz")).parent
    for part in ("train", "t10k"):
        pixels = _idx(folder / f"{part}-images-idx3-ubyte.gz", header=16).reshape(-1, 28, 28)
        labels = _idx(folder / f"{part}-labels-idx1-ubyte.gz", header=8)
        for picture, label in zip(pixels, labels, strict=True):
            yield _FASHION[label], png(picture)


def _idx(path: Path, *, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def read_clipart(args: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    """Yield class and PNG of the clip art: on white, RGB, of any shape, its longer side 160 px at most."""
    folder = next(args.packages.rglob("openclipart/png"))
    for path in sorted(folder.rglob("*.png")):
        try:
            with Image.open(path) as opened:
                if opened.width * opened.height > CLIP_ART_MAX_PIXELS:
                    continue
                picture = opened.convert("RGBA")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # a few are broken or huge
            continue
        white = Image.new("RGBA", picture.size, "white")
        flat = Image.alpha_composite(white, picture).convert("RGB")
        flat.thumbnail((CLIP_ART_SIDE, CLIP_ART_SIDE), Image.Resampling.LANCZOS)
        yield path.relative_to(folder).parts[0], png(np.asarray(flat))


def png(pixels: np.ndarray) -> bytes:
    """Return the file of a picture, uint8 of shape (H, W) or (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


READERS: dict[str, Callable[[argparse.Namespace], Iterator[tuple[str, bytes]]]] = {
    "digits": read_digits,
    "cifar10": read_cifar10,
    "fashion": read_fashion,
    "clipart": read_clipart,
}


def write(data_set: DataSet, files: dict[str, list[bytes]], path: Path) -> dict[str, int]:
    """Write the zip of one data set; return how many pictures of each class it holds."""
    counts = {}
    with ZipFile(path, "w") as archive:
        for name in data_set.classes:
            found = list(dict.fromkeys(files[name]))
            order = np.random.default_rng(SEED).permutation(len(found))[: data_set.max_per_class]
            for number, index in enumerate(np.sort(order)):
                archive.writestr(f"{name}/{number:05d}{_suffix(found[index])}", found[index])
            counts[name] = len(order)
    return counts


def _suffix(file: bytes) -> str:
    return ".png" if file.startswith(b"\x89PNG") else ".jpg"


def main() -> None:
    """Write all."""
    parser = argparse.ArgumentParser(description="Real pictures for selection.py: see the docstring.")
    parser.add_argument("work", type=Path, help="working folder, the same for zoo.py and selection.py")
    parser.add_argument("cifar10", type=Path, help="zip of CIFAR-10 with train/<class>/ and test/<class>/")
    parser.add_argument("packages", type=Path, help="folder that the two Debian packages are unpacked in")
    args = parser.parse_args()
    folder = args.work / "data"
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for source, read in READERS.items():
        files: dict[str, list[bytes]] = {}
        for name, file in read(args):
            files.setdefault(name, []).append(file)
        for data_set in DATA_SETS:
            if data_set.name.partition("-")[0] != source:
                continue
            counts = write(data_set, files, folder / f"{data_set.name}.zip")
            print(f"{data_set.name:<12} {sum(counts.values()):>6} pictures, {data_set.license}; {counts}")
            record = {"name": data_set.name, "origin": data_set.origin, "license": data_set.license}
            records.append({**record, "pictures": counts})
    (folder / "data_sets.json").write_text(json.dumps(records, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
