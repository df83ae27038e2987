"""Pictures for the benchmarks, made from photographs that are given: distinct copies, and large ones."""

import io
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

_SUFFIXES = (".jpg", ".jpeg")
_FOLDERS = ("a", "b")  # headstart takes the folders for classes


def read_photographs(place: Path) -> list[bytes]:
    """Return the JPEG files of a folder or zip, in the order of their names."""
    if place.is_dir():
        paths = sorted(path for path in place.rglob("*") if path.suffix.lower() in _SUFFIXES)
        return [path.read_bytes() for path in paths]
    with ZipFile(place) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith(_SUFFIXES))
        return [archive.read(name) for name in names]


def write_copies(photographs: list[bytes], folder: Path, num_images: int) -> None:
    """Write so many files, the photographs over and over, made distinct by a comment in each."""
    for index in range(num_images):
        raw = photographs[index % len(photographs)]
        comment = f"copy {index}".encode()
        marker = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        _path(folder, index).write_bytes(raw[:2] + marker + raw[2:])  # behind the start-of-image marker


def write_large(photographs: list[bytes], folder: Path, num_images: int) -> None:
    """Write so many distinct JPEG files of 4000x3000, quality 90: the photographs enlarged, with texture.

    Enlarging alone leaves smooth pictures that decode too fast, so noise of three sizes is laid over them:
    the grain of a sensor and coarser texture.
    """
    for index in range(num_images):
        rng = np.random.default_rng(index)
        with Image.open(io.BytesIO(photographs[index % len(photographs)])) as photograph:
            enlarged = _middle(photograph.convert("RGB")).resize((4000, 3000), Image.Resampling.BICUBIC)
        texture = sum(_noise(rng, block) * strength for block, strength in ((1, 4.0), (2, 4.0), (8, 4.0)))
        pixels = np.asarray(enlarged, np.float32) + np.asarray(texture)[:, :, None]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(_path(folder, index), quality=90)


def _middle(picture: Image.Image) -> Image.Image:
    """Cut the middle of the shape 4:3 out of a picture."""
    width, height = min(picture.width, picture.height * 4 // 3), min(picture.height, picture.width * 3 // 4)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _noise(rng: np.random.Generator, block: int) -> np.ndarray:
    """Return noise of mean 0 and deviation 1 of shape (3000, 4000), in blocks of so many pixels."""
    noise = rng.standard_normal((3000 // block, 4000 // block), dtype=np.float32)
    return noise.repeat(block, axis=0).repeat(block, axis=1)


def _path(folder: Path, index: int) -> Path:
    path = folder / _FOLDERS[index % 2] / f"{index:06d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
