import io
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL
import pytest
from PIL import Image, ImageCms

from headstart.core.errors import PictureError
from headstart.data import decode as decode_module
from headstart.data.decode import DECODER_VERSION, decode, measure, quiet_pillow

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def pixel(raw, at=(0, 0)):
    picture = decode(raw)
    assert picture.mode == "RGB"
    return picture.getpixel(at)


def near(found, expected, *, within):
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= within


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation, format):
    upright = Image.new("RGB", (48, 32), WHITE)
    upright.paste(RED, (0, 0, 16, 16))  # the upper left corner
    # EXIF says how to turn the stored picture upright, so store it turned the other way.
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = encoded(stored, format, exif=exif)
    picture = decode(raw)
    assert picture.size == measure(raw) == (48, 32)
    assert near(picture.getpixel((4, 4)), RED, within=12)
    assert all(near(picture.getpixel(at), WHITE, within=12) for at in [(44, 4), (4, 28), (44, 28)])


def test_modes_become_rgb():
    grey = Image.new("L", (2, 2), 77)
    assert pixel(encoded(grey)) == (77, 77, 77)
    assert pixel(encoded(Image.new("1", (2, 2), 1))) == WHITE
    assert pixel(encoded(Image.new("RGB", (2, 2), RED).quantize(4))) == RED
    assert pixel(encoded(Image.new("RGB", (2, 2), RED), "BMP")) == RED
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (2, 2), RED),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert near(pixel(encoded(lab, "TIFF")), RED, within=6)


def test_transparency_is_laid_onto_white():
    assert pixel(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 0)))) == WHITE
    assert pixel(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 128)))) == (255, 127, 127)
    assert pixel(encoded(Image.new("LA", (2, 2), (0, 0)))) == WHITE
    assert pixel(encoded(Image.new("L", (2, 2), 9), transparency=9)) == WHITE
    assert pixel(encoded(Image.new("RGB", (2, 2), RED), transparency=RED)) == WHITE
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert pixel(encoded(palette)) == RED
    assert pixel(encoded(palette, transparency=1)) == WHITE
    assert pixel(encoded(palette, transparency=bytes([255, 0]))) == WHITE
    assert pixel(encoded(palette, "GIF", transparency=1)) == WHITE


def test_premultiplied_transparency():
    straight = Image.new("RGBA", (2, 2), (255, 0, 0, 128))
    from headstart.data.colour import to_srgb

    assert near(to_srgb(straight.convert("RGBa")).getpixel((0, 0)), (255, 127, 127), within=2)
    assert near(
        to_srgb(Image.new("LA", (2, 2), (0, 128)).convert("La")).getpixel((0, 0)), (127,) * 3, within=2
    )


def test_16_bits_are_scaled_not_clipped():
    ramp = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    for format in ("PNG", "TIFF"):
        picture = decode(encoded(Image.fromarray(ramp), format))
        assert np.asarray(picture)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_dark_16_bits_stay_dark():
    raw = encoded(Image.fromarray(np.array([[0, 1000]], dtype=np.uint16)))
    assert np.asarray(decode(raw))[0, :, 0].tolist() == [0, 4]


def test_16_bit_rgb_is_scaled_not_clipped():
    # Pillow writes no 16-bit RGB, so here is a PPM by hand.
    raw = b"P6\n2 1\n65535\n" + np.array([0x80FF, 0, 65535, 257, 514, 771], dtype=">u2").tobytes()
    assert np.allclose(np.asarray(decode(raw)), [[[128.5, 0, 255], [1, 2, 3]]], atol=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 0.5, 1.0]], [0, 128, 255]),
        ([[0.0, 100.0, 255.0]], [0, 100, 255]),
        ([[0.0, 500.0, 1000.0]], [0, 128, 255]),
        ([[-1.0, 0.0, 1.0]], [0, 128, 255]),
        ([[0.0, 0.0, 0.0]], [0, 0, 0]),
    ],
)
def test_floats_are_scaled(values, expected):
    raw = encoded(Image.fromarray(np.array(values, dtype=np.float32)), "TIFF")
    assert np.asarray(decode(raw))[0, :, 0].tolist() == expected


def test_32_bit_integers_are_scaled():
    raw = encoded(Image.fromarray(np.array([[0, 50_000_000, 100_000_000]], dtype=np.int32)), "TIFF")
    assert np.asarray(decode(raw))[0, :, 0].tolist() == [0, 128, 255]


def test_floats_that_are_no_numbers_are_refused():
    raw = encoded(Image.fromarray(np.array([[0.0, np.nan]], dtype=np.float32)), "TIFF")
    with pytest.raises(PictureError, match="not finite"):
        decode(raw)


