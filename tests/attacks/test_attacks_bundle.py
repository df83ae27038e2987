"""Bundles that mean harm, lie or are broken: refused before anything leaves them, or model by model."""

import hashlib
import io
import json
import os
import pickle
import stat
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from headstart.catalog import find_model, weights_state
from headstart.catalog.places import fetched_path
from headstart.core.errors import CorruptWeightsError, HeadstartError, StorageError
from headstart.weights import fetch, fetched_tensors, read_bundle

GOOD, LOOSE = b"good weights", b"loose weights"
GOOD_DIGEST, LOOSE_DIGEST = (hashlib.sha256(content).hexdigest() for content in (GOOD, LOOSE))

Pack = Callable[..., Path]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def model(row: str, content: bytes, **changes: Any) -> dict[str, Any]:
    """Return what a manifest says of a model's file."""
    filename = row.partition("/")[2]
    return {
        "name": row,
        "license": "MIT",
        "sha256": sha(content),
        "size_bytes": len(content),
        "source": {"kind": "url", "location": f"https://weights.test/{filename}.pth", "filename": ""},
    } | changes


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of two rows, one of them with a whole sha256, and no network; return the cache."""
    rows = [
        {"name": f"mine/{name}", "architecture": "timm/resnet18", "sources": [["url", address]]} | known
        for name, address, known in (
            ("good", "https://weights.test/good.pth", {"sha256": GOOD_DIGEST}),
            ("loose", "https://weights.test/loose.pth", {}),
        )
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    monkeypatch.setenv("HEADSTART_CATALOG", str(tmp_path / "rows.json"))
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    return tmp_path / "home"


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Return a function that writes a bundle: a good model, and what the test adds or puts in its place."""

    def make(
        *extra: tuple[str | zipfile.ZipInfo, bytes],
        manifest: object = None,
        parts: dict[str, bytes] | None = None,
        compression: int = zipfile.ZIP_STORED,
    ) -> Path:
        if manifest is None:
            manifest = {"format": 1, "models": [model("mine/good", GOOD)]}
        text = manifest if isinstance(manifest, (str, bytes)) else json.dumps(manifest)
        path = tmp_path / "bundle.zip"
        with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # duplicate names are meant
            archive.writestr("bundle.json", text)
            for name, content in (parts or {f"weights/{GOOD_DIGEST}": GOOD}).items():
                archive.writestr(name, content)
            for name, content in extra:
                archive.writestr(name, content)
        return path

    return make


def assert_refused(path: Path, home: Path, match: str) -> None:
    """Check that the bundle is refused as a whole and that nothing was taken, trusted or not."""
    for trust in (False, True):
        with pytest.raises(CorruptWeightsError, match=match) as caught:
            read_bundle(path, trust=trust)
        assert caught.value.hint
    assert not home.exists()


def test_the_bundle_that_the_attacks_start_from_is_good(pack: Pack) -> None:
    assert [each.outcome for each in read_bundle(pack())] == ["loaded"]
    assert fetch(find_model("mine/good")).path.read_bytes() == GOOD


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "weights/../../evil",
        "/etc/evil",
        "\\\\server\\share\\evil",
        "..\\evil",
        "C:\\evil",
        "c:evil",
    ],
)
def test_names_that_point_outside_are_refused(pack: Pack, home: Path, name: str) -> None:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # ZipInfo itself would tidy it
    assert_refused(pack((info, b"evil")), home, "points outside of it")
    assert not list(home.parent.rglob("evil*"))


@pytest.mark.parametrize(
    "name", ["evil", "weights/evil", "weights/", f"weights/{GOOD_DIGEST}/", f"weights/{GOOD_DIGEST.upper()}"]
)
def test_names_that_no_bundle_has_are_refused(pack: Pack, home: Path, name: str) -> None:
    assert_refused(pack((name, b"")), home, "has an entry")


