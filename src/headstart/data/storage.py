"""Files that are read in parts, whether they lie on this machine or behind an address."""

import io
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from headstart.core.errors import DataError, PictureError
from headstart.data.folder import walk
from headstart.data.names import printable
from headstart.data.remote import is_address, join, read_address, shown, size_of_address, walk_address

File: TypeAlias = Path | str
"""A path on this machine, or an address as text."""

_READ_AHEAD_BYTES = 2**20
"""What is asked for at once where a file is read in small parts: a request costs as much as some 100 kB."""


def file_at(location: str | Path) -> File:
    """Return what a user names: an address as it is, anything else as a path."""
    if isinstance(location, str) and is_address(location):
        return location
    return Path(location).expanduser()


def suffix_of(file: File) -> str:
    """Return the suffix of a file's name, in lower case: ".zip"; "" where it has none, as folders have."""
    return posixpath.splitext(file.partition("?")[0] if isinstance(file, str) else file.name)[1].lower()


def read_range(file: File, start: int, num_bytes: int) -> bytes:
    """Return a part of a file; it is shorter than asked for where the file ends.

    Raises:
        PictureError: it cannot be read; the message is the reason, without the file's name.
        NoAnswerError: a service did not answer for a minute.
        DataError: it does not serve parts of files.
    """
    if isinstance(file, str):
        return read_address(file, start, num_bytes)
    try:
        with file.open("rb") as opened:
            opened.seek(start)
            return opened.read(num_bytes)
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error


def open_file(file: File) -> BinaryIO:
    """Open a file that is read here and there. Raises DataError where it cannot be opened."""
    try:
        if isinstance(file, str):
            return cast(BinaryIO, io.BufferedReader(_RemoteFile(file), _READ_AHEAD_BYTES))
        return file.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {name_of(file)!r}: {error.strerror or error}") from error
    except PictureError as error:
        raise DataError(f"cannot read {name_of(file)!r}: {error}") from None


def walk_files(root: File) -> Iterator[str]:
    """Yield the path below `root` of every file in it, ascending.

    Raises:
        DataError: a folder cannot be listed.
    """
    return walk_address(root) if isinstance(root, str) else walk(root)


def below(root: File, path: str) -> File:
    """Return what lies below a folder or address."""
    return join(root, path) if isinstance(root, str) else root.joinpath(path)


def name_of(file: File) -> str:
    """Return how a file is called in messages and records."""
    return printable(shown(file) if isinstance(file, str) else str(file))


class _RemoteFile(io.RawIOBase):
    """A file behind an address, read by position; each read is one request."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self._size = size_of_address(address)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:  # as of a file on the disk
            raise OSError(f"a position of {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._position)
        try:
            data = read_address(self._address, self._position, wanted)
        except PictureError as error:
            raise DataError(f"cannot read {shown(self._address)!r}: {error}") from None
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
