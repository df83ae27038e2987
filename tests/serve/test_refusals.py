"""What is refused, with which status, and that the body says what to do."""

import io
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx2
import pytest
from running_service import TOKEN, Running, assert_refused, encoded, in_base64

from headstart.core.errors import InputError
from headstart.embed.engine import Engine
from headstart.serve import Limits, Server
from headstart.serve.access import accepted_hosts, checked_token
from headstart.serve.batching import Batcher

TIGHT = Limits(
    max_body_bytes=200_000,
    max_pixels=1_000_000,
    max_pictures=3,
    max_requests=4,
    max_requests_per_client=3,
    max_connections=12,
    header_seconds=1.0,
    body_seconds=1.0,
)


@pytest.fixture(scope="module")
def tight(start: Callable[..., Running]) -> Running:
    return start(limits=TIGHT)


@pytest.fixture
def narrow(tight: Running) -> Iterator[httpx2.Client]:
    with tight.client() as opened:
        yield opened


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header states a size, with compressed nothing for that many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(min(width + 1, 10_000) * min(height, 10_000)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_too_many_bytes(narrow: httpx2.Client) -> None:
    assert_refused(narrow.post("/predict", files={"f": bytes(300_000)}), 413, "body", "fewer")
    stream = (bytes(1000) for _ in range(300))
    headers = {"content-type": "application/json"}  # without its length
    assert_refused(narrow.post("/predict", content=stream, headers=headers), 413, "body")


@pytest.mark.parametrize("size", [(1001, 1000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_undecoded(narrow: httpx2.Client, size: tuple[int, int]) -> None:
    response = narrow.post("/predict", files={"f": png_claiming(*size)})
    assert_refused(response, 413, f"{size[0]:,}")


def test_a_jpeg_of_countless_scans(narrow: httpx2.Client) -> None:
    raw = encoded()
    bomb = raw[:-2] + 200 * b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + raw[-2:]
    assert_refused(narrow.post("/predict", files={"f": bomb}), 413, "scans")


def test_too_many_pictures(narrow: httpx2.Client) -> None:
    assert_refused(narrow.post("/predict", files=4 * [("f", encoded())]), 413, "3 pictures", "several")
    pictures = 4 * [{"data": in_base64(encoded())}]
    assert_refused(narrow.post("/predict", json={"pictures": pictures}), 413, "3 pictures")


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("", b"x", 415),
        ("text/plain", b"x", 415),
        ("image/jpeg", b"x", 415),
        ("application/x-www-form-urlencoded", b"url=http://127.0.0.1/", 415),
        ("multipart/form-data", b"x", 422),
        ("multipart/form-data; boundary=b", b"not a form", 422),
        ("multipart/form-data; boundary=b", b"", 422),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n", 422),
        ("multipart/form-data; boundary=" + 300 * "b", b"--b--", 422),
        ("multipart/form-data; boundary=b", b"--b\r\n" + 9000 * b"h" + b": x\r\n\r\n", 422),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="url"\r\n\r\n/etc/passwd\r\n--b--\r\n',
            422,
        ),
        ("application/json", b"", 422),
        ("application/json", b"{", 422),
        ("application/json", b'{"pictures": []}', 422),
        ("application/json", b'{"pictures": [{"path": "/etc/passwd"}]}', 422),
        ("application/json", b'{"pictures": [{"data": "%%%"}]}', 422),
        ("application/json", b'{"pictures": [{"data": ' + 50_000 * b"[" + b"]}]}", 422),
        ("application/json", b'{"pictures": [{"data": "\xff"}]}', 422),
        ("application/json", b'{"pictures": [{"data": "aGVsbG8="}], "url": "http://127.0.0.1"}', 422),
        ("application/json", b'{"pictures": [{"data": "aGVsbG8="}]}', 415),
    ],
)
def test_broken_bodies(narrow: httpx2.Client, content_type: str, body: bytes, status: int) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert_refused(narrow.post("/predict", content=body, headers=headers), status)


def test_a_packed_body(narrow: httpx2.Client) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert_refused(narrow.post("/predict", content=b"\x1f\x8b", headers=headers), 415, "packed")


def test_a_damaged_picture(narrow: httpx2.Client) -> None:
    assert_refused(narrow.post("/predict", files={"f": encoded()[:500]}), 422, "truncated")
    assert_refused(narrow.post("/predict", files={"f": b"MZ\x00\x00 a program"}), 415, "JPEG")


def test_paths_and_methods_that_there_are_not(narrow: httpx2.Client) -> None:
    assert_refused(narrow.get("/predict"), 405)
    for path in ("/..%2f..%2fetc/passwd", "/static/x", "/predict/x"):
        assert_refused(narrow.get(path), 404)


# Connections.


@contextmanager
def connection(service: Running, sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as opened:
        opened.sendall(sent)
        yield opened


def read_all(opened: socket.socket) -> bytes:
    received = b""
    while data := opened.recv(65536):
        received += data
    return received


HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "sent", [b"", b"POST /pre", HEAD, b"\r\n", HEAD + b"Content-Length: 100\r\n\r\n{", HEAD + b"X: y"]
)
def test_slow_senders_are_told_and_cut_off(tight: Running, sent: bytes) -> None:
    started = time.perf_counter()
    with connection(tight, sent) as opened:
        received = read_all(opened)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b'"hint"' in received
    assert time.perf_counter() - started < 8


def test_a_slow_drip_does_not_hold_a_connection(tight: Running) -> None:
    started = time.perf_counter()
    with connection(tight, b"GET / HTTP/1.1\r\n") as opened, suppress(OSError):
        while time.perf_counter() - started < 10:
            opened.sendall(b"X-A: b\r\n")
            time.sleep(0.05)
    assert time.perf_counter() - started < 8


def test_endless_headers(tight: Running) -> None:
    with connection(tight, b"GET / HTTP/1.1\r\n") as opened:
        for _ in range(40):
            opened.sendall(b"X-Padding: " + 1000 * b"x" + b"\r\n")
        received = read_all(opened)
    assert received.startswith(b"HTTP/1.1 431 ")


def test_endless_headers_behind_a_body_that_nobody_wanted(tight: Running) -> None:
    """The rest of a request that was answered early, and the next one's headers, come in one piece."""
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += b"Content-Type: text/plain\r\nContent-Length: 1000\r\n\r\n"
    with connection(tight, head) as opened:
        early = opened.recv(65536)
        assert early.startswith(b"HTTP/1.1 415 ")
        opened.sendall(1000 * b"b" + b"GET / HTTP/1.1\r\nX: " + 80_000 * b"x")
        received = read_all(opened)
    assert received.startswith(b"HTTP/1.1 431 ")


def test_what_is_no_http(tight: Running) -> None:
    with connection(tight, b"\x16\x03\x01\x02\x00 TLS\r\n\r\n") as opened:
        received = read_all(opened)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["hint"]


def test_surplus_connections_are_told_to_come_back(tight: Running) -> None:
    opened = [socket.create_connection(("127.0.0.1", tight.port), timeout=10) for _ in range(40)]
    time.sleep(0.5)  # until all are accepted
    answers = []
    for each in opened:
        each.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    for each in opened:
        answers.append(read_all(each))
        each.close()
    statuses = [answer[9:12] for answer in answers]
    assert set(statuses) <= {b"200", b"503"}
    assert statuses.count(b"503") >= 40 - TIGHT.max_connections
    refused = answers[statuses.index(b"503")].lower()
    assert b"retry-after: 1" in refused
    assert b"come back" in refused or b"again" in refused


def held_request(service: Running) -> socket.socket:
    """A request that is being answered for as long as its body does not come."""
    opened = socket.create_connection(("127.0.0.1", service.port), timeout=10)
    opened.sendall(HEAD + b"Content-Length: 10\r\n\r\n")
    return opened


def test_one_address_may_not_ask_too_much_at_once(tight: Running, narrow: httpx2.Client) -> None:
    held = [held_request(tight) for _ in range(TIGHT.max_requests_per_client)]
    time.sleep(0.2)
    response = narrow.post("/predict", files={"f": encoded()})
    assert_refused(response, 429, "3 requests")
    assert response.headers["retry-after"] == "1"
    assert narrow.get("/health").status_code == 200
    for each in held:
        each.close()
    time.sleep(0.2)
    assert narrow.post("/predict", files={"f": encoded()}).status_code == 200


def test_all_together_may_not_ask_too_much(start: Callable[..., Running]) -> None:
    service = start(limits=Limits(max_requests=2, max_requests_per_client=2))
    held = [held_request(service) for _ in range(2)]
    time.sleep(0.2)
    with service.client() as client:
        assert_refused(client.post("/predict", files={"f": encoded()}), 503, "busy", "again")
    for each in held:
        each.close()


def test_a_full_queue_is_told(start: Callable[..., Running]) -> None:
    service = start(limits=Limits(max_waiting_pictures=2))
    with service.client() as client:
        assert_refused(client.post("/predict", files=3 * [("f", encoded())]), 503, "wait already")
        assert client.post("/predict", files=2 * [("f", encoded())]).status_code == 200


def test_bytes_that_are_held_are_counted_and_given_back(start: Callable[..., Running]) -> None:
    service = start(limits=Limits(max_held_bytes=50_000))
    with service.client() as client:
        assert_refused(client.post("/predict", files={"f": bytes(60_000)}), 503, "holds")
        for _ in range(20):
            assert client.post("/predict", files={"f": encoded(size=(100, 100))}).status_code == 200


def test_what_takes_too_long_is_given_up(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start(limits=Limits(answer_seconds=0.5))
    usual = Batcher._launch

    def slow(*args: object) -> object:
        time.sleep(1.5)
        return usual(*args)  # type: ignore[arg-type]

    with service.client() as client:
        monkeypatch.setattr(Batcher, "_launch", slow)
        assert_refused(client.post("/predict", files={"f": encoded()}), 503, "no answer after 0.5 s")
        monkeypatch.setattr(Batcher, "_launch", usual)
        time.sleep(1.5)
        assert client.post("/predict", files={"f": encoded()}).status_code == 200


def test_a_fault_of_one_batch_is_no_fault_of_the_next(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()

    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    with service.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr(Engine, "launch", broken)
            assert_refused(client.post("/predict", files={"f": encoded()}), 500, "RuntimeError")
        assert client.post("/predict", files={"f": encoded()}).status_code == 200


# Who may ask.


def test_foreign_names_are_refused(client: httpx2.Client) -> None:
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1.evil.example"):
        assert_refused(client.get("/health", headers={"host": host}), 421, "--allow-host")
    for host in ("localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]:8000", "localhost."):
        assert client.get("/health", headers={"host": host}).status_code == 200


def test_pages_of_other_sites_are_refused(service: Running, client: httpx2.Client) -> None:
    files = {"f": encoded()}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
    ):
        assert_refused(client.post("/predict", files=files, headers=headers), 403)
    own = {"origin": service.address, "sec-fetch-site": "same-origin"}
    response = client.post("/predict", files=files, headers=own)
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_token_is_asked_for(start: Callable[..., Running]) -> None:
    service = start(token=TOKEN)
    with service.client() as client:
        for header in ("", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"):
            headers = {"authorization": header} if header else {}
            for method, path in (("POST", "/predict"), ("GET", "/model"), ("GET", "/metrics"), ("GET", "/x")):
                response = client.request(method, path, headers=headers)
                assert_refused(response, 401, "token", "Bearer")
                assert response.headers["www-authenticate"] == "Bearer"
        for path in ("/", "/docs", "/health", "/ready"):
            assert client.get(path).status_code == 200
        right = {"authorization": f"Bearer {TOKEN}"}
        assert client.get("/model", headers=right).status_code == 200
        assert client.post("/predict", files={"f": encoded()}, headers=right).status_code == 200


def test_tokens_that_can_be_used() -> None:
    assert checked_token("", host="127.0.0.1") == checked_token("", host="localhost") == ""
    assert checked_token(TOKEN, host="0.0.0.0") == TOKEN
    assert len(checked_token("new", host="127.0.0.1")) > 30
    assert checked_token("new", host="::1") != checked_token("new", host="::1")
    for host in ("0.0.0.0", "::", "192.168.0.1", "example.org"):
        with pytest.raises(InputError, match="other machines"):
            checked_token("", host=host)
    for token in ("short", "a token with spaces in it", "ein-schlüssel-mit-ü", "x" * 20 + "\n"):
        with pytest.raises(InputError, match="token"):
            checked_token(token, host="127.0.0.1")


def test_names_that_are_accepted() -> None:
    assert accepted_hosts("127.0.0.1") == ("localhost", "127.0.0.1", "::1")
    assert "flowers.example" in accepted_hosts("0.0.0.0", ["flowers.example"])
    assert socket.gethostname() in accepted_hosts("0.0.0.0")
    assert "0.0.0.0" not in accepted_hosts("0.0.0.0")
    assert accepted_hosts("192.0.2.1")[-1] == "192.0.2.1"


@pytest.mark.parametrize("name", ["max_pictures", "max_body_bytes", "body_seconds", "max_connections"])
def test_limits_must_be_positive(name: str) -> None:
    with pytest.raises(InputError, match=name):
        Limits(**{name: 0})


def test_a_port_that_is_taken(service: Running) -> None:
    with pytest.raises(InputError, match="cannot listen") as caught:
        Server("127.0.0.1", service.port)
    assert "--port" in caught.value.hint
    with pytest.raises(InputError, match="cannot listen"):
        Server("no-such-host.invalid", 0)


def test_stopping_finishes_what_has_begun(start: Callable[..., Running]) -> None:
    service = start(limits=Limits(body_seconds=20))
    body = json.dumps({"pictures": [{"data": in_base64(encoded())}]}).encode()
    with connection(service, HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:20]) as opened:
        time.sleep(0.2)
        stopping = threading.Thread(target=service.stop)
        stopping.start()
        time.sleep(0.5)
        with pytest.raises(OSError):  # noqa: PT011
            socket.create_connection(("127.0.0.1", service.port), timeout=2)
        opened.sendall(body[20:])
        received = read_all(opened)
    stopping.join(20)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"predictions" in received


def test_an_empty_file(client: httpx2.Client) -> None:
    assert_refused(client.post("/predict", files={"f": ("x", io.BytesIO())}), 422, "empty")