def test_name_that_ends_early_for_others_is_refused(pack: Pack, home: Path) -> None:
    """Some readers stop at the zero byte and see a name that looks right."""
    name = f"weights/{LOOSE_DIGEST}"
    path = pack((name + "_../evil", LOOSE))
    path.write_bytes(path.read_bytes().replace(f"{name}_../evil".encode(), f"{name}\0../evil".encode()))
    assert_refused(path, home, "has an entry")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_links_and_other_special_files_are_refused(pack: Pack, home: Path, kind: int) -> None:
    target = b"/etc/passwd"
    info = zipfile.ZipInfo(f"weights/{sha(target)}")
    info.external_attr = (kind | 0o777) << 16
    manifest = {"format": 1, "models": [model("mine/good", GOOD), model("mine/loose", target)]}
    assert_refused(pack((info, target), manifest=manifest), home, "as a link")


def test_zip_bomb_is_refused_unopened(pack: Pack, home: Path) -> None:
    bomb = bytes(50_000_000)
    manifest = {"format": 1, "models": [model("mine/loose", bomb)]}
    path = pack(manifest=manifest, parts={f"weights/{sha(bomb)}": bomb}, compression=zipfile.ZIP_DEFLATED)
    del bomb
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        assert_refused(path, home, "compressed")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_encrypted_entry_is_refused(pack: Pack, home: Path) -> None:
    path = pack()
    raw = bytearray(path.read_bytes())
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    assert_refused(path, home, "compressed or encrypted")


def test_name_that_stands_twice_is_refused(pack: Pack, home: Path) -> None:
    """One reader would take the first, another the last."""
    assert_refused(pack((f"weights/{GOOD_DIGEST}", b"evil weights")), home, f"{GOOD_DIGEST} twice")
    assert_refused(pack(("bundle.json", b"{}")), home, r"bundle\.json twice")


def test_entries_that_lie_over_each_other_are_refused(pack: Pack, home: Path) -> None:
    """Two names for the same bytes: a small file could stand for many large ones."""
    content = bytes(100_000)
    other = content[:-1] + b"\1"
    models = [model("mine/good", content), model("mine/loose", other)]
    path = pack(
        manifest={"format": 1, "models": models},
        parts={f"weights/{sha(content)}": content, f"weights/{sha(other)}": other},
    )
    raw = path.read_bytes()
    local = [place for place in range(len(raw)) if raw[place : place + 4] == b"PK\x03\x04"]
    cut = raw[local[2] : raw.index(b"PK\x01\x02")]
    short = bytearray(raw.replace(cut, b""))
    directory = short.index(b"PK\x01\x02")
    place = directory
    for _ in range(3):
        name_at = place + 46
        if short[name_at : name_at + 72] == f"weights/{sha(other)}".encode():
            short[place + 42 : place + 46] = struct.pack("<I", local[1])
        lengths = struct.unpack("<HHH", short[place + 28 : place + 34])
        place = name_at + sum(lengths)
    end = short.index(b"PK\x05\x06")
    short[end + 16 : end + 20] = struct.pack("<I", directory)
    path.write_bytes(short)
    assert_refused(path, home, "more bytes than it has")


@pytest.mark.parametrize("size", [0, len(GOOD) - 1, len(GOOD) + 1, 10**15])
def test_size_that_the_manifest_invents_is_refused(pack: Pack, home: Path, size: int) -> None:
    manifest = {"format": 1, "models": [model("mine/good", GOOD, size_bytes=size)]}
    assert_refused(pack(manifest=manifest), home, "states .* bytes for weights/")


@pytest.mark.parametrize("size", [1, 10_000, 0xFFFFFFFE])
def test_size_that_the_zip_invents_is_refused(pack: Pack, home: Path, size: int) -> None:
    path = pack()
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 4)
    raw[entry + 20 : entry + 28] = struct.pack("<II", size, size)
    path.write_bytes(raw)
    assert_refused(path, home, "states")


def test_entry_that_is_missing_is_refused(pack: Pack, home: Path) -> None:
    manifest = {"format": 1, "models": [model("mine/good", GOOD), model("mine/loose", LOOSE)]}
    assert_refused(pack(manifest=manifest), home, "and has none")


def test_entry_that_the_manifest_does_not_list_is_refused(pack: Pack, home: Path) -> None:
    assert_refused(pack((f"weights/{LOOSE_DIGEST}", LOOSE)), home, "says nothing")


