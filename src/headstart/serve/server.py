"""The application at an address, until it is told to stop."""

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from fastapi import FastAPI

from headstart.core.errors import InputError
from headstart.serve.access import reachable_name
from headstart.serve.connections import limited_protocol
from headstart.serve.limits import Limits

_BACKLOG = 2048


class Server:
    """An address that is listened at; nothing is answered before `run`.

    Attributes:
        address: of its page: "http://127.0.0.1:8000/".

    Args:
        host: name or address to listen at.
        port: likewise; 0 for any that is free.

    Raises:
        InputError: nothing can listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = _listen(host, port)
        self.address = f"http://{reachable_name(host)}:{self._socket.getsockname()[1]}/"
        self._server: uvicorn.Server | None = None

    def run(self, app: FastAPI, *, limits: Limits) -> None:
        """Answer requests until Ctrl-C, SIGTERM or `stop`, and finish those that have begun.

        Args:
            app: from `create_app`.
            limits: of connections; those of requests are the application's.
        """
        config = uvicorn.Config(
            app,
            http=limited_protocol(limits),
            ws="none",
            lifespan="on",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=int(limits.answer_seconds) + 1,
        )
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what clients send is no news
        self._server = uvicorn.Server(config)
        with self._socket, _stopping_is_no_failure():
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run` end, from another thread."""
        if self._server is not None:
            self._server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    hint = "choose another with --port; 0 takes any that is free"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server((address[0], port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen at {host} port {port}: {reason}", hint=hint) from error
    listening.setblocking(False)
    return listening


@contextmanager
def _stopping_is_no_failure() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM be over once uvicorn has obeyed them: it raises them again at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: signal.signal(number, _ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in usual.items():
            with suppress(TypeError):  # a handler that was not installed from Python
                signal.signal(number, handler)


def _ignore(number: int, frame: object) -> None:
    pass
