"""The load for serving.py, in a process of its own: requests made beforehand, over connections kept open.

    python benchmarks/load.py SPEC.json

Only the standard library, so that it costs little beside the service that it shares the cores with; what it
costs is in its answer. Without "rate" in the spec every connection sends its next request when it has its
answer; with it requests leave at that rate whatever comes back, and a latency counts from when its request
was due.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any


class Connection:
    """A connection that sends requests one after the other."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request, and return status, headers and body of its answer.

        A connection that was open from before may have been closed meanwhile; then a new one is opened.

        Raises:
            OSError: a new connection broke.
            asyncio.IncompleteReadError: it ended before the answer.
        """
        is_new = self._streams is None
        try:
            return await self._ask(request)
        except (OSError, asyncio.IncompleteReadError):
            if is_new:
                raise
            return await self._ask(request)

    async def _ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        except BaseException:
            self.close()
            raise
        if headers.get("connection") == "close":
            self.close()
        return int(head[0].split()[1]), headers, body

    def close(self) -> None:
        """Close it; the next request opens it anew."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def form_request(raw: bytes, *, path: str = "/predict", name: str = "picture.jpg") -> bytes:
    """Return a request with one picture in a form."""
    body = (
        f'--frontier\r\nContent-Disposition: form-data; name="request"; filename="{name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    body += raw + b"\r\n--frontier--\r\n"
    return post(body, "multipart/form-data; boundary=frontier", path=path)


def post(body: bytes, content_type: str, *, path: str = "/predict", more: str = "") -> bytes:
    """Return a request with a body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode() + body


async def send_all(spec: dict[str, Any]) -> dict[str, Any]:
    """Send the requests, and return times and answers in their order."""
    files = sorted(Path(spec["folder"]).rglob("*.jpg"))
    requests = [form_request(file.read_bytes()) for file in files]
    order = iter(range(len(requests)))
    answers: list[Any] = [None] * len(requests)
    latencies = [0.0] * len(requests)
    started = time.perf_counter()

    async def ask(connection: Connection, place: int, since: float) -> None:
        status, _, body = await connection.ask(requests[place])
        latencies[place] = time.perf_counter() - since
        answers[place] = json.loads(body) if status == 200 else {"status": status, **json.loads(body)}

    async def one_after_the_other(connection: Connection) -> None:
        for place in order:
            await ask(connection, place, time.perf_counter())

    connections = [Connection("127.0.0.1", spec["port"]) for _ in range(spec["connections"])]
    if "rate" not in spec:
        await asyncio.gather(*map(one_after_the_other, connections))
    else:
        free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for connection in connections:
            free.put_nowait(connection)

        async def when_due(place: int) -> None:
            due = started + place / spec["rate"]
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            connection = await free.get()
            await ask(connection, place, due)
            free.put_nowait(connection)

        await asyncio.gather(*map(when_due, range(len(requests))))
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "own_seconds": time.process_time(),
        "latencies": latencies,
        "answers": answers,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send_all(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))))
