"""Pictures without labels: found while they are asked for, in order, and never held all at once."""

import io
import itertools
import pathlib
import pickle
import tarfile
import tracemalloc

import pytest

from headstart.core.errors import DataError, InputError, PictureError
from headstart.data import stream, stream_pictures
from headstart.data.folder import walk


def test_files_folders_and_zips_in_order(make_folder, make_zip, monkeypatch, tmp_path):
    make_folder(["a/1.png", "0.png", "notes.txt"])
    make_zip(["b/2.png"])
    make_folder(["single.weird"], name="more")
    monkeypatch.chdir(tmp_path)
    ids, source = stream_pictures(["flowers/", "flowers.zip", "more/single.weird", "flowers"])
    found = list(ids)
    assert found == ["flowers/0.png", "flowers/a/1.png", "flowers.zip/b/2.png", "more/single.weird"]
    assert all(source.read(each).startswith(b"\x89PNG") for each in found)
    assert pickle.loads(pickle.dumps(source)).read(found[2]) == source.read(found[2])


def test_no_picture_comes_twice(make_folder, monkeypatch, tmp_path):
    make_folder(["a/1.png", "a/2.png", "b/3.png"])
    monkeypatch.chdir(tmp_path)
    inner = list(stream_pictures(["flowers/a/2.png", "flowers/a", "flowers", "flowers/b/3.png"])[0])
    assert inner == ["flowers/a/2.png", "flowers/a/1.png", "flowers/b/3.png"]


def test_what_is_not_there_is_said_before_anything_is_found(make_folder):
    root = make_folder({"a/readme.txt": b"x"})
    with pytest.raises(InputError, match="no file or folder"):
        stream_pictures([root / "none.png"])
    with pytest.raises(InputError, match="no pictures are given"):
        stream_pictures([])
    with pytest.raises(DataError, match="no pictures in"):
        stream_pictures([root])


def test_lines_of_a_pipe_come_as_they_are(make_folder, make_zip, tmp_path):
    root = make_folder({"a/readme.txt": b"x"})
    packed = make_zip(["b/2.png"])
    (tmp_path / "broken.zip").write_bytes(b"PK")
    one = make_folder(["1.png"], name="one") / "1.png"
    lines = [one, one, root / "gone.png", root / "a", packed, tmp_path / "broken.zip"]
    ids, source = stream_pictures(iter(map(str, lines)))
    found = list(ids)
    assert found == [str(each) for each in [one, one, lines[2], lines[3], packed / "b/2.png", lines[5]]]
    for each, reason in ((found[2], "No such file"), (found[3], "not a regular file")):
        with pytest.raises(PictureError, match=reason):
            source.read(each)
    assert source.read(found[4]).startswith(b"\x89PNG")


def test_a_pipe_is_read_no_further_than_is_asked_for():
    told = []

    def lines():
        for index in itertools.count():
            told.append(index)
            yield f"{index}.png"

    ids, _ = stream_pictures(lines())
    assert list(itertools.islice(ids, 3)) == ["0.png", "1.png", "2.png"]
    assert told == [0, 1, 2]


def test_many_paths_take_no_more_memory_than_few():
    def held(count):
        tracemalloc.start()
        ids, _ = stream_pictures(f"no/where/{index:09}.png" for index in range(count))
        assert sum(1 for _ in itertools.islice(ids, count - 1)) == count - 1
        # Python's table of the names of paths is made anew now and then, whoever uses it.
        found = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, pathlib.__file__)])
        tracemalloc.stop()
        assert next(ids, None) is not None
        return sum(trace.size for trace in found.traces)

    held(10)
    assert held(20_000) < held(1000) + 20_000


