"""What a connection may do before the application hears of it: how many, how slow, how long.

uvicorn itself waits for ever for the rest of a request's headers, takes headers of any length, and after an
early answer reads on as long as the client sends.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headstart.serve.limits import Limits
from headstart.serve.refusals import Refusal, busy

_MAX_HEADER_BYTES = 32 * 2**10  # no browser and no proxy sends as much
# After an answer that came before the end of the request, a client is heard for so long: who still sends
# cannot read the answer, and closing at once would take it from them.
_LINGER_SECONDS = 2.0
# A client that does not read its answer is cut off.
_WRITE_SECONDS = 30.0


def limited_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Return the class of uvicorn's connections that hold to `limits`."""
    return type("LimitedProtocol", (_LimitedProtocol,), {"limits": limits})


class _LimitedProtocol(HttpToolsProtocol):
    limits: Limits
    _timer: asyncio.TimerHandle | None = None
    _end_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _num_header_bytes = 0
    _num_body_bytes = 0  # of what was received last
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self._refuse(busy(f"{self.limits.max_connections} connections are open"))
        else:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._end_timer is not None:
            self._end_timer.cancel()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._num_body_bytes = 0
        super().data_received(data)
        if self._timer is None or self._is_refused:
            return
        # The headers have not come whole; before them may be the rest of a body.
        self._num_header_bytes += len(data) - self._num_body_bytes
        if self._num_header_bytes > _MAX_HEADER_BYTES:
            self._refuse(
                Refusal(
                    status=431,
                    error=f"headers of more than {_MAX_HEADER_BYTES} bytes",
                    hint="send pictures in the body",
                )
            )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_headers()

    def on_body(self, body: bytes) -> None:
        self._num_body_bytes += len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._end_timer is not None and not self._is_refused:  # of a request that was answered early
            self._end_timer.cancel()
            self._end_timer = None
            self.cycle.more_body = False
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self._end_soon()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Refusal(status=400, error=msg, hint="speak HTTP/1.1"))

    def shutdown(self) -> None:
        if self._is_refused:
            self.transport.close()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(_WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _await_headers(self) -> None:
        self._num_header_bytes = 0
        if self._timer is None:
            self._timer = self.loop.call_later(self.limits.header_seconds, self._refuse_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_slow(self) -> None:
        seconds = self.limits.header_seconds
        self._refuse(
            Refusal(
                status=408,
                error=f"the headers had not come after {seconds:g} s",
                hint="send a request at once after connecting",
            )
        )

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, and end the connection once the client has had time to read it."""
        self._stop_timer()
        self._is_refused = True
        if self.transport.is_closing():
            return
        self.transport.write(refusal.encoded())
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._end_soon()

    def _end_soon(self) -> None:
        self._end_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)
