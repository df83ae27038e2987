import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from headstart.catalog.entry import Preprocessing
from headstart.preprocess import describe, to_input, to_pixels, with_resolution

SIZES = [(8, 8), (33, 97), (97, 33), (224, 224), (500, 375), (375, 500), (1, 300)]


def picture(size: tuple[int, int]) -> Image.Image:
    generator = np.random.default_rng(size)
    return Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop_fraction", [0.875, 0.95, 1.0])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crop_is_torchvisions_resize_and_crop(
    size: tuple[int, int], crop_fraction: float, interpolation: str
) -> None:
    preprocessing = Preprocessing(
        input_size=(64, 64), crop_fraction=crop_fraction, interpolation=interpolation
    )
    mode = {"bilinear": v2.InterpolationMode.BILINEAR, "bicubic": v2.InterpolationMode.BICUBIC}[interpolation]
    reference = v2.Compose([v2.Resize(int(64 / crop_fraction), mode), v2.CenterCrop(64)])
    image = picture(size)
    assert np.array_equal(to_pixels(image, preprocessing), np.asarray(reference(image)))


def test_input_is_torchvisions_normalisation() -> None:
    preprocessing = Preprocessing(input_size=(16, 16), crop_fraction=1.0)
    pixels = to_pixels(picture((16, 16)), preprocessing)
    reference = v2.Compose(
        [
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )
    batch = to_input(torch.from_numpy(pixels.copy())[None], preprocessing)
    assert torch.allclose(batch[0], reference(Image.fromarray(pixels)), atol=1e-5)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_caffe_weights_get_blue_first_in_0_to_255() -> None:
    caffe = Preprocessing(
        input_size=(1, 1), input_space="BGR", input_range=(0, 255), mean=(104, 117, 128), std=(1, 1, 1)
    )
    red_green_blue = torch.tensor([[[[10, 20, 30]]]], dtype=torch.uint8)
    assert to_input(red_green_blue, caffe).flatten().tolist() == pytest.approx([30 - 104, 20 - 117, 10 - 128])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_every_fit_gives_the_input_size(size: tuple[int, int], fit: str) -> None:
    preprocessing = Preprocessing(input_size=(48, 32), fit=fit)
    pixels = to_pixels(picture(size), preprocessing)
    assert pixels.shape == (48, 32, 3)
    assert pixels.dtype == np.uint8


def test_pad_keeps_the_whole_picture_and_fills_with_the_mean_colour() -> None:
    white = Image.new("RGB", (100, 50), "white")
    pixels = to_pixels(white, Preprocessing(input_size=(40, 40), fit="pad", mean=(0.5, 0.25, 0.0)))
    assert (pixels[10:30] == 255).all()
    assert (pixels[:10] == (128, 64, 0)).all()
    assert (pixels[30:] == (128, 64, 0)).all()


def test_words_say_what_the_numbers_do() -> None:
    words = describe(Preprocessing(input_size=(128, 128), crop_fraction=1.0, interpolation="bicubic"))
    assert words.startswith("resize the shorter side to 128 px (bicubic), cut out the middle 128x128")
    assert describe(with_resolution(Preprocessing(), 96, fit="squash")).startswith("squash to 96x96")
    assert describe(with_resolution(Preprocessing(), 96, fit="pad")).startswith("fit into 96x96")
