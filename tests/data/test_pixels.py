"""The fast way to pixels is held to the exact one, picture by picture."""

import io
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL
import pytest
import torch
import torchvision
from PIL import Image, ImageCms, ImageDraw

from headstart.catalog.entry import Preprocessing
from headstart.core.errors import PictureError
from headstart.data import pixels as pixels_module
from headstart.data.decode import DECODER_VERSION, decode, decoder_version, measure, quiet_pillow
from headstart.data.pixels import prepare_picture
from headstart.preprocess import to_pixels

# In grey levels. Ties are rounded in both passes of a resize, hence 2; decoding and "nearest" are exact.
SAME_SIZE_MAX, SAME_SIZE_MEAN = 2, 0.15
# A JPEG decoded at a part of its size. The first for large pictures, the second where they are as sharp as
# pixels can be: small (500 x 375), made tiny.
REDUCED_MEAN, REDUCED_SHARP_MEAN = 0.5, 1.2
REDUCED_MAX, REDUCED_PSNR = 24, 40.0
CROP, SQUASH, PAD = "crop", "squash", "pad"
RNG_SIZE = (300, 220)


def encoded(image, format="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def drawn(size, *, texture="photo", seed=0):
    """A picture with soft grounds, edges, and the grain of a sensor: seeded, no photograph of anybody's."""
    generator = np.random.default_rng([seed, *size])
    width, height = size
    coarse = generator.integers(30, 226, (5, 6, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    if texture == "smooth":
        return image
    if texture == "noise":
        return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = generator.integers(0, width), generator.integers(0, height)
        radius = int(generator.integers(1, max(2, min(size) // 4)))
        colour = tuple(int(level) for level in generator.integers(0, 256, 3))
        (pen.ellipse if generator.random() < 0.5 else pen.rectangle)(
            (x - radius, y - radius, x + radius, y + radius), fill=colour
        )
    grain = generator.normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def difference(raw, preprocessing):
    """Prepare fast and exactly; return the mean and the largest difference, and the signal to noise ratio."""
    fast = prepare_picture(raw, (preprocessing,), decoder="fast")
    exact = prepare_picture(raw, (preprocessing,), decoder="exact")
    (found,), (expected,) = fast.pixels, exact.pixels
    assert found.dtype == np.uint8
    assert found.shape == expected.shape == (*preprocessing.input_size, 3)
    assert found.flags.c_contiguous
    assert expected.flags.c_contiguous
    assert (fast.width, fast.height) == (exact.width, exact.height) == measure(raw)
    errors = np.abs(found.astype(np.float64) - expected)
    psnr = 10 * np.log10(255**2 / max(1e-9, float((errors**2).mean())))
    return errors.mean(), errors.max(), psnr


def assert_same_size(raw, preprocessing):
    mean, largest, _ = difference(raw, preprocessing)
    if preprocessing.interpolation == "nearest":
        assert largest == 0
    assert largest <= SAME_SIZE_MAX
    assert mean <= SAME_SIZE_MEAN


def assert_reduced(raw, preprocessing, *, mean_limit=REDUCED_MEAN):
    mean, largest, psnr = difference(raw, preprocessing)
    assert mean <= mean_limit
    assert largest <= REDUCED_MAX
    assert psnr >= REDUCED_PSNR


@pytest.fixture
def reductions(monkeypatch):
    """The parts of their size that pictures are decoded at, in order."""
    seen = []
    original = pixels_module._decode

    def spy(raw, image, reduction):
        seen.append(reduction)
        return original(raw, image, reduction)

    monkeypatch.setattr(pixels_module, "_decode", spy)
    return seen


def adobe_rgb():
    """A profile of sRGB primaries that have changed places: far from sRGB, and not called so."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    for position in range(len(profile) - 8):
        if profile[position : position + 8] == "sRGB".encode("utf-16-be"):
            profile[position : position + 8] = "swap".encode("utf-16-be")
    return bytes(profile)


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def kinds():
    photo = drawn(RNG_SIZE)
    clear = photo.copy()
    clear.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 300).astype(np.uint8), (220, 1))))
    wide = np.random.default_rng(0).integers(0, 65536, (220, 300), dtype=np.uint16)
    files = {
        "jpeg": encoded(photo),
        "jpeg-444": encoded(photo, subsampling=0, quality=95),
        "jpeg-422": encoded(photo, subsampling=1),
        "jpeg-420": encoded(photo, subsampling=2, quality=40),
        "jpeg-progressive": encoded(photo, progressive=True),
        "jpeg-restarts": encoded(photo, restart_marker_blocks=7),
        "jpeg-grey": encoded(photo.convert("L")),
        "jpeg-cmyk": encoded(photo.convert("CMYK")),
        "jpeg-profile": encoded(photo, icc_profile=adobe_rgb()),
        "jpeg-srgb": encoded(
            photo, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        ),
        "jpeg-grey-profile": encoded(photo.convert("L"), icc_profile=adobe_rgb()),
        "jpeg-rgb": encoded(photo, keep_rgb=True),
        "jpeg-noise": encoded(drawn(RNG_SIZE, texture="noise")),
        "jpeg-smooth": encoded(drawn(RNG_SIZE, texture="smooth")),
        "jpeg-comment": encoded(photo, comment=b"made by a test"),
        "jpeg-trailing": encoded(photo) + bytes(100),
        "mpo": encoded(photo, "MPO", save_all=True, append_images=[drawn((300, 220), seed=1)]),
        "png": encoded(photo, "PNG"),
        "png-16": encoded(Image.fromarray(wide), "PNG"),
        "png-rgba": encoded(clear, "PNG"),
        "png-palette": encoded(photo.quantize(64), "PNG"),
        "png-1": encoded(photo.convert("1"), "PNG"),
        "gif": encoded(photo.quantize(64), "GIF"),
        "tiff": encoded(photo, "TIFF", compression="tiff_lzw"),
        "tiff-turned": encoded(photo, "TIFF", exif=exif(6)),
        "webp": encoded(photo, "WEBP"),
        "webp-turned": encoded(photo, "WEBP", exif=exif(8)),
        "bmp": encoded(photo, "BMP"),
        "one-pixel": encoded(drawn((1, 1))),
        "one-pixel-png": encoded(drawn((1, 1)), "PNG"),
        "tall": encoded(drawn((20, 400))),
        "wide": encoded(drawn((400, 20))),
        "tiny": encoded(drawn((32, 32))),
        "tiny-grey": encoded(drawn((28, 28)).convert("L")),
        "tiny-turned": encoded(drawn((32, 24)), exif=exif(5)),
        "array": np.asarray(photo),
        "array-grey": np.asarray(photo.convert("L")),
        "array-grey-1": np.asarray(photo.convert("L"))[:, :, None],
        "array-strided": np.asarray(photo)[::2, ::-1],
    }
    for orientation in range(1, 9):
        files[f"jpeg-orientation-{orientation}"] = encoded(photo, exif=exif(orientation))
    return files


KINDS = kinds()


@pytest.mark.parametrize("fit", [CROP, SQUASH, PAD])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_at_its_own_size_is_within_two_levels(kind, fit, reductions):
    for interpolation in ("bilinear", "bicubic", "lanczos", "nearest"):
        for input_size in ((224, 224), (131, 180)):  # up in one direction, down in the other
            assert_same_size(
                KINDS[kind], Preprocessing(input_size=input_size, fit=fit, interpolation=interpolation)
            )
    assert set(reductions) <= {1}


@pytest.mark.parametrize("fit", [CROP, SQUASH, PAD])
@pytest.mark.parametrize("texture", ["photo", "smooth"])
def test_a_jpeg_much_larger_than_needed_is_decoded_at_a_part_of_its_size(texture, fit, reductions):
    for size in ((1001, 803), (803, 1339)):  # no multiple of 8: the last block is cut off
        raw = encoded(drawn(size, texture=texture), quality=90)
        for interpolation in ("bilinear", "bicubic", "lanczos"):
            for side in (24, 60, 110, 150):
                assert_reduced(
                    raw, Preprocessing(input_size=(side, side), fit=fit, interpolation=interpolation)
                )
    assert set(reductions) >= {2, 4, 8}


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_hard_edges_of_any_shape_turned_any_way(interpolation):
    # What overshoots is clipped between the two passes, so that their order shows.
    generator = np.random.default_rng(0)
    for _ in range(60):
        width, height, side, other = (int(each) for each in generator.integers(30, 200, 4))
        checks = (generator.random((height // 6 + 1, width // 6 + 1)) < 0.5).repeat(6, 0).repeat(6, 1)
        image = Image.fromarray(checks[:height, :width].astype(np.uint8) * 255)
        orientation = int(generator.integers(1, 9))
        raw = encoded(image, "PNG", exif=exif(orientation))
        for fit in (CROP, SQUASH, PAD):
            _, largest, _ = difference(
                raw, Preprocessing(input_size=(side, other), fit=fit, interpolation=interpolation)
            )
            assert largest <= SAME_SIZE_MAX


def test_the_filter_nearest_takes_pixels_of_the_whole_picture(reductions):
    assert_same_size(
        encoded(drawn((801, 601)), exif=exif(7)), Preprocessing(input_size=(32, 32), interpolation="nearest")
    )
    assert reductions == [1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_turned_upright(orientation, reductions):
    raw = encoded(drawn((1203, 905), texture="photo"), exif=exif(orientation))
    for fit in (CROP, SQUASH, PAD):
        # Neither square nor centred by halves: a mistaken side or rounding would shift the picture.
        assert_reduced(raw, Preprocessing(input_size=(97, 60), fit=fit, interpolation="bicubic"))
    assert min(reductions) > 1


def test_directions_are_those_of_the_upright_picture(reductions):
    upright = Preprocessing(input_size=(250, 32), fit=SQUASH)  # needs an eighth of 2000 and a twelfth of 400
    assert_reduced(encoded(drawn((2000, 400)), exif=exif(6)), upright)
    assert reductions == [2]


@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0},
        {"subsampling": 1},
        {"progressive": True},
        {"mode": "L"},
        {"mode": "CMYK"},
        {"icc_profile": adobe_rgb()},
        {"format": "MPO"},
    ],
    ids=["4:4:4", "4:2:2", "progressive", "grey", "CMYK", "colour profile", "MPO"],
)
def test_reduced_jpegs_of_every_kind(options, reductions):
    options = dict(options)
    image = drawn((1203, 905)).convert(options.pop("mode", "RGB"))
    assert_reduced(
        encoded(image, options.pop("format", "JPEG"), **options), Preprocessing(input_size=(90, 90))
    )
    assert min(reductions) > 1


def test_long_and_narrow_pictures_are_reduced_by_what_each_direction_needs(reductions):
    for size in ((200, 4000), (4000, 200)):
        for fit in (CROP, SQUASH, PAD):
            mean, largest, _ = difference(
                encoded(drawn(size)), Preprocessing(input_size=(32, 32), fit=fit, crop_fraction=1.0)
            )
            assert mean <= REDUCED_SHARP_MEAN
            assert largest <= REDUCED_MAX
    assert reductions == [2, 2, 8] * 2  # 200 px -> 32 leaves 2, also where 4000 -> 32 would leave more


def test_twelve_megapixels(reductions):
    raw = encoded(drawn((4000, 3000)), quality=90)
    for fit in (CROP, PAD):
        for interpolation in ("bilinear", "bicubic"):
            assert_reduced(raw, Preprocessing(fit=fit, interpolation=interpolation))
    assert set(reductions) == {4}


def photographs(shared, every):
    with zipfile.ZipFile(shared / "data" / "imagenet100.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".JPEG"))
        return {name: archive.read(name) for name in names[::every]}


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_photographs_at_their_own_size(shared, interpolation, reductions):
    for raw in photographs(shared, 1).values():
        reductions.clear()
        mean, largest, _ = difference(raw, Preprocessing(interpolation=interpolation))
        if set(reductions) == {1}:
            assert (largest, mean) <= (SAME_SIZE_MAX, SAME_SIZE_MEAN)
        else:
            assert mean <= REDUCED_MEAN


@pytest.mark.parametrize("side", [28, 60])
def test_sharp_photographs_made_tiny(shared, side, reductions):
    for raw in photographs(shared, 2).values():
        mean, largest, psnr = difference(raw, Preprocessing(input_size=(side, side)))
        assert mean <= REDUCED_SHARP_MEAN
        assert largest <= REDUCED_MAX
        assert psnr >= 36
    assert max(reductions) > 1


def test_large_photographs(shared, reductions):
    for raw in photographs(shared, 10).values():
        image = Image.open(io.BytesIO(raw)).convert("RGB")
        large = image.resize((image.width * 5 + 3, image.height * 5 + 1), Image.Resampling.BICUBIC)
        for side in (64, 128, 224):
            assert_reduced(encoded(large, quality=90), Preprocessing(input_size=(side, side)))
    assert min(reductions) > 1


def test_pixels_do_not_depend_on_the_company_they_are_prepared_in(reductions):
    raw = encoded(drawn((1001, 803)), quality=90)
    wanted = [
        Preprocessing(input_size=(side, side), fit=fit, interpolation=interpolation)
        for side in (24, 64, 224)
        for fit in (CROP, PAD)
        for interpolation in ("bicubic", "lanczos", "nearest")
    ]
    together = prepare_picture(raw, wanted, decoder="fast")
    assert sorted(reductions) == sorted(set(reductions))  # once for each size
    assert len(reductions) > 2
    backwards = prepare_picture(raw, wanted[::-1], decoder="fast")
    for index, each in enumerate(wanted):
        alone = prepare_picture(raw, (each,), decoder="fast").pixels[0]
        assert np.array_equal(alone, together.pixels[index])
        assert np.array_equal(alone, backwards.pixels[-1 - index])


def test_tiny_pictures_do_not_depend_on_company_either():
    wanted = [Preprocessing(input_size=(side, side)) for side in (8, 32, 112)]
    for raw in (encoded(drawn((120, 100))), encoded(drawn((120, 100)), exif=exif(3)), KINDS["tiny"]):
        together = prepare_picture(raw, wanted, decoder="fast").pixels
        alone = [prepare_picture(raw, (each,), decoder="fast").pixels[0] for each in wanted]
        assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))


def test_tiny_pictures_do_not_depend_on_who_read_their_header(reductions):
    image, preprocessing = drawn((120, 100)), Preprocessing(input_size=(8, 8))
    plain, with_exif = (
        prepare_picture(encoded(image, **options), (preprocessing,), decoder="fast").pixels[0]
        for options in ({}, {"exif": exif(1)})
    )
    assert np.array_equal(plain, with_exif)
    assert reductions == [1]


def test_exact_is_decode_and_to_pixels():
    preprocessings = (Preprocessing(), Preprocessing(input_size=(50, 70), fit="pad"))
    for kind in ("jpeg", "jpeg-orientation-6", "png-rgba", "array-grey"):
        prepared = prepare_picture(KINDS[kind], preprocessings, decoder="exact")
        image = decode(KINDS[kind])
        assert (prepared.width, prepared.height) == image.size
        for found, preprocessing in zip(prepared.pixels, preprocessings, strict=True):
            assert np.array_equal(found, to_pixels(image, preprocessing))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_without_a_preprocessing_a_picture_is_measured(kind):
    for decoder in ("fast", "exact"):
        prepared = prepare_picture(KINDS[kind], (), decoder=decoder)
        assert prepared.pixels == ()
        assert (prepared.width, prepared.height) == decode(KINDS[kind]).size


def verdict(raw, decoder):
    """The reason for which a picture is refused; "" where it is not."""
    try:
        prepare_picture(raw, DAMAGE_PREPROCESSINGS, decoder=decoder)
    except PictureError as error:
        return error.message
    return ""


# Of a tiny, a plain and a reduced JPEG: whole and at a part of its size.
DAMAGE_PREPROCESSINGS = (Preprocessing(input_size=(32, 32)), Preprocessing(input_size=(120, 120)))


@pytest.mark.parametrize("size", [(32, 32), (150, 113), (401, 300)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_damaged_jpegs_get_the_same_verdict_in_the_same_words(size, options, mode):
    raw = encoded(drawn(size).convert(mode), **options)
    generator = np.random.default_rng(size)
    damaged = [raw[: int(len(raw) * share)] for share in (0.01, 0.2, 0.5, 0.8, 0.99)]
    damaged += [
        raw[:-1],
        raw[:-2],
        raw[:-2] + b"\xff\xd9\xff\xd9",
        raw[: len(raw) // 2] + b"\xff\xd9",
        raw + b"x",
    ]
    for reach in (len(raw), min(len(raw), 640)) * 15:  # everywhere, and in the header
        flipped = bytearray(raw)
        for position in generator.integers(2, reach, generator.integers(1, 4)):
            flipped[position] = generator.integers(0, 256)
        damaged.append(bytes(flipped))
        first, last = sorted(generator.integers(0, reach, 2))
        damaged.append(raw[:first] + raw[last:])
    with quiet_pillow():
        verdicts = [(verdict(each, "fast"), verdict(each, "exact")) for each in damaged]
    assert all(fast == exact for fast, exact in verdicts), [each for each in verdicts if each[0] != each[1]]
    assert any(exact for _, exact in verdicts)
    assert not all(exact for _, exact in verdicts)


@pytest.mark.parametrize(
    "raw", [b"", b"hello", bytes(500), b"\xff\xd8\xff", np.zeros((2, 2)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_has_the_same_reason(raw):
    assert verdict(raw, "fast") == verdict(raw, "exact") != ""


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000"])
def test_other_formats_cut_short_get_the_same_verdict(format):
    raw = encoded(drawn((60, 50)), format)
    for share in (0.3, 0.6, 0.95):
        assert (
            verdict(raw[: int(len(raw) * share)], "fast")
            == verdict(raw[: int(len(raw) * share)], "exact")
            != ""
        )


def test_a_tiny_jpeg_with_metadata_is_read_by_pillow(reductions):
    for options in ({"exif": exif(6)}, {"icc_profile": adobe_rgb()}, {"comment": b"x"}, {"keep_rgb": True}):
        raw = encoded(drawn((32, 24)), **options)
        reductions.clear()
        assert_same_size(raw, Preprocessing(input_size=(24, 24)))
        assert reductions == [1]
    reductions.clear()
    assert_same_size(encoded(drawn((32, 24))), Preprocessing(input_size=(24, 24)))
    assert reductions == []


def test_without_torchvisions_decoder_pillow_decodes(monkeypatch):
    monkeypatch.setattr(pixels_module, "_torchvision_decoder", lambda: None)
    for kind in ("tiny", "jpeg", "jpeg-grey"):
        assert_same_size(KINDS[kind], Preprocessing())


def test_the_result_does_not_change_with_the_callers_array():
    array = np.zeros((8, 8, 3), dtype=np.uint8)
    found = prepare_picture(array, (Preprocessing(input_size=(8, 8), fit="squash"),), decoder="fast").pixels[
        0
    ]
    array[:] = 255
    assert not found.any()


def test_large_pictures_take_turns_by_the_size_they_are_decoded_at(monkeypatch):
    turns = []
    original = pixels_module.turn_of_large
    monkeypatch.setattr(
        pixels_module, "turn_of_large", lambda image: turns.append(image.size) or original(image)
    )
    prepare_picture(encoded(drawn((1600, 1200))), (Preprocessing(input_size=(50, 50)),), decoder="fast")
    assert turns == [(200, 150)]


def test_many_threads_at_once():
    files = [KINDS[kind] for kind in ("tiny", "jpeg", "png", "jpeg-orientation-5", "jpeg-profile")]
    preprocessings = (Preprocessing(), Preprocessing(input_size=(20, 20), interpolation="bicubic"))
    expected = [prepare_picture(raw, preprocessings, decoder="fast").pixels for raw in files]
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda raw: prepare_picture(raw, preprocessings, decoder="fast").pixels, files * 20)
        )
    for index, pixels in enumerate(found):
        assert all(np.array_equal(a, b) for a, b in zip(pixels, expected[index % len(files)], strict=True))


def test_versions_name_what_decodes():
    assert decoder_version("exact") == DECODER_VERSION
    for version in (PIL.__version__, torch.__version__, torchvision.__version__):
        assert version in decoder_version("fast")


def test_importing_and_the_exact_decoder_need_no_torch():
    code = (
        "import sys, numpy as np\n"
        "from headstart.catalog.entry import Preprocessing\n"
        "from headstart.data.pixels import prepare_picture\n"
        "prepare_picture(np.zeros((4, 4), np.uint8), (Preprocessing(),), decoder='exact')\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
