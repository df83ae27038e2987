"""Which input size pictures go in at, when nobody says."""

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from headstart.catalog.entry import Fit, Preprocessing
from headstart.core.errors import InputError, PictureError
from headstart.data import ImageDataset
from headstart.data.decode import stated_size

Resolution = int | Literal["native", "auto"]

# Pictures this small hold no detail that a larger input would show; 128 px keeps the network's feature maps
# large enough to be of use at about a third of the native cost.
SMALL_PICTURE_SIDE = 64
SMALL_PICTURE_INPUT = 128
# Smaller inputs leave networks that halve five times with a feature map of nothing.
MIN_INPUT, MAX_INPUT = 32, 2048

_SAMPLE_PICTURES = 64


def choose_resolution(
    preprocessing: Preprocessing,
    shorter_sides: npt.NDArray[np.int64],
    *,
    resolution: Resolution = "auto",
    fit: Fit | None = None,
    fixed: bool = False,
) -> Preprocessing:
    """Return the preprocessing with the input size that is wanted, or the one that suits the pictures.

    Small pictures are framed tightly already: unless a fit is asked for, nothing is cut off them.

    Args:
        preprocessing: what the weights came with.
        shorter_sides: int of shape (N,), the pictures' shorter sides in pixels.
        resolution: a side in pixels; "native" keeps the weights' own; "auto" is native, but 128 px where
            half of the pictures are smaller than 64 px.
        fit: replaces the weights' own when given.
        fixed: the network takes its native size only; "auto" keeps it then.

    Raises:
        InputError: a side below 32 or above 2048, or another one than a fixed network takes.
    """
    native = preprocessing.input_size[0]
    side = native if resolution in ("native", "auto") else int(resolution)
    if not MIN_INPUT <= side <= MAX_INPUT:
        raise InputError(f"resolution {side}; it must lie between {MIN_INPUT} and {MAX_INPUT} px")
    if fixed and side != native:
        raise InputError(f"this network takes pictures of {native} px only, not {side}")
    small = _are_small(shorter_sides)
    if resolution == "auto" and small and not fixed:
        side = min(native, SMALL_PICTURE_INPUT)
    if small and fit is None:
        preprocessing = replace(preprocessing, crop_fraction=1.0)
    size = preprocessing.input_size if side == native else (side, side)
    return replace(preprocessing, input_size=size, fit=fit or preprocessing.fit)


def _are_small(shorter_sides: npt.NDArray[np.int64]) -> bool:
    return len(shorter_sides) > 0 and float(np.median(shorter_sides)) < SMALL_PICTURE_SIDE


def sample_sides(dataset: ImageDataset) -> npt.NDArray[np.int64]:
    """Return the shorter sides, in pixels, of at most 64 pictures spread evenly over the data set.

    Headers are read, nothing is decoded.
    """
    sides = []
    for picture_id in dataset.ids[:: max(1, len(dataset) // _SAMPLE_PICTURES)][:_SAMPLE_PICTURES]:
        try:
            sides.append(min(stated_size(dataset.source.read(picture_id))))
        except PictureError:  # left out with its reason when it is read
            continue
    return np.array(sides, np.int64)
