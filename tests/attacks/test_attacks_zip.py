"""Zips that mean harm or are broken: refused by name, or read picture by picture with a reason."""

import io
import stat
import struct
import tracemalloc
import warnings
import zipfile

import pytest
from PIL import Image

from headstart.core.errors import DataError, PictureError
from headstart.data import open_dataset
from headstart.data import sources as sources_module
from headstart.data.scan import scan


def png(colour=0):
    buffer = io.BytesIO()
    Image.new("L", (6, 6), colour).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def pack(tmp_path):
    """Return a function that writes a zip of (name or ZipInfo, content) pairs."""

    def make(entries, *, method=zipfile.ZIP_DEFLATED):
        path = tmp_path / "pictures.zip"
        with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # duplicate names are meant
            for name, content in entries:
                archive.writestr(name, content, method)
        return path

    return make


GOOD = [("a/1.png", png(1)), ("a/2.png", png(2)), ("b/1.png", png(3)), ("b/2.png", png(4))]


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "a/../../evil.png",
        "/etc/evil.png",
        "\\\\server\\share\\evil.png",
        "..\\evil.png",
        "C:\\evil.png",
        "c:evil.png",
        "../notes.txt",
    ],
)
def test_names_that_point_outside_are_refused(pack, name):
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # ZipInfo itself would clean it
    with pytest.raises(DataError, match="points outside of it") as caught:
        open_dataset(pack([*GOOD, (info, png())]))
    assert caught.value.hint


def test_names_from_windows_are_folders(pack):
    entries = [(zipfile.ZipInfo("x"), content) for _, content in GOOD]
    for (info, _), (name, _) in zip(entries, GOOD, strict=True):
        info.filename = name.replace("/", "\\")
    pictures = open_dataset(pack(entries))
    assert pictures.ids == tuple(name for name, _ in GOOD)
    assert scan(pictures).excluded == ()


def test_an_encrypted_zip_is_refused(pack):
    path = pack(GOOD)
    raw = bytearray(path.read_bytes())
    directory = raw.index(b"PK\x01\x02")
    raw[directory + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="is encrypted") as caught:
        open_dataset(path)
    assert "password" in caught.value.hint


def test_symbolic_links_are_left_out(pack):
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    pictures = open_dataset(pack([*GOOD, (link, b"/etc/passwd")]))
    assert len(pictures) == 4
    assert [(each.id, each.reason) for each in pictures.excluded] == [
        ("a/link.png", "a symbolic link inside a zip")
    ]


def test_of_two_entries_with_one_name_the_later_counts(pack):
    pictures = open_dataset(pack([*GOOD, ("a/1.png", png(99))]))
    assert pictures.source.read("a/1.png") == png(99)
    assert len(set(pictures.ids)) == len(pictures) == 4
    assert [each.reason for each in pictures.excluded] == ["replaced by a later entry of the same name"]


def test_nested_single_tops(pack):
    pictures = open_dataset(pack([(f"x/y/z/{name}", content) for name, content in GOOD]))
    assert pictures.ids == tuple(name for name, _ in GOOD)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(17), b"PK\x03\x04" + bytes(60)])
def test_what_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / "pictures.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a whole zip file"):
        open_dataset(path)


def test_an_empty_zip_has_no_pictures(pack):
    with pytest.raises(DataError, match="no pictures in"):
        open_dataset(pack([]))


def test_a_zip_cut_short_is_refused(pack):
    path = pack(GOOD)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match="not a whole zip file"):
        open_dataset(path)


def test_a_bomb_stops_at_what_it_declares(pack, monkeypatch):
    monkeypatch.setattr(sources_module, "MAX_FILE_BYTES", 10_000)
    pictures = open_dataset(pack([*GOOD, ("a/bomb.png", bytes(20_000))]))
    with pytest.raises(PictureError, match="too large"):
        pictures.source.read("a/bomb.png")


def patch_directory(path, name, *, offset, value):
    """Overwrite a 4-byte field of an entry in the zip's directory."""
    raw = bytearray(path.read_bytes())
    at = raw.rindex(name.encode()) - 46
    assert raw[at : at + 4] == b"PK\x01\x02"
    raw[at + offset : at + offset + 4] = struct.pack("<I", value)
    path.write_bytes(raw)


def test_a_bomb_that_lies_about_its_size_is_cut_off(pack):
    path = pack([*GOOD, ("a/bomb.png", bytes(50_000_000))])
    patch_directory(path, "a/bomb.png", offset=24, value=1000)
    source = open_dataset(path).source
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match="not what the zip's directory says"):
            source.read("a/bomb.png")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("offset", "value"), [(16, 1), (24, 5), (20, 3), (42, 7)])
def test_a_directory_that_lies_costs_only_that_picture(pack, offset, value):
    path = pack(GOOD)
    patch_directory(path, "b/2.png", offset=offset, value=value)
    found = scan(open_dataset(path), max_unreadable=0.5)
    assert [each.id for each in found.excluded] == ["b/2.png"]
    assert "zip" in found.excluded[0].reason


def test_other_ways_of_packing_are_named(pack):
    found = scan(open_dataset(pack(GOOD, method=zipfile.ZIP_LZMA)), max_unreadable=1)
    assert {each.reason for each in found.excluded} == {
        "packed in the zip by method 14; only stored and deflated are read"
    }


def test_a_zip_that_shrinks_after_opening(pack):
    path = pack(GOOD)
    source = open_dataset(path).source
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(PictureError, match="zip"):
        source.read("b/2.png")
    path.unlink()
    with pytest.raises(PictureError, match="cannot be read"):
        source.read("b/2.png")


def test_nothing_is_written_to_disk(pack, tmp_path):
    path = pack(GOOD)
    before = sorted(tmp_path.rglob("*"))
    scan(open_dataset(path))
    assert sorted(tmp_path.rglob("*")) == before
