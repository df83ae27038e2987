"""Resizing and cropping: a picture of any size becomes uint8 pixels of the network's input size.

"crop" is the convention of torchvision and timm: the shorter side is resized to the input size divided by
the crop fraction, rounded down, and the middle is cut out.
Source: torchvision.transforms.Resize and CenterCrop, whose rounding is kept.
"""

from dataclasses import replace
from math import floor

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.catalog.entry import Fit, Preprocessing

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def with_resolution(preprocessing: Preprocessing, side: int, *, fit: Fit | None = None) -> Preprocessing:
    """Return the preprocessing with a square input of `side` pixels, and another fit where one is given."""
    return replace(preprocessing, input_size=(side, side), fit=fit or preprocessing.fit)


def to_pixels(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Return a picture as pixels of the input size.

    Args:
        image: a picture in mode RGB.
        preprocessing: says how big and how to get there.

    Returns:
        uint8 of shape (H, W, 3), red first whatever the network's channel order.
    """
    height, width = preprocessing.input_size
    filter_ = _FILTERS[preprocessing.interpolation]
    if preprocessing.fit == "squash":
        return np.asarray(image.resize((width, height), filter_))
    if preprocessing.fit == "pad":
        return np.asarray(_pad(image, preprocessing, filter_))
    resized = image.resize(_covering_size(image.size, preprocessing), filter_)
    left = round((resized.width - width) / 2)
    top = round((resized.height - height) / 2)
    return np.asarray(resized.crop((left, top, left + width, top + height)))


def _covering_size(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Return (width, height) of the resized picture, which covers the input size over the crop fraction."""
    height, width = (floor(side / preprocessing.crop_fraction) for side in preprocessing.input_size)
    if size[0] * height <= size[1] * width:  # narrower than the target: the width decides
        return width, max(height, int(width * size[1] / size[0]))
    return max(width, int(height * size[0] / size[1])), height


def _pad(image: Image.Image, preprocessing: Preprocessing, filter_: Image.Resampling) -> Image.Image:
    height, width = preprocessing.input_size
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = Image.new("RGB", (width, height), _mean_colour(preprocessing))
    canvas.paste(image.resize(size, filter_), ((width - size[0]) // 2, (height - size[1]) // 2))
    return canvas


def _mean_colour(preprocessing: Preprocessing) -> tuple[int, int, int]:
    """Return the red, green and blue level in 0..255 that the network sees as zero."""
    low, high = preprocessing.input_range
    levels = [round(255 * (mean - low) / (high - low)) for mean in preprocessing.mean]
    red, green, blue = (min(255, max(0, level)) for level in levels)
    return (red, green, blue) if preprocessing.input_space == "RGB" else (blue, green, red)
