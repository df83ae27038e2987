"""The files in a tar, listed without unpacking, and refused where the tar means harm."""

import os
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from headstart.core.errors import DataError
from headstart.data.archive import inner_name
from headstart.data.names import is_left_by_system
from headstart.data.storage import File, name_of, open_file

LABEL_SUFFIXES = (".cls", ".json")
"""Of files whose content is read while a tar is listed."""
_MAX_LABEL_BYTES = 2**20
_MAX_HEADER_BYTES = 2**20
_BLOCK_BYTES = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class TarEntry:
    """A file in a tar.

    Attributes:
        name: its path in the tar, with "/" between folders.
        offset: of its content, in bytes from the start of the tar.
        size_bytes: of its content.
        content: of a label file; else b"".
        reason: why it cannot be used, "" where it can.
    """

    name: str
    offset: int
    size_bytes: int
    content: bytes = b""
    reason: str = ""


def tar_entries(file: File) -> Iterator[TarEntry]:
    """Yield the files in a tar, in its order; none is held.

    Hidden files and what operating systems leave are passed over.

    Raises:
        DataError: it is compressed, damaged, ends too early, or an entry's name points outside of it.
    """
    if name_of(file).lower().endswith((".gz", ".tgz", ".bz2", ".xz", ".zst")):
        raise DataError(
            f"{name_of(file)!r} is compressed, so that no picture in it can be read by itself",
            hint="pictures are compressed already: unpack it to a plain .tar",
        )
    with closing(open_file(file)) as opened:
        try:
            yield from _entries(opened, file)
        except DataError:
            raise
        except (tarfile.TarError, ValueError, OSError, OverflowError, RecursionError) as error:
            raise DataError(f"{name_of(file)!r} is not a whole tar: {error}", hint=_AGAIN) from error


_AGAIN = "download or make it again"


def _entries(opened: BinaryIO, file: File) -> Iterator[TarEntry]:
    with tarfile.open(fileobj=cast("IO[bytes]", _HeadersOnly(opened)), mode="r:") as archive:
        before = -1
        while (info := archive.next()) is not None:
            if info.offset_data <= before or info.size < 0:
                raise DataError(f"{name_of(file)!r} is not a whole tar: it leads back", hint=_AGAIN)
            before = info.offset_data
            cast(Any, archive).members.clear()  # kept for extraction, which is not done here
            name = inner_name(info.name, file)
            if not info.isdir() and not any(map(is_left_by_system, name.split("/"))):
                yield _entry(info, name, opened)
        opened.seek(archive.offset)
        if opened.read(_BLOCK_BYTES).strip(b"\0"):  # tarfile takes what it cannot read for the end
            raise DataError(
                f"{name_of(file)!r} is not a whole tar: no entry after {archive.offset:,} bytes", hint=_AGAIN
            )


def _entry(info: tarfile.TarInfo, name: str, opened: BinaryIO) -> TarEntry:
    content, reason = b"", ""
    if info.issym() or info.islnk():
        reason = "a link inside a tar"
    elif not info.isreg() or info.issparse():
        reason = "not a regular file"
    elif name.lower().endswith(LABEL_SUFFIXES) and info.size <= _MAX_LABEL_BYTES:
        opened.seek(info.offset_data)
        content = opened.read(info.size)
    return TarEntry(name=name, offset=info.offset_data, size_bytes=info.size, content=content, reason=reason)


class _HeadersOnly:
    """A file of which tarfile may read headers, but not as much as one may claim to be long."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise DataError(f"a tar has a header of {size:,} bytes", hint="do not trust this archive")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
