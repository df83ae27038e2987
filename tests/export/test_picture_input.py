"""Resizing inside the graph gives what Pillow and headstart's own preprocessing give."""

from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.catalog.entry import Interpolation, Preprocessing
from headstart.export.picture_input import PictureInput
from headstart.preprocess import to_input, to_pixels

# Larger and smaller than the input, high, wide, equal, of an odd rest, of one pixel.
SIZES = ((500, 375), (333, 448), (64, 48), (75, 100), (1000, 137), (300, 5), (448, 333), (1, 1), (25, 25))
IN_LEVELS = {"mean": (0.0, 0.5, 1.0), "std": (1 / 255,) * 3}  # so that a difference of 1 is one grey level


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    return Image.fromarray(smooth ^ generator.integers(0, 4, smooth.shape, dtype=np.uint8))


def differences(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    expected = to_input(torch.from_numpy(to_pixels(image, preprocessing).copy())[None], preprocessing)
    found = PictureInput(preprocessing)(torch.from_numpy(np.array(image))[None])
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    return np.abs((found - expected).numpy())


@pytest.mark.parametrize(
    ("interpolation", "fit", "size"),
    list(product(("bilinear", "bicubic", "lanczos"), ("crop", "squash", "pad"), SIZES)),
)
def test_it_is_what_pillow_gives(interpolation: str, fit: str, size: tuple[int, int]) -> None:
    preprocessing = Preprocessing(
        interpolation=interpolation,  # type: ignore[arg-type]
        fit=fit,  # type: ignore[arg-type]
        input_size=(75, 100),
        input_space="BGR" if size[0] % 2 else "RGB",
        **IN_LEVELS,
    )
    found = differences(picture(size), preprocessing)
    if fit == "squash" and size in ((333, 448), (75, 100)):
        # Pillow begins with the height, which shows where sharp filters overshoot.
        assert found.max() < 2.01 if interpolation != "lanczos" else found.max() < 4.01
        assert found.mean() < 0.3
    else:
        assert found.max() < 0.01


@pytest.mark.parametrize("side", [32, 28, 112])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_a_whole_number_of_times_larger(side: int, interpolation: Interpolation) -> None:
    """Many values then lie between two levels, where it depends on the last bit of the weights."""
    preprocessing = Preprocessing(interpolation=interpolation, **IN_LEVELS)
    assert differences(picture((side, side)), preprocessing).max() < 0.01


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_a_network_input_that_is_no_square(fit: str) -> None:
    preprocessing = Preprocessing(fit=fit, input_size=(224, 96), crop_fraction=0.9, **IN_LEVELS)  # type: ignore[arg-type]
    assert differences(picture((640, 480)), preprocessing).max() < 0.01


def test_nearest_takes_single_pixels() -> None:
    found = differences(picture((64, 64)), Preprocessing(interpolation="nearest", input_size=(32, 32)))
    assert found.max() < 1e-5


def test_input_range_and_batches() -> None:
    preprocessing = Preprocessing(
        input_range=(0.0, 255.0),
        mean=(104.0, 117.0, 128.0),
        std=(1.0, 1.0, 1.0),
        input_space="BGR",
        fit="pad",
    )
    images = [picture((90, 40), seed) for seed in range(3)]
    batch = PictureInput(preprocessing)(torch.from_numpy(np.stack([np.array(each) for each in images])))
    for image, row in zip(images, batch, strict=True):
        single = PictureInput(preprocessing)(torch.from_numpy(np.array(image))[None])[0]
        assert torch.equal(row, single)
        assert differences(image, preprocessing).max() < 1.01