def test_cmyk_of_adobe_comes_out_right():
    # Pillow writes CMYK JPEGs the way Adobe does: inverted, with Adobe's marker.
    raw = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in raw
    assert near(pixel(raw), RED, within=4)
    assert near(pixel(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF")), RED, within=4)


def profile_with_swapped_colours():
    """An sRGB profile whose red and green primaries have changed places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    for position in range(len(profile) - 8):  # no longer called sRGB
        if profile[position : position + 8] == "sRGB".encode("utf-16-be"):
            profile[position : position + 8] = "swap".encode("utf-16-be")
    return bytes(profile)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_colour_profiles_are_applied(format):
    raw = encoded(Image.new("RGB", (16, 16), RED), format, icc_profile=profile_with_swapped_colours())
    assert near(pixel(raw), (0, 255, 0), within=6)


def test_colour_profiles_are_applied_beside_transparency():
    raw = encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 255)), icc_profile=profile_with_swapped_colours())
    assert near(pixel(raw), (0, 255, 0), within=6)


@pytest.mark.parametrize("profile", [b"no profile at all", profile_with_swapped_colours()[:300]])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_broken_and_foreign_profiles_are_ignored(profile, mode):
    image = Image.new("RGB", (8, 8), WHITE).convert(mode)
    raw = encoded(image, "TIFF", icc_profile=profile)
    assert near(pixel(raw), WHITE, within=1)


def test_a_profile_of_another_colour_space_is_ignored():
    raw = encoded(
        Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", icc_profile=profile_with_swapped_colours()
    )
    assert near(pixel(raw), RED, within=4)


def test_an_srgb_profile_changes_nothing():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    raw = encoded(Image.fromarray(pixels), icc_profile=profile)
    assert np.array_equal(np.asarray(decode(raw)), pixels)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation(format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, (0, 0, 255))]
    lossless = {"lossless": True} if format == "WEBP" else {}
    raw = encoded(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
    assert pixel(raw) == RED


def test_arrays():
    grey = np.full((3, 5), 9, dtype=np.uint8)
    assert pixel(grey) == pixel(grey[:, :, None]) == (9, 9, 9)
    assert measure(grey) == (5, 3)
    assert pixel(np.full((2, 2, 3), RED, dtype=np.uint8)) == RED
    for wrong in (np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(PictureError, match="an array"):
            decode(wrong)


def test_reduce_to_keeps_the_shorter_side():
    raw = encoded(Image.new("RGB", (800, 640), RED), "JPEG")
    assert decode(raw).size == (800, 640)
    assert decode(raw, reduce_to=224).size == (400, 320)
    assert decode(raw, reduce_to=80).size == (100, 80)
    assert decode(raw, reduce_to=2000).size == (800, 640)
    assert measure(raw) == (800, 640)
    assert decode(encoded(Image.new("RGB", (80, 64)), "PNG"), reduce_to=8).size == (80, 64)


def test_heic_needs_the_extra_and_says_so(monkeypatch):
    raw = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
    with pytest.raises(PictureError, match=r"pip install 'headstart\[heif\]'"):
        decode(raw)


def test_heic_is_read_with_the_extra():
    pytest.importorskip("pillow_heif").register_heif_opener()
    try:
        raw = encoded(Image.new("RGB", (64, 48), RED), "HEIF")
    except (OSError, KeyError, RuntimeError) as error:
        pytest.skip(f"this build cannot write HEIC: {error}")
    assert measure(raw) == (64, 48)
    assert near(pixel(raw), RED, within=12)


def test_avif_is_read_or_names_the_extra(monkeypatch):
    raw = b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif"
    monkeypatch.setattr(decode_module, "_formats", lambda: ("PNG",))
    monkeypatch.setattr(decode_module, "_has_heif", lambda: False)
    with pytest.raises(PictureError, match=r"headstart\[heif\]"):
        decode(raw)


def test_odd_metadata_does_not_cost_a_picture():
    raw = encoded(
        Image.new("RGB", (16, 16), RED), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff\x01"
    )
    with quiet_pillow():
        assert near(pixel(raw), RED, within=4)


def test_many_threads_at_once():
    raws = [encoded(Image.new("RGB", (40, 30), (n, 0, 0)), icc_profile=None) for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        assert [each.getpixel((0, 0))[0] for each in pool.map(decode, raws * 10)] == list(range(20)) * 10
    assert Image.MAX_IMAGE_PIXELS is not None


def test_the_version_names_pillow():
    assert PIL.__version__ in DECODER_VERSION


def test_quiet_pillow_silences_pillow_only():
    with pytest.warns(UserWarning, match="ours"), quiet_pillow():
        warnings.warn("ours", UserWarning, stacklevel=1)
