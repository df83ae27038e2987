"""Files that are no pictures, or mean harm: each ends in a reason, none hangs or is taken for black."""

import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from headstart.core.errors import DataError, PictureError
from headstart.data import decode as decode_module
from headstart.data import open_dataset
from headstart.data.decode import decode, measure
from headstart.data.scan import scan


def encoded(format, *, size=(64, 64), **options):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=format, **options)
    return buffer.getvalue()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, *, idat=b""):
    """A PNG of 1-bit grey that claims any size."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", idat) + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty file"),
        (b"Dear diary,\n today", r"not a picture: it begins with the text 'Dear diary, today'"),
        (b"<!DOCTYPE html><html>", "not a picture: it begins with the text '<!DOCTYPE html>"),
        (bytes(5000), "not a picture: only zero bytes"),
        (b"\x01\x02\xff\xfe\x00rest", "not a picture: unknown format, first bytes 01 02 ff fe"),
        (b"\xff\xd8\xff", "not a picture|damaged|truncated"),
        (b"\x89PNG\r\n\x1a\n", "not a picture|damaged|truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"%PDF-1.7\n", "not a picture"),
        (b"PK\x03\x04" + bytes(40), "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
)
def test_what_is_no_picture_has_a_reason(raw, reason):
    with pytest.raises(PictureError, match=reason):
        decode(raw)
    with pytest.raises(PictureError, match=reason):
        measure(raw)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_files_are_never_half_a_picture(format, share):
    raw = encoded(format)
    assert measure(raw) == (64, 64)
    cut = raw[: int(len(raw) * share)]
    for read in (decode, measure):
        with pytest.raises(PictureError, match=r".{8}"):
            read(cut)


def test_a_progressive_jpeg_cut_short():
    raw = encoded("JPEG", progressive=True)
    with pytest.raises(PictureError, match="truncated"):
        measure(raw[: len(raw) // 2])


def test_a_decompression_bomb_is_refused_by_its_header(monkeypatch):
    def never(*_):
        raise AssertionError("it was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    with pytest.raises(PictureError, match=r"too large: 50,000 x 50,000 pixels \(limit: 200 million\)"):
        decode(png_of(50_000, 50_000))


def test_large_pictures_below_the_limit_do_not_warn():
    width, height = 12_000, 8_000  # 96 million: Pillow would warn
    rows = zlib.compressobj(1)
    row = b"\x00" + b"\xff" * (width // 8)
    idat = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure(png_of(width, height, idat=idat)) == (width, height)


def test_a_png_whose_text_explodes():
    bomb = zlib.compress(bytes(80 * 2**20), 9)
    raw = encoded("PNG")
    evil = raw[:33] + png_chunk(b"zTXt", b"Comment\x00\x00" + bomb) + raw[33:]
    with pytest.raises(PictureError):
        decode(evil)


def test_random_damage_ends_in_a_picture_or_a_reason():
    rng = np.random.default_rng(1)
    with decode_module.quiet_pillow():
        for format in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"):
            raw = encoded(format, size=(24, 24))
            for _ in range(60):
                damaged = bytearray(raw)
                for position in rng.integers(0, len(raw), 4):
                    damaged[position] = rng.integers(0, 256)
                with contextlib.suppress(PictureError):  # any other error fails the test
                    assert decode(bytes(damaged)).mode == "RGB"


def test_bad_files_among_good_ones_are_left_out_by_name(tmp_path):
    good = encoded("PNG")
    for name, content in {
        "a/text.jpg": b"hello",
        "a/cut.jpg": encoded("JPEG")[:700],
        "b/empty.png": b"",
        "b/bomb.png": png_of(60_000, 60_000),
        **{f"{label}/{number}.png": good + bytes([number]) for label in "ab" for number in range(20)},
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    pictures = open_dataset(tmp_path)
    found = scan(pictures)
    assert [each.id for each in found.excluded] == ["a/cut.jpg", "a/text.jpg", "b/bomb.png", "b/empty.png"]
    assert len(found.dataset) == 40
    with pytest.raises(DataError, match=r"4 of 44 pictures \(9.1%\) cannot be read.*a/cut.jpg") as caught:
        scan(pictures, max_unreadable=0.05)
    assert "--max-unreadable" in caught.value.hint
