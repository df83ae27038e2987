"""VOC 2007 from a server on the loopback address: fetched, unpacked, read; cut, killed, hostile archives."""

import io
import os
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.core.errors import DataError, UnreachableError
from pretrainedmodels import datasets
from pretrainedmodels.datasets import voc
from pretrainedmodels.datasets.utils import download_url

TRAINVAL = ("000005", "000007")
TEST = ("000001", "000002")
LABELS = {"000005": 1, "000007": -1, "000001": 0, "000002": 1}  # of aeroplane; -1 for all other classes


@dataclass
class Host:
    """What the server has, what was asked of it, and how many bytes it sends of each file."""

    address: str
    files: dict[str, bytes]
    requests: list[str] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def picture(name: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 6), int(name)).save(buffer, "jpeg")
    return buffer.getvalue()


def part_of_voc(set: str, names: tuple[str, ...]) -> dict[str, bytes]:
    root = "VOCdevkit/VOC2007"
    files = {f"{root}/JPEGImages/{name}.jpg": picture(name) for name in names}
    files[f"{root}/ImageSets/Main/{set}.txt"] = "".join(f"{name}\n" for name in names).encode()
    for category in voc.object_categories:
        labels = (LABELS[name] if category == "aeroplane" else -1 for name in names)
        lines = "".join(f"{name} {label:2d}\n" for name, label in zip(names, labels, strict=True))
        files[f"{root}/ImageSets/Main/{category}_{set}.txt"] = lines.encode()
    return files


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A server with a VOC 2007 of four pictures, which `voc.urls` names."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            host.requests.append(name)
            if name not in host.files:
                self.send_error(404)
                return
            content = host.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: host.cut.get(name)])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    files = {
        "devkit.tar": tar_of({"VOCdevkit/VOCcode/readme.txt": b"code"}),
        "trainval.tar": tar_of(part_of_voc("trainval", TRAINVAL)),
        "test.tar": tar_of(part_of_voc("test", TEST)),
    }
    host = Host(address=address, files=files)
    monkeypatch.setenv("no_proxy", "*")
    for archive, name in (("devkit", "devkit"), ("trainval_2007", "trainval"), ("test_images_2007", "test")):
        monkeypatch.setitem(voc.urls, archive, f"{address}/{name}.tar")
    monkeypatch.setitem(voc.urls, "test_anno_2007", f"{address}/never-asked.tar")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield host
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_data_set_is_fetched_unpacked_and_read(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Path.cwd()
    pictures = datasets.Voc2007Classification(tmp_path / "voc", "trainval")
    assert host.requests == ["devkit.tar", "trainval.tar", "test.tar"]
    assert Path.cwd() == here
    out, err = capsys.readouterr()
    assert out == ""
    assert "fetching trainval.tar" in err
    assert (len(pictures), pictures.get_number_classes(), pictures.classes) == (2, 20, voc.object_categories)
    img, name, target = pictures[0]
    assert (img.mode, img.size, name, target.dtype) == ("RGB", (8, 6), "000005", torch.float32)
    assert target.tolist() == [1.0] + [-1.0] * 19
    assert [name for name, _ in pictures.images] == list(TRAINVAL)
    table = (tmp_path / "voc/files/VOC2007/classification_trainval.csv").read_text(encoding="utf-8")
    assert table.splitlines()[:2] == ["name," + ",".join(voc.object_categories), "000005,1" + ",-1" * 19]


def test_a_data_set_that_is_there_is_not_fetched_again(host: Host, tmp_path: Path) -> None:
    """Also one that lies where nothing may be written, as the original library unpacked it."""
    voc.download_voc2007(tmp_path)
    host.requests.clear()
    for leftover in (tmp_path / "tmp").iterdir():
        leftover.unlink()
    (tmp_path / "VOCdevkit.lock").unlink(missing_ok=True)
    pictures = datasets.Voc2007Classification(
        tmp_path, "test", transform=lambda img: img.size, target_transform=lambda target: int(target[0])
    )
    assert [pictures[index] for index in range(2)] == [((8, 6), "000001", 0), ((8, 6), "000002", 1)]
    assert host.requests == []
    assert not (tmp_path / "VOCdevkit.lock").exists()


@pytest.mark.parametrize("place", ["empty", "in an entry", "between entries", "before the closing zeros"])
def test_an_archive_that_was_cut_is_not_taken_for_whole(host: Host, tmp_path: Path, place: str) -> None:
    whole = host.files["trainval.tar"]
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        second = archive.getmembers()[1].offset
        end = archive.offset
    kept = {"empty": 0, "in an entry": second - 700, "between entries": second}.get(place, end)
    host.files["trainval.tar"] = whole[:kept]
    with pytest.raises(DataError, match=r"trainval\.tar cannot be unpacked"):
        voc.download_voc2007(tmp_path)
    assert not (tmp_path / "VOCdevkit/VOC2007").exists()
    host.files["trainval.tar"] = whole
    assert len(datasets.Voc2007Classification(tmp_path, "trainval")) == 2


def test_a_connection_that_ends_too_early_leaves_no_archive(host: Host, tmp_path: Path) -> None:
    host.cut["trainval.tar"] = 2000
    with pytest.raises(UnreachableError, match=r"trainval\.tar: it sent 2,000 of"):
        voc.download_voc2007(tmp_path)
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["devkit.tar"]
    host.cut.clear()
    assert len(datasets.Voc2007Classification(tmp_path, "test")) == 2


def test_an_unpacking_that_was_killed_is_done_again(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract = tarfile.TarFile.extractall

    def die_halfway(self: tarfile.TarFile, path: Path, *, filter: str) -> None:
        extract(self, path, members=self.getmembers()[:3], filter=filter)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extractall", die_halfway)
        with pytest.raises(KeyboardInterrupt):
            voc.download_voc2007(tmp_path)
    assert (tmp_path / "VOCdevkit").is_dir()  # what the original took for a whole development kit
    pictures = datasets.Voc2007Classification(tmp_path, "test")
    assert len(pictures) == 2
    assert (tmp_path / "VOCdevkit/VOCcode/readme.txt").read_bytes() == b"code"
    assert host.requests == ["devkit.tar", "trainval.tar", "test.tar"]


def hostile(kind: str, outside: Path) -> bytes:
    """An archive whose entry would lie outside of the folder."""
    if kind == "up":
        return tar_of({"VOCdevkit/../../evil.txt": b"evil"})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("VOCdevkit/link")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        archive.addfile(link)
        member = tarfile.TarInfo("VOCdevkit/link/evil.txt")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["up", "link"])
def test_an_archive_cannot_write_outside_of_the_folder(host: Host, tmp_path: Path, kind: str) -> None:
    (tmp_path / "outside").mkdir()
    host.files["devkit.tar"] = hostile(kind, tmp_path / "outside")
    with pytest.raises(DataError, match=r"devkit\.tar cannot be unpacked"):
        voc.download_voc2007(tmp_path / "voc")
    assert [path.name for path in tmp_path.rglob("*") if "evil" in path.name] == []


def test_download_url_returns_the_path_and_replaces_the_file_whole(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "old.tar"
    target.write_bytes(b"old")
    with pytest.raises(UnreachableError, match="404"):
        download_url(f"{host.address}/missing.tar", target, progress_bar=False)
    assert target.read_bytes() == b"old"
    assert download_url(f"{host.address}/devkit.tar", str(target), progress_bar=False) == str(target)
    assert target.read_bytes() == host.files["devkit.tar"]
    assert capsys.readouterr() == ("", "")
    made = Path(download_url(f"{host.address}/test.tar"))
    assert (made.name, made.read_bytes()) == ("test.tar", host.files["test.tar"])
    made.unlink()
    os.rmdir(made.parent)
    with pytest.raises(UnreachableError, match="cannot fetch"):
        download_url("no address", target)


def test_the_functions_of_the_module_read_what_they_write(host: Host, tmp_path: Path) -> None:
    voc.download_voc2007(tmp_path)
    labels = voc.read_object_labels(tmp_path, "VOC2007", "trainval")
    assert {name: values.tolist() for name, values in labels.items()} == {
        "000005": [1.0] + [-1.0] * 19,
        "000007": [-1.0] * 20,
    }
    assert labels["000005"].dtype == np.float64
    voc.write_object_labels_csv(tmp_path / "labels.csv", labels)
    read = voc.read_object_labels_csv(tmp_path / "labels.csv")
    assert [(name, values.tolist()) for name, values in read] == [(n, v.tolist()) for n, v in labels.items()]
    (tmp_path / "bare.csv").write_text("a,1,-1\n")
    ((name, values),) = voc.read_object_labels_csv(tmp_path / "bare.csv", header=False)
    assert (name, values.tolist()) == ("a", [1.0, -1.0])
    assert voc.find_images_classification(tmp_path, "VOC2007", "test") == ["000001\n", "000002\n"]
    main = tmp_path / "VOCdevkit/VOC2007/ImageSets/Main"
    assert voc.read_image_label(main / "aeroplane_test.txt") == {"000001": 0, "000002": 1}
