"""A small picture for people to look at."""

import io

from PIL import Image

from headstart.data.dataset import RawPicture
from headstart.data.decode import decode

SIDE = 160
"""Of the longer side of a thumbnail, in pixels."""


def make_thumbnail(raw: RawPicture) -> bytes:
    """Return a picture as a JPEG whose longer side is `SIDE`, without metadata.

    Raises:
        PictureError: it cannot be read whole.
    """
    image = decode(raw, reduce_to=2 * SIDE)
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # The pixels of tiny pictures stay visible.
    small = image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BICUBIC)
    small.info.clear()  # Pillow would carry a JPEG's comment over
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return data.getvalue()
