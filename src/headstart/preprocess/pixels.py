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

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Pillow's name of each interpolation."""


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
    size = resized_size(image.size, preprocessing)
    return place(np.asarray(image.resize(size, FILTERS[preprocessing.interpolation])), preprocessing)


def resized_size(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Return the (width, height) that a picture is resized to, before anything is cut off or filled up.

    Args:
        size: (width, height) of the picture, upright, in pixels.
        preprocessing: says how big and how to get there.
    """
    height, width = preprocessing.input_size
    if preprocessing.fit == "squash":
        return width, height
    if preprocessing.fit == "pad":
        scale = min(width / size[0], height / size[1])
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    return _covering_size(size, preprocessing)


def place(resized: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Cut the input out of a resized picture, or fill the picture up to it.

    Args:
        resized: uint8 of shape (h, w, 3), where (w, h) is the picture's `resized_size`.
        preprocessing: says how big the input is.

    Returns:
        uint8 of shape (H, W, 3), C-contiguous; `resized` itself, or a view, where that will do.
    """
    height, width = preprocessing.input_size
    if preprocessing.fit == "pad":
        canvas = np.empty((height, width, 3), dtype=np.uint8)
        canvas[:] = _mean_colour(preprocessing)
        top, left = (height - resized.shape[0]) // 2, (width - resized.shape[1]) // 2
        canvas[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
        return canvas
    top, left = round((resized.shape[0] - height) / 2), round((resized.shape[1] - width) / 2)
    return np.ascontiguousarray(resized[top : top + height, left : left + width])


def _covering_size(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Return (width, height) of the resized picture, which covers the input size over the crop fraction."""
    height, width = (floor(side / preprocessing.crop_fraction) for side in preprocessing.input_size)
    if size[0] * height <= size[1] * width:  # narrower than the target: the width decides
        return width, max(height, int(width * size[1] / size[0]))
    return max(width, int(height * size[0] / size[1])), height


def _mean_colour(preprocessing: Preprocessing) -> tuple[int, int, int]:
    """Return the red, green and blue level in 0..255 that the network sees as zero."""
    low, high = preprocessing.input_range
    levels = [round(255 * (mean - low) / (high - low)) for mean in preprocessing.mean]
    red, green, blue = (min(255, max(0, level)) for level in levels)
    return (red, green, blue) if preprocessing.input_space == "RGB" else (blue, green, red)