@pytest.mark.parametrize("number", [None, 0, 2, "1", [1]])
def test_another_format_is_refused_with_both_numbers(pack: Pack, home: Path, number: object) -> None:
    with pytest.raises(StorageError, match="reads format 1"):
        read_bundle(pack(manifest={"format": number, "models": []}), trust=True)
    assert not home.exists()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe\x00",
        b"not json",
        b"[" * 200_000,
        b"9" * 10_000,
    ],
)
def test_manifest_that_is_no_json_is_refused(pack: Pack, home: Path, text: bytes) -> None:
    assert_refused(pack(manifest=text), home, r"bundle\.json that is damaged")


@pytest.mark.parametrize(
    "models",
    [
        None,
        {},
        [],
        [3],
        [None],
        ["mine/good"],
        [{}],
        [model("mine/good", GOOD, source=None)],
        [model("mine/good", GOOD, source={"kind": "url"})],
        [model("mine/good", GOOD, name=3)],
        [model("mine/good", GOOD, license=None)],
        [model("mine/good", GOOD, sha256="../../evil")],
        [model("mine/good", GOOD, sha256=GOOD_DIGEST[:8])],
        [model("mine/good", GOOD, sha256=None)],
        [model("mine/good", GOOD, size_bytes="12")],
        [model("mine/good", GOOD, size_bytes=-1)],
        [model("mine/good", GOOD, size_bytes=12.0)],
    ],
)
def test_manifest_of_another_shape_is_refused(pack: Pack, home: Path, models: object) -> None:
    assert_refused(
        pack(manifest={"format": 1, "models": models}), home, "no bundle of headstart is like that"
    )


