"""A small picture for people to look at."""

import io

from PIL import Image

from headstart.data.dataset import RawPicture
from headstart.data.decode import decode

SIDE = 160
"""Of the longer side of a thumbnail, in pixels."""
MAX_BYTES = 40_000
"""Of a JPEG made here, up to 320 pixels wide and high: a report holds over a hundred and is sent by mail."""
_QUALITIES = (
    85,
    70,
    50,
    30,
)  # the first is enough for nearly every photograph; the last for nothing but noise


def make_thumbnail(raw: RawPicture, *, side: int = SIDE) -> bytes:
    """Return a picture as a JPEG whose longer side is `side` pixels, without metadata.

    Raises:
        PictureError: it cannot be read whole.
    """
    return jpeg_of(decode(raw, reduce_to=2 * side), side=side)


def jpeg_of(image: Image.Image, *, side: int) -> bytes:
    """Return a picture in mode RGB as a JPEG whose longer side is `side`, without metadata.

    One that would be larger than `MAX_BYTES`, as noise is, gets a lower quality.
    """
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # The pixels of tiny pictures stay visible.
    small = image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BICUBIC)
    small.info.clear()  # Pillow would carry a JPEG's comment over
    for quality in _QUALITIES:
        data = io.BytesIO()
        small.save(data, "JPEG", quality=quality)
        if data.tell() <= MAX_BYTES:
            break
    return data.getvalue()
