"""Preprocessing in words, for cards and reports."""

from math import floor

from headstart.catalog.entry import Preprocessing


def describe(preprocessing: Preprocessing) -> str:
    """Return one sentence that says what happens to a picture before the network sees it.

    Example:
        >>> describe(Preprocessing())
        'resize the shorter side to 256 px (bilinear), cut out the middle 224x224, RGB in 0..1, mean 0.485 \
0.456 0.406, std 0.229 0.224 0.225'
    """
    height, width = preprocessing.input_size
    low, high = preprocessing.input_range
    numbers = [" ".join(f"{value:.4g}" for value in each) for each in (preprocessing.mean, preprocessing.std)]
    return (
        f"{_shape(preprocessing, f'{height}x{width}')}, {preprocessing.input_space} in {low:g}..{high:g}, "
        f"mean {numbers[0]}, std {numbers[1]}"
    )


def _shape(preprocessing: Preprocessing, size: str) -> str:
    filter_ = preprocessing.interpolation
    if preprocessing.fit == "squash":
        return f"squash to {size} whatever the shape ({filter_})"
    if preprocessing.fit == "pad":
        return f"fit into {size} ({filter_}) and fill up with the mean colour"
    shorter = floor(min(preprocessing.input_size) / preprocessing.crop_fraction)
    return f"resize the shorter side to {shorter} px ({filter_}), cut out the middle {size}"
