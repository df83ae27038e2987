"""Good and hostile requests, mixed, against a service on the loopback address; see serving.py --hostile.

Only the standard library. Every kind of request has the statuses that it may be answered with. A good one
that is refused for the moment (429, 503) is sent again until it is answered, and its answer is compared.
"""

import asyncio
import gzip
import json
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from load import Connection, form_request, post

BUSY = (429, 503)
MOST_APART = 1e-3
"""How far a probability may be from what it must be: batches of other sizes are added up in another order."""
_FORM = "multipart/form-data; boundary=frontier"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodPicture:
    """A request and what must be answered.

    Attributes:
        request: all of it.
        label: the most probable class.
        probability: of it.
    """

    request: bytes = field(repr=False)
    label: str
    probability: float


def png(width: int, height: int, rows: bytes) -> bytes:
    """Return a grey PNG with a header that states a size, and rows that need not fit it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + packed + chunk(b"IEND", b"")


def hostile_requests(jpeg: bytes) -> Mapping[str, tuple[bytes, tuple[int, ...]]]:
    """Return requests by kind, with the statuses that each may be answered with."""
    form = form_request(jpeg).partition(b"\r\n\r\n")[2]
    scans = jpeg[:-2] + 500 * b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + jpeg[-2:]
    picture = json.dumps({"pictures": [{"path": "/etc/passwd"}]}).encode()
    nested = b'{"pictures": ' + 20_000 * b"[" + b"}"
    kinds = {
        "bomb that states 3,600 megapixels": (form_request(png(60_000, 60_000, bytes(10**6))), (413,)),
        "bomb of 64 megapixels": (form_request(png(8_000, 8_000, bytes(8_001 * 8_000))), (413,)),
        "bomb of 16 megapixels, within the limit": (
            form_request(png(4_000, 4_000, bytes(4_001 * 4_000))),
            (200,),
        ),
        "bomb of 500 scans": (form_request(scans), (413,)),
        "body packed by gzip": (
            post(gzip.compress(bytes(10**7)), "application/json", more="Content-Encoding: gzip\r\n"),
            (415,),
        ),
        "truncated picture": (form_request(jpeg[: len(jpeg) // 2]), (422,)),
        "picture that lacks rows": (form_request(png(100, 100, bytes(50))), (422,)),
        "text": (form_request(b"<svg onload=alert(1)>"), (415,)),
        "pickle": (form_request(b"\x80\x04\x95cos\nsystem\n."), (415,)),
        "empty file": (form_request(b""), (422,)),
        "form without an end": (post(form[:-20], _FORM), (400, 422)),
        "form of another boundary": (post(form, "multipart/form-data; boundary=other"), (422,)),
        "form without a boundary": (post(form, "multipart/form-data"), (422,)),
        "form with endless headers": (post(b"--frontier\r\n" + 9_000 * b"x", _FORM), (422,)),
        "form with 10,000 parts": (
            post(10_000 * b'--frontier\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n', _FORM),
            (413,),
        ),
        "JSON with a path": (post(picture, "application/json"), (422,)),
        "JSON nested deep": (post(nested, "application/json"), (422,)),
        "JSON that is none": (post(b"\xff\xfe{", "application/json"), (422,)),
        "unknown body": (post(b"x", "text/plain"), (415,)),
        "path that climbs": (b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (404,)),
        "foreign host": (b"GET /model HTTP/1.1\r\nHost: evil.example\r\n\r\n", (421,)),
        "foreign origin": (post(form, _FORM, more="Origin: https://evil.example\r\n"), (403,)),
        "too many classes": (form_request(jpeg, path="/predict?top=99999999999"), (422,)),
        "no HTTP": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", (400,)),
        "endless header": (b"GET / HTTP/1.1\r\nX: " + 80_000 * b"x", (431,)),
    }
    return kinds


class Attack:
    """Requests of every kind against one service.

    Args:
        port: of the service, on the loopback address.
        good: requests whose answers are known.
        progress: told now and then which share of the requests was sent.
        connections: that send requests.
        slow: connections that send a byte now and then, for as long as the rest goes on.
        flood: connections that come at once, at every tenth of the way.
    """

    def __init__(
        self,
        port: int,
        good: list[GoodPicture],
        *,
        progress: Callable[[float], None] = lambda share: None,
        connections: int = 48,
        slow: int = 20,
        flood: int = 1000,
    ) -> None:
        self._port = port
        self._good = good
        self._progress = progress
        self._connections, self._slow, self._flood = connections, slow, flood
        self._hostile = hostile_requests(good[0].request.partition(b"image/jpeg\r\n\r\n")[2][:-16])
        self._answers: Counter[str] = Counter()
        self._wrong: list[str] = []
        self._unexpected: Counter[str] = Counter()
        self._unanswered = 0
        self._statuses_of_flood: Counter[str] = Counter()
        self._left = 0

    async def run(self, num_requests: int) -> dict[str, Any]:
        """Send so many requests, half of them good, and return what happened."""
        self._left = num_requests
        slow = [asyncio.create_task(self._send_slowly(place)) for place in range(self._slow)]
        senders = [asyncio.create_task(self._send(seed)) for seed in range(self._connections)]
        for tenth in range(1, 11):
            while self._left > num_requests * (10 - tenth) / 10 and not all(each.done() for each in senders):
                await asyncio.sleep(0.05)
            await self._come_at_once()
            self._progress(tenth / 10)
        await asyncio.gather(*senders)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return {
            "answers": dict(sorted(self._answers.items())),
            "wrong": self._wrong[:20],
            "unexpected": dict(self._unexpected),
            "statuses_of_floods": dict(self._statuses_of_flood),
            "unanswered": self._unanswered,
        }

    async def _send(self, seed: int) -> None:
        chance = random.Random(seed)
        kinds = list(self._hostile)
        connection = Connection("127.0.0.1", self._port)
        while self._left > 0:
            self._left -= 1
            if chance.random() < 0.5:
                await self._ask_good(connection, chance.choice(self._good))
            elif chance.random() < 0.1:
                await self._go_away(chance.choice(self._good).request, chance)
            else:
                await self._ask_hostile(connection, chance.choice(kinds))
        connection.close()

    async def _ask_good(self, connection: Connection, picture: GoodPicture) -> None:
        while True:
            answer = await self._answer(connection, picture.request)
            if answer is None:
                continue
            status, body = answer
            self._answers[f"good: {status}"] += 1
            if status not in BUSY:
                break
            await asyncio.sleep(0.2)
        if status != 200:
            self._wrong.append(f"status {status}: {body[:200]!r}")
            return
        found = json.loads(body)["predictions"][0]
        if found["label"] != picture.label or abs(found["probability"] - picture.probability) > MOST_APART:
            self._wrong.append(f"{found['label']} {found['probability']}, not {picture}"[-200:])

    async def _ask_hostile(self, connection: Connection, kind: str) -> None:
        request, allowed = self._hostile[kind]
        answer = await self._answer(connection, request)
        if answer is None:
            return
        status, body = answer
        self._answers[f"{kind}: {status}"] += 1
        is_told = status == 200 or json.loads(body).get("hint")
        if status not in (*allowed, *BUSY) or not is_told:
            self._unexpected[f"{kind}: {status}"] += 1

    async def _answer(self, connection: Connection, request: bytes) -> tuple[int, bytes] | None:
        """Return status and body; None where there was no answer."""
        try:
            status, _, body = await asyncio.wait_for(connection.ask(request), 120)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self._unanswered += 1
            self._answers[f"no answer: {type(error).__name__}"] += 1
            return None
        return status, body

    async def _go_away(self, request: bytes, chance: random.Random) -> None:
        """Send a part of a request, and close."""
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            with closing(writer):
                writer.write(request[: chance.randrange(1, len(request))])
                await writer.drain()
        self._answers["went away"] += 1

    async def _send_slowly(self, place: int) -> None:
        """Send a byte every half second, begin anew when cut off."""
        request = self._good[place % len(self._good)].request
        begin = request[:20] if place % 2 else request[: request.index(b"\r\n\r\n") + 4]
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                with closing(writer):
                    writer.write(begin)
                    for byte in request[len(begin) :]:
                        writer.write(bytes([byte]))
                        await writer.drain()
                        try:
                            head = await asyncio.wait_for(reader.read(12), 0.5)
                            self._answers[f"slow sender: {head[9:12].decode('latin-1') or 'closed'}"] += 1
                            break
                        except TimeoutError:
                            continue
            except OSError:
                self._answers["slow sender: closed"] += 1

    async def _come_at_once(self) -> None:
        """Open very many connections, and only then ask on each."""
        request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"

        async def come() -> str:
            try:
                reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self._port), 60)
            except (OSError, TimeoutError) as error:
                return type(error).__name__
            try:
                await asyncio.sleep(1)
                writer.write(request)
                received = await asyncio.wait_for(reader.read(), 60)
                status = received[9:12].decode("latin-1")
                return status if b'"hint"' in received or status == "200" else f"{status} without a word"
            except (OSError, TimeoutError) as error:
                return type(error).__name__
            finally:
                writer.close()

        found = Counter(await asyncio.gather(*(come() for _ in range(self._flood))))
        self._statuses_of_flood.update(found)
        self._unanswered += sum(count for status, count in found.items() if status not in ("200", "503"))
