"""sha256 digests of bytes, files and records, always as 64 lower-case hex digits."""

import hashlib
import json
from pathlib import Path

_CHUNK_BYTES = 1 << 20


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
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return digest_bytes(text.encode("ascii"))
