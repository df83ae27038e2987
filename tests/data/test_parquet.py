"""Pictures in Parquet files, as data sets of the Hugging Face hub come."""

import io
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from urllib.parse import unquote

import pytest
from PIL import Image

from headstart.core.errors import DataError, InputError, MissingExtraError, PictureError
from headstart.data import open_dataset, parquet, remote
from headstart.data.scan import scan

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def png(level):
    buffer = io.BytesIO()
    Image.new("L", (6, 6), level % 256).save(buffer, format="PNG")
    return buffer.getvalue()


def table(labels, *, first=0, names=None, struct=True, label="label", **columns):
    """A table of pictures as the library `datasets` writes it."""
    pictures = [png(first + number) for number in range(len(labels))]
    if struct:
        pictures = [{"bytes": each, "path": None} for each in pictures]
    features = {"image": {"_type": "Image"}}
    if names:
        features[label] = {"names": names, "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if struct else None
    made = pa.table({"image": pictures, label: labels} | columns)
    return made.replace_schema_metadata(metadata)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a table into a file of the test's folder."""

    def to(name, made, **options):
        path = tmp_path / "repo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(made, path, **options)
        return path

    return to


NAMES = ["rose", "tulip", "lily"]


def test_a_repository_as_the_hub_has_it(write):
    write("data/train-00000-of-00002.parquet", table([0, 1, 1], names=NAMES), row_group_size=2)
    write("data/train-00001-of-00002.parquet", table([2, 0], first=3, names=NAMES))
    write("data/validation-00000-of-00001.parquet", table([1], first=5, names=NAMES))
    path = write("data/test-00000-of-00001.parquet", table([-1, 0], first=6, names=NAMES))
    (path.parents[1] / "README.md").write_text("x")
    found = open_dataset(path.parents[1])
    assert found.ids[0] == "data/test-00000-of-00001.parquet/00000001"
    assert found.given_splits == ("test", *["train"] * 5, "val")
    assert found.class_names == tuple(NAMES)
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 0, 1]
    assert [(each.id[-8:], each.reason) for each in found.excluded] == [("00000000", "no label")]
    assert [found.source.read(each) for each in found.ids] == [png(each) for each in (7, 0, 1, 2, 3, 4, 5)]
    assert scan(found).excluded == ()
    assert pickle.loads(pickle.dumps(found.source)).read(found.ids[-1]) == png(5)


def test_the_hub_is_reached_through_fsspec(write, monkeypatch):
    import fsspec
    from fsspec.implementations.dirfs import DirFileSystem

    path = write("data/train-00000-of-00001.parquet", table([0, 1], names=NAMES))
    (path.parents[1] / "example.png").write_bytes(png(0))

    def hub(address):
        local = DirFileSystem(str(path.parents[1]), fsspec.filesystem("file"))
        return local, address.removeprefix("hf://datasets/me/flowers").strip("/")

    monkeypatch.setattr(remote, "_filesystem", hub)
    found = open_dataset("hf://datasets/me/flowers")
    assert found.name == "flowers"
    assert found.ids == tuple(f"data/train-00000-of-00001.parquet/0000000{row}" for row in (0, 1))
    assert scan(found).excluded == ()


