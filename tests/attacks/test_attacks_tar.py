"""Tars that mean harm or are broken: refused by name, or read picture by picture with a reason."""

import io
import tarfile
import tracemalloc

import pytest

from headstart.core.errors import DataError, PictureError
from headstart.data import open_dataset
from headstart.data import sources as sources_module


@pytest.fixture
def pack(tmp_path):
    """Return a function that writes a tar of names or TarInfos."""

    def make(entries=(), *, mode="w", name="pictures.tar"):
        path = tmp_path / name
        good = [("a/1.png", b"one"), ("a/2.png", b"two"), ("b/1.png", b"three")]
        with tarfile.open(path, mode) as archive:
            for entry, content in [*good, *entries]:
                info = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return make


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\e.cls"]
)
def test_names_that_point_outside_are_refused(pack, name):
    with pytest.raises(DataError, match="points outside of it") as caught:
        open_dataset(pack([(name, b"x")]))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "a link inside a tar"),
        (tarfile.LNKTYPE, "a link inside a tar"),
        (tarfile.FIFOTYPE, "not a regular file"),
        (tarfile.CHRTYPE, "not a regular file"),
    ],
)
def test_links_and_devices_are_left_out(pack, kind, reason):
    found = open_dataset(pack([(special("a/link.png", kind, "/etc/passwd"), b"")]))
    assert [(each.id, each.reason) for each in found.excluded] == [("a/link.png", reason)]
    assert len(found) == 3


def test_of_two_entries_with_one_name_the_later_counts(pack):
    found = open_dataset(pack([("a/1.png", b"later")]))
    assert found.source.read("a/1.png") == b"later"
    assert [each.reason for each in found.excluded] == ["replaced by a later entry of the same name"]


@pytest.mark.parametrize("cut", [600, 1024 + 3, 1024 + 512])
def test_a_tar_cut_short_is_refused(pack, cut):
    path = pack()
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="not a whole tar"):
        open_dataset(path)


def test_a_tar_may_lack_its_end(pack):
    path = pack()
    path.write_bytes(path.read_bytes()[: 3 * 1024])
    assert len(open_dataset(path)) == 3


def test_rubbish_between_entries_is_not_taken_for_the_end(pack):
    path = pack()
    raw = bytearray(path.read_bytes())
    raw[1024 + 100 : 1024 + 160] = b"x" * 60
    path.write_bytes(raw)
    with pytest.raises(DataError, match="no entry after 1,024 bytes"):
        open_dataset(path)


@pytest.mark.parametrize("content", [b"", b"no tar", bytes(100), b"x" * 2000])
def test_what_is_no_tar_is_refused(tmp_path, content):
    path = tmp_path / "pictures.tar"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not a whole tar|no pictures"):
        open_dataset(path)


@pytest.mark.parametrize(
    ("mode", "name"), [("w:gz", "pictures.tar.gz"), ("w:xz", "p.tar.xz"), ("w:gz", "p.tgz")]
)
def test_a_compressed_tar_is_named(pack, mode, name):
    with pytest.raises(DataError, match="is compressed") as caught:
        open_dataset(pack(mode=mode, name=name))
    assert "unpack it" in caught.value.hint


def test_a_large_picture_is_refused_unread(pack, monkeypatch):
    monkeypatch.setattr(sources_module, "MAX_FILE_BYTES", 1000)
    found = open_dataset(pack([("a/large.png", bytes(2000))]))
    with pytest.raises(PictureError, match="too large"):
        found.source.read("a/large.png")


def test_a_header_that_claims_much_is_refused_unread(pack):
    path = pack([(special("x", tarfile.XHDTYPE), bytes(8_000_000))])
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="a header of 8,000,"):
            open_dataset(path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [2**96 - 2048, 2**95 + 2**62, 2**95 + 2**63 - 1, 2**95 + 2**80])
def test_a_size_below_zero_or_above_all_does_not_lead_anywhere(pack, size):
    path = pack()
    raw = bytearray(path.read_bytes())
    start = raw.index(b"b/1.png")
    raw[start + 124 : start + 136] = size.to_bytes(12, "big")  # base 256, as GNU tar writes
    checksum = sum(raw[start : start + 148]) + 8 * 32 + sum(raw[start + 156 : start + 512])
    raw[start + 148 : start + 156] = f"{checksum:06o}\0 ".encode()
    path.write_bytes(raw)
    with pytest.raises(DataError, match="not a whole tar"):
        open_dataset(path)


def test_a_tar_that_shrinks_after_opening(pack):
    path = pack()
    source = open_dataset(path).source
    path.write_bytes(path.read_bytes()[:514])
    with pytest.raises(PictureError, match="truncated: the tar ends 1 bytes too early"):
        source.read("a/1.png")
    path.unlink()
    with pytest.raises(PictureError, match="cannot be read: No such file"):
        source.read("a/1.png")
