"""Pictures behind addresses, read from servers on this machine: one that speaks S3, and plain HTTP."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headstart.core.errors import DataError, InputError, MissingExtraError, NoAnswerError, PictureError
from headstart.data import open_dataset, remote, sources
from headstart.data.scan import scan
from headstart.data.table import read_column

pytest.importorskip("s3fs")

CLASSES = ["roses/1.png", "roses/deep/er/2 a.png", "tulips/#1?.png", "tulips/ä::b.png"]
SPLITS = ["train/roses/1.png", "train/tulips/1.png", "valid/roses/2.png", "Test/tulips/3.png"]
BESIDE = dict.fromkeys(["README.txt", "roses/.hidden.png", "roses/", "__MACOSX/x.png"], b"")


@pytest.fixture
def hasty(monkeypatch):
    """Try again at once."""
    monkeypatch.setattr(remote, "_FIRST_DELAY_SECONDS", 0.01)


@pytest.fixture
def impatient(monkeypatch, hasty):
    """Try again at once, and give up soon: but a first request takes a second where much else runs."""
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 4.0)


@pytest.mark.parametrize("paths", [CLASSES, SPLITS])
def test_a_bucket_equals_its_folder(s3, make_folder, paths):
    names = dict.fromkeys(paths)
    bucket = s3.fill({f"deep/flowers/{each}": names[each] for each in names} | {"deep/flowersx/a/1.png": b""})
    found = open_dataset(f"{bucket}/deep/flowers/")
    local = open_dataset(make_folder(paths))
    assert found.name == "flowers"
    assert found.location == f"{bucket}/deep/flowers/"
    assert found.given_splits == local.given_splits
    assert scan(found).dataset.fingerprint == scan(local).dataset.fingerprint


def test_other_files_are_passed_over_as_in_folders(s3):
    found = open_dataset(s3.fill(dict.fromkeys(CLASSES) | BESIDE))
    assert set(found.ids) == set(CLASSES)
    assert found.num_passed_over == 1


def test_a_bucket_is_listed_page_by_page(s3, monkeypatch):
    bucket = s3.fill(dict.fromkeys([f"p/{letter}/{n}.png" for letter in "ab" for n in range(4)]))
    pages = []
    call = remote._persistently

    def small_pages(action, address):
        action.keywords["MaxKeys"] = 3
        pages.append(action.keywords["StartAfter"])
        return call(action, address)

    monkeypatch.setattr(remote, "_persistently", small_pages)
    names = remote.walk_address(f"{bucket}/p")
    assert next(names) == "a/0.png"
    assert pages == ["p/"]
    assert list(names) == [f"{letter}/{n}.png" for letter in "ab" for n in range(4)][1:]
    assert pages == ["p/", "p/a/2.png", "p/b/1.png"]


def test_a_web_folder_equals_its_folder(web, make_folder):
    root = make_folder(dict.fromkeys(["with space/1 %20&.png", "b/ö.png", "b/c/2.png"]))
    found = open_dataset(f"{web}/flowers/")
    assert found.ids == open_dataset(root).ids
    assert scan(found).dataset.fingerprint == scan(open_dataset(root)).dataset.fingerprint


def test_any_other_file_system_of_fsspec(make_folder):
    import fsspec

    memory = fsspec.filesystem("memory")
    root = make_folder(SPLITS)
    memory.put(str(root), "/mine", recursive=True)
    assert scan(open_dataset("memory://mine")).dataset.fingerprint == (
        scan(open_dataset(root)).dataset.fingerprint
    )
    memory.rm("/mine", recursive=True)


def test_a_remote_zip_is_read_in_parts(s3, make_zip):
    names = dict.fromkeys(CLASSES) | {"roses/large.bmp": bytes(5_000_000)}
    path = make_zip(names)
    bucket = s3.fill({"a/flowers.zip": path.read_bytes()})
    found = open_dataset(f"{bucket}/a/flowers.zip")
    assert found.ids == open_dataset(path).ids
    assert found.source.read(CLASSES[0]) == open_dataset(path).source.read(CLASSES[0])
    assert all(wanted for method, _, wanted, _ in s3.proxy.seen if method == "GET")
    assert s3.proxy.seen[-1][2].startswith("bytes=0-")
    assert len([each for each in s3.proxy.seen if each[0] == "GET"]) <= 4


def test_a_zip_on_a_web_server(web, make_zip):
    path = make_zip(CLASSES)
    found = open_dataset(f"{web}/flowers.zip?X-Amz-Signature=abcdef")
    assert scan(found).dataset.fingerprint == scan(open_dataset(path)).dataset.fingerprint
    assert found.location == f"{web}/flowers.zip?…"
    assert "abcdef" not in repr(found)


def test_a_server_without_parts_of_files(serve, make_zip, tmp_path):
    make_zip({"a/1.png": b"x" * 3_000_000, "b/2.png": None})

    class Plain(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args):
            pass

    server = serve(ThreadingHTTPServer(("127.0.0.1", 0), Plain))
    with pytest.raises(DataError, match="does not serve parts of files") as caught:
        open_dataset(f"http://127.0.0.1:{server.server_port}/flowers.zip")
    assert "download" in caught.value.hint


def test_a_remote_table(s3):
    rows = [
        "path,label,who",
        "a/1.png,rose,anna",
        "./a/x/../2.png,tulip,bob",
        "../../3.png,rose,c",
        "/4.png,rose,d",
    ]
    table = "\n".join(rows).encode()
    address = s3.fill({"in/labels.csv": table, "in/a/1.png": None, "in/a/2.png": None}) + "/in/labels.csv"
    found = open_dataset(address)
    assert found.ids == ("a/1.png", "a/2.png")
    assert [each.reason for each in found.excluded] == [
        f"not below the table's folder, named in line {line}" for line in (4, 5)
    ]
    assert scan(found).excluded == ()
    assert read_column(address, "who")["a/2.png"] == "bob"


def test_a_source_can_be_sent_and_shared(s3):
    found = open_dataset(s3.fill(CLASSES))
    source = pickle.loads(pickle.dumps(found.source))
    expected = [found.source.read(each) for each in found.ids]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, tuple(found.ids) * 10)) == expected * 10


def test_forked_workers_read_too(s3, monkeypatch):
    monkeypatch.setattr("headstart.data.workers._MIN_FOR_PROCESSES", 1)
    found = open_dataset(s3.fill(CLASSES))
    assert found.source.read(CLASSES[0])  # connections are open here before the fork
    assert scan(found, num_workers=2).excluded == ()


@pytest.mark.parametrize("fault", [503, 500, 429, "cut"])
def test_trouble_that_passes_is_waited_for(s3, hasty, fault):
    found = open_dataset(s3.fill(CLASSES))
    failed = set()

    def fault_once(method, path):
        return None if path in failed else failed.add(path) or fault

    s3.proxy.fault = fault_once
    assert all(found.source.read(each).startswith(b"\x89PNG") for each in found.ids)
    assert len(failed) == 4


def test_a_listing_is_tried_again_too(s3, hasty):
    bucket = s3.fill(CLASSES)
    faults = [503, 503]
    s3.proxy.fault = lambda method, path: faults.pop() if faults else None
    assert len(open_dataset(bucket)) == 4


@pytest.mark.parametrize("kind", ["s3", "web"])
def test_trouble_that_lasts_ends_with_the_reason(s3, serve, web, make_folder, impatient, kind):
    if kind == "s3":
        proxy, found = s3.proxy, open_dataset(s3.fill(CLASSES))
    else:
        make_folder(CLASSES)
        proxy = serve(type(s3.proxy)(web.removeprefix("http://")))
        found = open_dataset(f"{proxy.address}/flowers/")
    proxy.fault = lambda method, path: 503
    before = len(proxy.seen)
    with pytest.raises(NoAnswerError, match=r"did not answer for 4 seconds: .*Service Unavailable") as caught:
        found.source.read(CLASSES[0])
    assert "run the same again" in caught.value.hint
    assert 3 < len(proxy.seen) - before < 120


def test_a_server_that_is_gone(impatient):
    with pytest.raises(NoAnswerError, match="did not answer"):
        open_dataset("http://127.0.0.1:9/flowers.zip")


def test_what_is_wrong_with_one_picture_is_said_at_once(s3, monkeypatch):
    found = open_dataset(s3.fill(dict.fromkeys(CLASSES) | {"roses/0.png": b""}))
    assert found.source.read("roses/0.png") == b""
    with pytest.raises(PictureError, match=r"^no such file$"):
        found.source.read("roses/none.png")
    s3.proxy.fault = lambda method, path: 403
    with pytest.raises(PictureError, match=r"^access denied"):
        found.source.read("roses/1.png")
    s3.proxy.fault = lambda method, path: None
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 100)
    with pytest.raises(PictureError, match="too large"):
        found.source.read("roses/1.png")


def test_no_more_is_read_than_the_limit_whatever_a_server_sends(serve, monkeypatch):
    sent = []

    class Endless(SimpleHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            try:
                while len(sent) < 1000:
                    self.wfile.write(bytes(2**18))
                    sent.append(1)
            except OSError:
                pass

        def log_message(self, *args):
            pass

    server = serve(ThreadingHTTPServer(("127.0.0.1", 0), Endless))
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 1000)
    with pytest.raises(PictureError, match="too large"):
        sources.RemoteSource(root=f"http://127.0.0.1:{server.server_port}").read("a.png")
    assert len(sent) < 500


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIA123:very-secret@bucket/flowers",
        "s3://AKIA123:very/secret@bucket/flowers",
        "s3://AKIA123@bucket/flowers",
        "http://user:very-secret@host/flowers/",
        "https://very-secret@host/flowers/",
    ],
)
def test_addresses_with_keys_in_them_are_refused_unseen(address):
    with pytest.raises(InputError) as caught:
        open_dataset(address)
    said = f"{caught.value} {caught.value.hint}"
    assert "AKIA123" not in said
    assert "secret" not in said.replace("AWS_SECRET", "")
    assert "AWS_ACCESS_KEY_ID" in said


def test_no_message_holds_a_signature(serve, web, impatient, make_zip):
    make_zip(CLASSES)
    for status in (403, 404, 400):

        class Refusing(SimpleHTTPRequestHandler):
            def do_GET(self, status=status):
                self.send_error(status, f"no, {self.path}")

            def log_message(self, *args):
                pass

        port = serve(ThreadingHTTPServer(("127.0.0.1", 0), Refusing)).server_port
        with pytest.raises(DataError) as caught:
            open_dataset(f"http://127.0.0.1:{port}/flowers.zip?X-Amz-Signature=abcdef&token=123456")
        said = f"{caught.value} {caught.value.hint} {caught.value.__cause__!r}"
        assert "abcdef" not in said
        assert "123456" not in said
        assert "flowers.zip?…" in said


def test_nothing_there(s3, web):
    bucket = s3.fill(CLASSES)
    with pytest.raises(DataError, match="no pictures in"):
        open_dataset(f"{bucket}/elsewhere/")
    with pytest.raises(DataError, match=r"cannot list .*no such file"):
        open_dataset("s3://there-is-no-such-bucket/")
    with pytest.raises(DataError, match=r"cannot list .*no such file"):
        open_dataset(f"{web}/elsewhere/")
    with pytest.raises(DataError, match=r"cannot read .*no such file"):
        open_dataset(f"{bucket}/none.zip")
    with pytest.raises(InputError, match="no way is known to read nonsense://"):
        open_dataset("nonsense://a/b")


def test_offline_means_no_request(monkeypatch):
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(InputError, match="HEADSTART_OFFLINE=1"):
        open_dataset("s3://bucket/flowers")


def test_the_extra_is_named(monkeypatch):
    def missing(scheme):
        raise ImportError(f"Install what reads {scheme}")

    monkeypatch.setattr("fsspec.get_filesystem_class", missing)
    with pytest.raises(MissingExtraError, match="s3://") as caught:
        open_dataset("s3://bucket/flowers")
    assert "headstart[remote]" in caught.value.hint
    with pytest.raises(MissingExtraError, match="gs://") as caught:
        open_dataset("gs://bucket/flowers")
    assert caught.value.hint == "Install what reads gs"


def test_nothing_of_this_is_imported_before_it_is_needed():
    program = (
        "import sys, headstart; headstart.open_dataset; import headstart.data.stream; print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "headstart.data.remote" in said
    assert {"fsspec", "s3fs", "aiohttp", "pyarrow", "huggingface_hub", "torch"} & set(said.split()) == set()