def test_manifest_of_no_size_for_one_is_refused(
    pack: Pack, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.weights.manifest._MAX_MANIFEST_BYTES", 1000)
    assert_refused(pack(manifest=b" " * 1001), home, r"bundle\.json of 1,001 bytes")


def test_zip_without_a_manifest_is_refused(tmp_path: Path, home: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        archive.writestr(f"weights/{GOOD_DIGEST}", GOOD)
    assert_refused(tmp_path / "bundle.zip", home, r"has no bundle\.json")


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", b"\x80\x02K\x01.", b"PK\x05\x06", b"PK\x03\x04"]
)
def test_what_is_no_zip_is_refused(tmp_path: Path, home: Path, content: bytes) -> None:
    (tmp_path / "bundle.zip").write_bytes(content)
    assert_refused(tmp_path / "bundle.zip", home, "is not a bundle, or only a part of one")


def test_bundle_that_was_cut_off_is_refused_wherever_it_was_cut(pack: Pack, home: Path) -> None:
    path = pack()
    whole = path.read_bytes()
    for kept in range(0, len(whole), 7):
        path.write_bytes(whole[:kept])
        with pytest.raises(HeadstartError):
            read_bundle(path, trust=True)
        assert not home.exists()


def test_no_changed_byte_lets_a_wrong_file_in(pack: Pack, home: Path) -> None:
    """Every byte of a small bundle, one after the other: the file that comes out is the right one or none."""
    path = pack()
    whole = path.read_bytes()
    target = fetched_path(find_model("mine/good").weights.sources[0])
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        with suppress(HeadstartError):
            read_bundle(path, trust=True)
        if target.exists():
            assert target.read_bytes() == GOOD
            target.unlink()
    assert {each.name for each in home.rglob("*") if each.is_file()} <= {"good.pth.json", "good.pth.lock"}


@pytest.mark.parametrize(("name", "content"), [("mine/good", GOOD), ("mine/loose", LOOSE)])
def test_file_with_another_content_than_its_name_says_is_refused(
    pack: Pack, name: str, content: bytes
) -> None:
    """Trusting the bundle is trusting what it states of itself, not whatever has become of it."""
    manifest = {"format": 1, "models": [model(name, content)]}
    path = pack(manifest=manifest, parts={f"weights/{sha(content)}": content.replace(b"weights", b"we1ghts")})
    (taken,) = read_bundle(path, trust=True)
    assert taken.outcome == "refused"
    assert weights_state(find_model(name)) == "missing"


def test_file_without_the_digits_that_the_catalogue_knows_is_refused_trusted_or_not(
    pack: Pack, home: Path, tmp_path: Path
) -> None:
    row = {"name": "mine/named", "architecture": "timm/resnet18"}
    row |= {"sources": [["url", "https://weights.test/named-0123abcd.pth"]]}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    source = {"kind": "url", "location": "https://weights.test/named-0123abcd.pth", "filename": ""}
    manifest = {"format": 1, "models": [model("mine/named", LOOSE, source=source)]}
    for trust in (False, True):
        path = pack(manifest=manifest, parts={f"weights/{LOOSE_DIGEST}": LOOSE})
        (taken,) = read_bundle(path, trust=trust)
        assert (taken.outcome, taken.reason) == (
            "refused",
            f"its sha256 is {LOOSE_DIGEST}; expected 0123abcd",
        )
    assert not home.exists()


def test_file_that_claims_a_name_of_the_catalogue_is_refused(pack: Pack) -> None:
    evil = b"evil weights"
    path = pack(
        manifest={"format": 1, "models": [model("mine/good", evil), model("mine/loose", LOOSE)]},
        parts={f"weights/{sha(evil)}": evil, f"weights/{LOOSE_DIGEST}": LOOSE},
    )
    good, loose = read_bundle(path, trust=True)
    assert good.outcome == "refused"
    assert f"expected {GOOD_DIGEST}" in good.reason
    assert loose.outcome == "loaded"
    assert weights_state(find_model("mine/good")) == "missing"


def test_trust_does_not_undo_a_pin(pack: Pack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "loose.pth").write_bytes(LOOSE)
    monkeypatch.setenv("HEADSTART_MIRROR", str(tmp_path))
    fetch(find_model("mine/loose")).path.unlink()
    evil = b"evil weights"
    path = pack(
        manifest={"format": 1, "models": [model("mine/loose", evil)]}, parts={f"weights/{sha(evil)}": evil}
    )
    (loose,) = read_bundle(path, trust=True)
    assert loose.outcome == "refused"
    assert "when it was first fetched" in loose.reason


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "file", "location": "/etc/passwd", "filename": ""},
        {"kind": "url", "location": "https://weights.test/../../../evil", "filename": ""},
        {"kind": "package", "location": "..", "filename": "../../evil"},
        {"kind": "evil", "location": "", "filename": ""},
    ],
)
def test_place_comes_from_the_catalogue_here_and_never_from_the_bundle(
    pack: Pack, home: Path, source: dict[str, str]
) -> None:
    manifest = {"format": 1, "models": [model("mine/loose", LOOSE, source=source)]}
    (loose,) = read_bundle(pack(manifest=manifest, parts={f"weights/{LOOSE_DIGEST}": LOOSE}), trust=True)
    assert loose.outcome == "unknown"
    assert not home.exists()


@pytest.mark.parametrize(
    "name",
    [
        "mine/nobody",
        "timm/resnet18@rows.json",
        "timm/resnet18@missing.pth",
        "resnet18",
        "loose",
        "mine/*",
        "",
        "../evil",
        "bundle.zip",
    ],
)
def test_name_that_is_none_of_the_catalogue_is_passed_over(
    pack: Pack, home: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = {"format": 1, "models": [model("mine/loose", LOOSE, name=name)]}
    (taken,) = read_bundle(pack(manifest=manifest, parts={f"weights/{LOOSE_DIGEST}": LOOSE}), trust=True)
    assert taken.outcome == "unknown"
    assert not home.exists()


def test_program_in_a_trusted_bundle_does_not_run(pack: Pack, tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    buffer = io.BytesIO()
    pickle.dump({"w": Program()}, buffer)
    content = buffer.getvalue()
    path = pack(
        manifest={"format": 1, "models": [model("mine/loose", content)]},
        parts={f"weights/{sha(content)}": content},
    )
    assert [each.outcome for each in read_bundle(path, trust=True)] == ["loaded"]
    with pytest.raises(CorruptWeightsError):
        fetched_tensors(fetch(find_model("mine/loose")))
    assert not (tmp_path / "ran").exists()
