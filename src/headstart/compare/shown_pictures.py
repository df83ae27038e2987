"""Small pictures for the report, in the run's folder: thumbnails, and heat maps laid over the input."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from headstart.compare.run_folder import THUMBNAILS
from headstart.core.digest import digest_bytes
from headstart.core.errors import ModelError, PictureError
from headstart.core.files import write_bytes
from headstart.data import PictureSource
from headstart.data.decode import decode
from headstart.data.thumbnail import jpeg_of, make_thumbnail
from headstart.models import Classifier
from headstart.predict import heat_maps, overlay_heat_map
from headstart.preprocess import to_input, to_pixels

_SIDE = 320  # of the longer side, in pixels: the report shows them small, and large when asked


def save_thumbnail(source: PictureSource, picture_id: str, run: Path) -> str:
    """Write a JPEG without metadata; return its path relative to the run, "" where there is no reading it."""
    name = _name(picture_id, ".jpg")
    if (run / name).is_file():
        return name
    try:
        thumbnail = make_thumbnail(source.read(picture_id), side=_SIDE)
    except PictureError:
        return ""
    write_bytes(run / name, thumbnail)
    return name


def save_heat_maps(
    classifier: Classifier,
    source: PictureSource,
    picture_ids: Sequence[str],
    classes: npt.NDArray[np.int64],
    run: Path,
) -> list[str]:
    """Write where a network sees what speaks for a class, over what went into it.

    Args:
        classifier: the network.
        source: the pictures.
        picture_ids: N of them.
        classes: int64 of shape (N,), an index in the classifier's `class_names` each.
        run: the run's folder.

    Returns:
        For each picture the path of a JPEG, relative to the run; "" when the picture can no longer be read,
        or the network has no heat maps.
    """
    paths = [""] * len(picture_ids)
    pixels = [_read(source, each, classifier) for each in picture_ids]
    readable = [index for index, each in enumerate(pixels) if each is not None]
    if not readable:
        return paths
    stacked = np.stack([each for each in pixels if each is not None])  # (n, H, W, 3)
    inputs = to_input(torch.from_numpy(stacked), classifier.preprocessing)
    try:
        heats = heat_maps(classifier, inputs, classes[readable].tolist())
    except ModelError:
        return paths
    for index, own_pixels, heat in zip(readable, stacked, heats, strict=True):
        paths[index] = _name(picture_ids[index], "-heat.jpg")
        laid = Image.fromarray(overlay_heat_map(own_pixels, heat))
        write_bytes(run / paths[index], jpeg_of(laid, side=_SIDE))
    return paths


def _read(source: PictureSource, picture_id: str, classifier: Classifier) -> npt.NDArray[np.uint8] | None:
    """Return what goes into the network, None where the picture can no longer be read."""
    try:
        return to_pixels(decode(source.read(picture_id)), classifier.preprocessing)
    except PictureError:
        return None


def _name(picture_id: str, end: str) -> str:
    return f"{THUMBNAILS}/{digest_bytes(picture_id.encode('utf-8', 'surrogateescape'))[:16]}{end}"
