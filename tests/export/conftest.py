"""A tiny classifier, pictures of several sizes, and its files, each written once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_classifier import CLASSES, Made, make_tiny

import headstart as hs
from headstart.export import ExportOptions
from headstart.models import Classifier, save_folder


@pytest.fixture(scope="session")
def tiny() -> Classifier:
    return make_tiny()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Image.Image]) -> Path:
    """A folder of class folders: pictures of several shapes, a broken one, and one stored sideways."""
    root = tmp_path_factory.mktemp("photos")
    for kind, class_name in zip(("cross", "disc", "square"), CLASSES, strict=True):
        folder = root / class_name
        folder.mkdir()
        for index in range(8):
            image = draw(kind, seed=index, side=48 + 20 * index)
            width = image.width
            image.crop((0, 0, width, width - 9 * (index % 3))).save(folder / f"{index}.png")
    sideways = Image.fromarray(np.tile(np.arange(120, dtype=np.uint8), (80, 1)))
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways.save(root / "cross" / "sideways.jpg", exif=exif)
    (root / "disc" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return root


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory, photos: Path, tiny: Classifier) -> Callable[..., Made]:
    """Return a function that exports the tiny classifier, each way once a session."""
    kept: dict[tuple[str, ExportOptions], Made] = {}

    def export(name: str, **options: object) -> Made:
        key = (name, ExportOptions(**options))  # type: ignore[arg-type]
        if key not in kept:
            path = tmp_path_factory.mktemp("exported") / name
            exported = hs.export(tiny, path, pictures=str(photos), options=key[1])
            kept[key] = Made(exported=exported, classifier=tiny, pictures=photos)
        return kept[key]

    return export


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tiny: Classifier) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_folder(tiny, folder)
    return folder
