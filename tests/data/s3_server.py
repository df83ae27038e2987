"""An S3 server on this machine: moto's, or the one whose address the variable HEADSTART_TEST_S3 holds."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

VARIABLE = "HEADSTART_TEST_S3"

# Key and secret that the tests come with: a server of somebody's own must know them.
CREDENTIALS = {"AKIAEXAMPLE": "very-secret-key", "someone": "a-secret"}


@contextmanager
def s3_server() -> Iterator[str]:
    """Give its host and port; one of our own ends with the block."""
    if VARIABLE in os.environ:
        yield os.environ[VARIABLE]
        return
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    try:
        yield "{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()
