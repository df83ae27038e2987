"""A sheet of training pictures as a fine-tuning sees them, for people to look at."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.catalog.entry import Preprocessing
from headstart.compare.schedule import draw_order
from headstart.core.files import write_bytes
from headstart.data import ImageDataset
from headstart.embed import PixelStore
from headstart.embed.decoding import Decoding
from headstart.train import Recipe
from headstart.train.feeding import Feeder
from headstart.train.processes import Alone

MAX_PICTURES = 6
NUM_VARIANTS = 6

_SIDE, _GAP = 96, 4  # of a picture on the sheet, and around it, in pixels
_GREY = (150, 150, 150)

Pixels = npt.NDArray[np.uint8]


def write_sheet(
    path: Path,
    train: ImageDataset,
    *,
    preprocessing: Preprocessing,
    recipe: Recipe,
    seed: int,
    store: PixelStore,
) -> tuple[str, ...]:
    """Draw a few training pictures, a row each: as they are, then as they are shown in the first epochs.

    Args:
        path: of the JPEG, which bears no metadata; not written where no picture can be read.
        train: training pictures, scanned.
        preprocessing: of the network that is trained.
        recipe: how it is trained.
        seed: of the training.
        store: pixels that were decoded before.

    Returns:
        The class of each row; () where no picture can be read.
    """
    decoding = Decoding(
        source=train.source,
        preprocessing=preprocessing,
        decoder=store.decoder,
        store=store,
        digests=dict(zip(train.ids, train.digests or (), strict=False)),
    )
    rows: list[list[Pixels]] = []
    classes: list[str] = []
    with Feeder(train, decoding, recipe, seed=seed, device="cpu", processes=Alone()) as feeder:
        for index in draw_order(train.labels, seed=seed)[:MAX_PICTURES].tolist():
            row = _row(feeder, decoding, train.ids[index], index)
            if row:
                rows.append(row)
                classes.append(train.class_names[train.labels[index]])
    if rows:
        write_bytes(path, _jpeg(rows))
    return tuple(classes)


def _row(feeder: Feeder, decoding: Decoding, picture_id: str, index: int) -> list[Pixels]:
    """Return a picture and its variants, [] where it cannot be read."""
    plain = np.empty((*decoding.preprocessing.input_size, 3), np.uint8)
    if decoding.fill(picture_id, plain):
        return []
    variants = (feeder.varied(index, epoch) for epoch in range(NUM_VARIANTS))
    return [plain, *(each for each in variants if each is not None)]


def _jpeg(rows: list[list[Pixels]]) -> bytes:
    step = _SIDE + _GAP
    sheet = Image.new("RGB", (step * (1 + NUM_VARIANTS) + _GAP, step * len(rows) + _GAP), _GREY)
    for y, row in enumerate(rows):
        for x, pixels in enumerate(row):
            small = _resized(Image.fromarray(pixels))
            sheet.paste(small, (_GAP + x * step, _GAP + y * step))
    data = io.BytesIO()
    sheet.save(data, "JPEG", quality=85)
    return data.getvalue()


def _resized(image: Image.Image) -> Image.Image:
    """Return a picture whose longer side is that of the sheet's pictures."""
    scale = _SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # The pixels of tiny pictures stay visible.
    return image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BICUBIC)