def test_folders_are_listed_one_after_the_other_and_ascending(tmp_path):
    names = ["a.png", "a/1.png", "a-/1.png", "a/b/c/2.png", "b.png", "B/1.png", "a/b.png", ".hidden/1.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = walk(tmp_path)
    assert next(found) == "B/1.png"
    (tmp_path / "b.png").rename(tmp_path / "a" / "z.png")  # a folder that was not listed yet
    assert list(found) == ["a-/1.png", "a.png", "a/1.png", "a/b.png", "a/b/c/2.png", "a/z.png", "b.png"]


def write_tar(path, files):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_tars_and_parquet_files(make_folder, tmp_path, monkeypatch):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    make_folder(["0.png"])
    monkeypatch.chdir(tmp_path)
    pathlib.Path("d").mkdir()
    for shard in "12":
        write_tar(f"d/{shard}.tar", {"b.png": b"b" + shard.encode(), "b.cls": b"1", "a.png": b"a"})
    pq.write_table(pa.table({"image": [b"x", b"y"]}), "d/3.parquet")
    expected = [f"d/{shard}.tar/{name}.png" for shard in "12" for name in "ba"]
    rows = ["d/3.parquet/00000000", "d/3.parquet/00000001"]
    for paths in (["d"], ["d/1.tar", "d/2.tar", "d/3.parquet"], iter(["d/1.tar", "d/2.tar", "d/3.parquet"])):
        ids, source = stream_pictures(paths)
        found = list(ids)
        assert found == expected + rows
        assert [source.read(each) for each in found] == [b"b1", b"a", b"b2", b"a", b"x", b"y"]
    assert list(stream_pictures(["d/{1..2}.tar", "d/*.tar", "flowers"])[0]) == [*expected, "flowers/0.png"]


def test_what_is_broken_or_a_link_in_a_tar(tmp_path):
    (tmp_path / "broken.tar").write_bytes(b"x" * 999)
    with pytest.raises(DataError, match="not a whole tar"):
        stream_pictures([tmp_path / "broken.tar"])
    ids, source = stream_pictures(iter([tmp_path / "broken.tar"]))
    assert list(ids) == [str(tmp_path / "broken.tar")]
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    ids, source = stream_pictures([tmp_path / "links.tar"])
    with pytest.raises(PictureError, match="a link or no regular file"):
        source.read(next(ids))


def test_addresses(s3, web, make_zip, tmp_path):
    pytest.importorskip("s3fs")
    archive = make_zip({"a/1.png": b"one"})
    tar = write_tar(tmp_path / "t.tar", {"b.png": b"two"})
    bucket = s3.fill(
        {"f/x #?.png": b"three", "f/a.txt": b"", "z.zip": archive.read_bytes(), "t.tar": tar.read_bytes()}
    )
    given = [f"{bucket}/f/", f"{bucket}/z.zip", f"{bucket}/t.tar", f"{bucket}/f/x #?.png", f"{web}/t.tar"]
    expected = [
        f"{bucket}/f/x #?.png",
        f"{bucket}/z.zip/a/1.png",
        f"{bucket}/t.tar/b.png",
        f"{web}/t.tar/b.png",
    ]
    ids, source = stream_pictures(given)
    found = {each: source.read(each) for each in ids}
    assert found == dict(zip(expected, [b"three", b"one", b"two", b"two"], strict=True))
    ids, source = stream_pictures(iter([f"{bucket}/none.png", f"{bucket}/none/"]))
    for each in ids:
        with pytest.raises(PictureError, match="no such file"):
            source.read(each)


def test_ids_hold_no_signature(web, make_folder):
    make_folder({"1.png": b"one"})
    given = [f"{web}/flowers/1.png?X-Amz-Signature={key}" for key in ("abcdef", "ghijkl")]
    for paths in (given, iter(given)):
        ids, source = stream_pictures(paths)
        found = list(ids)
        assert len(set(found)) == 2
        assert all(source.read(each) == b"one" for each in found)
        assert not any(key in f"{found} {source!r}" for key in ("abcdef", "ghijkl"))
    with pytest.raises(InputError, match="with a user name, key or password"):
        list(stream_pictures(iter(["https://user:secret@host/1.png"]))[0])


def test_ten_times_as_many_shards_take_no_more_memory(tmp_path):
    content = {f"{number:05}.png": b"x" for number in range(200)}
    for shard in range(50):
        write_tar(tmp_path / f"{shard:02}.tar", content)

    def peak(count):
        stream._tar_source.cache_clear()
        tracemalloc.start()
        ids, source = stream_pictures([f"{tmp_path}/{{00..{count - 1:02}}}.tar"])
        assert sum(len(source.read(each)) for each in ids) == count * 200
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(1)
    assert peak(50) < peak(5) + 50_000