def test_a_hub_on_this_machine(write, serve, range_handler):
    """The hub's own client, with a server that answers the three requests it makes."""
    files = {}
    for number in range(2):
        name = f"data/{('train', 'test')[number]}-00000-of-00001.parquet"
        files[name] = write(name, table([0, 1], first=2 * number, names=NAMES)).read_bytes()

    class Hub(range_handler):
        def do_GET(self):  # noqa: N802 - the library's name
            path = unquote(self.path.partition("?")[0])
            _, mark, name = path.partition("/resolve/main/")
            if mark:
                return self.send_part(files[name])
            folder = path.partition("/tree/main")[2].strip("/")
            found = [
                {"type": "file", "path": each, "size": len(content), "oid": "0"}
                for each, content in files.items()
            ]
            tree = found if folder else [{"type": "directory", "path": "data", "oid": "0"}]
            about = {"id": "me/flowers", "sha": "0", "private": False, "tags": [], "siblings": []}
            body = json.dumps(tree if "/tree/" in path else about).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    port = serve(ThreadingHTTPServer(("127.0.0.1", 0), Hub)).server_port
    program = """
from headstart.data import open_dataset
found = open_dataset("hf://datasets/me/flowers")
print(found.given_splits, [found.source.read(each)[40:60].hex() for each in found.ids])
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        },  # looked at when the client is imported
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [png(each)[40:60].hex() for each in (2, 3, 0, 1)]
    assert result.stdout == f"{('test', 'test', 'train', 'train')} {expected}\n"


@pytest.mark.parametrize("struct", [True, False])
@pytest.mark.parametrize(("labels", "expected"), [(["b", "a"], ("a", "b")), ([10, 9], ("9", "10"))])
def test_labels_and_pictures_of_either_kind(write, struct, labels, expected):
    path = write("one.parquet", table(labels, struct=struct))
    found = open_dataset(path)
    assert (found.name, found.class_names, found.labels.tolist()) == ("one", expected, [1, 0])
    assert found.source.read(found.ids[1]) == png(1)


def test_names_of_columns(write):
    named = table([0, 1], names=NAMES, label="fine")
    assert open_dataset(write("1.parquet", named)).class_names == tuple(NAMES)
    other = named.rename_columns(["photo_bytes", "category"])
    assert len(open_dataset(write("2.parquet", other.replace_schema_metadata(None)))) == 2
    with pytest.raises(DataError, match="no column of labels; it has image, x"):
        open_dataset(write("3.parquet", table([0, 1], label="x")))
    with pytest.raises(DataError, match="no column of pictures; it has label"):
        open_dataset(write("4.parquet", pa.table({"label": [1]})))
    metadata = {"huggingface": json.dumps({"info": {"features": {n: {"_type": "ClassLabel"} for n in "xy"}}})}
    several = pa.table({"image": [b"1"], "x": [0], "y": [0]}).replace_schema_metadata(metadata)
    with pytest.raises(DataError, match="several columns of labels: x, y"):
        open_dataset(write("5.parquet", several))
    with pytest.raises(
        DataError, match=r"no picture .* has a label: .*neither a number nor a text, but list"
    ):
        open_dataset(write("6.parquet", table([[0], [1, 2]])))


def test_what_is_wrong_with_a_row(write):
    made = pa.table({"image": [png(0), None, b""], "label": [0, 0, 9]})
    found = open_dataset(write("one.parquet", made))
    assert found.source.read(found.ids[0])
    for each in found.ids[1:]:
        with pytest.raises(PictureError, match="its bytes are not in the Parquet file"):
            found.source.read(each)
    path = write("two.parquet", table([0, 7], names=NAMES))
    assert [each.reason for each in open_dataset(path).excluded] == ["the label 7, but 3 classes are named"]


def test_files_that_do_not_fit_together(write):
    write("a.parquet", table([0], names=NAMES))
    folder = write("b.parquet", table([0], names=NAMES[:2])).parent
    with pytest.raises(DataError, match="name their classes differently"):
        open_dataset(folder)
    (folder / "c.tar").write_bytes(b"")
    with pytest.raises(InputError, match=r"of the kinds \.parquet, \.tar"):
        open_dataset(folder)


@pytest.mark.parametrize("change", ["empty", "cut", "rubbish"])
def test_what_is_no_parquet_is_refused(write, change):
    path = write("one.parquet", table([0, 1]))
    raw = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": raw[:-20], "rubbish": b"PAR1" + bytes(99) + b"PAR1"}[change])
    with pytest.raises(DataError, match="is not a whole Parquet file"):
        open_dataset(path)


def test_damage_in_the_middle_is_that_of_its_pictures(write):
    path = write("one.parquet", table([0] * 40), row_group_size=20, compression="none")
    raw = bytearray(path.read_bytes())
    place = raw.index(png(25))
    raw[place - 100 : place + 100] = b"\xff" * 200
    found = open_dataset(path)
    path.write_bytes(raw)
    assert found.source.read(found.ids[0]) == png(0)
    with pytest.raises(PictureError):
        found.source.read(found.ids[25])


def test_rows_beside_each_other_are_read_once(s3, write, monkeypatch):
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 60_000)
    pictures = [bytes([number]) * 5000 for number in range(100)]
    made = pa.table({"image": pictures, "label": [0] * 100})
    path = write("one.parquet", made, row_group_size=50, compression="none", use_dictionary=False)
    found = open_dataset(s3.fill({"one.parquet": path.read_bytes()}) + "/one.parquet")

    def sent():
        ranges = [each[2].removeprefix("bytes=").split("-") for each in s3.proxy.seen if each[2]]
        return sum(min(int(stop) + 1, path.stat().st_size) - int(start) for start, stop in ranges)

    before = sent()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(found.source.read, found.ids)) == pictures
    assert sent() - before < 4 * path.stat().st_size
    assert found.source.read(found.ids[0]) == pictures[0]  # back at the start
    assert len(parquet._readers) <= 2


@pytest.mark.skipif(sys.platform != "linux", reason="measured in /proc")
def test_a_large_row_group_is_never_held_whole(tmp_path):
    """300 MB in one row group, in pages of 10 MB; another process reads all of it, forwards."""
    program = """
import re, sys
from headstart.data import open_dataset
found = open_dataset(sys.argv[1])
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
before = peak()
assert all(len(found.source.read(each)) == 1_000_000 for each in found.ids)
print(peak() - before)
"""
    path = tmp_path / "large.parquet"
    made = pa.table({"image": [bytes([n % 251]) * 1_000_000 for n in range(300)], "label": [0] * 300})
    pq.write_table(made, path, compression="none", use_dictionary=False, write_batch_size=10)
    result = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 220


def test_forked_workers_read_too(write, monkeypatch):
    monkeypatch.setattr("headstart.data.workers._MIN_FOR_PROCESSES", 1)
    found = open_dataset(write("one.parquet", table([0, 1] * 50), row_group_size=30))
    with parquet._readers_lock:  # as another thread may hold it when the process forks
        assert scan(found, num_workers=2).excluded == ()
    assert found.source.read(found.ids[50]) == png(50)


def test_without_pyarrow_its_extra_is_named(write, monkeypatch):
    path = write("one.parquet", table([0, 1]))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="pyarrow") as caught:
        open_dataset(path)
    assert "headstart[parquet]" in caught.value.hint
