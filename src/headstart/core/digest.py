"""sha256 digests of bytes, files and records, always as 64 lower-case hex digits."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

_CHUNK_BYTES = 1 << 20
_VALUES_AT_A_TIME = 10_000


def digest_bytes(data: bytes | bytearray | memoryview) -> str:
    """Return the sha256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's content as 64 hex digits, reading it a megabyte at a time."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha.update(chunk)
    return sha.hexdigest()


def digest_json(value: object) -> str:
    """Return the sha256 of a JSON value; the order of keys does not matter, the order of lists does.

    Raises:
        TypeError: `value` holds something that JSON has no form for.
    """
    return digest_bytes(_json(value))


def digest_lists(lists: Iterable[Iterable[object] | None]) -> str:
    """Return what `digest_json` has for a list of lists, of which only some values are held at a time."""
    sha = hashlib.sha256(b"[")
    for number, values in enumerate(lists):
        sha.update(b"," if number else b"")
        for text in [b"null"] if values is None else _json_of_list(values):
            sha.update(text)
    sha.update(b"]")
    return sha.hexdigest()


def _json_of_list(values: Iterable[object]) -> Iterator[bytes]:
    left, before = iter(values), b"["
    while some := list(islice(left, _VALUES_AT_A_TIME)):
        yield before + _json(some)[1:-1]
        before = b","
    yield b"[]" if before == b"[" else b"]"


def _json(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")
