"""What pictures are read from. Each may be read from several threads and sent to another process."""

import os
import stat
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.core.errors import PictureError
from headstart.data.dataset import PictureSource, RawPicture

MAX_FILE_BYTES = 512 * 1024 * 1024
"""A larger file, or entry of a zip once unpacked, is refused: no picture that can be decoded is larger."""
_STORED, _DEFLATED = 0, 8  # compression methods, APPNOTE.TXT 4.4.5
_LOCAL_HEADER_BYTES = 30  # APPNOTE.TXT 4.3.7: lengths of name and extra field stand in its last four bytes
_LOCAL_HEADER_SIGNATURE = b"PK\x03\x04"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """Pictures that are files.

    Attributes:
        root: the folder that ids are relative to.
        renamed: path below `root` of the ids that are not the path itself, for names that are not UTF-8.
    """

    root: Path
    renamed: Mapping[str, str] = field(default_factory=dict)

    def read(self, picture_id: str) -> RawPicture:
        """Return the file's bytes. Raises PictureError when it cannot be read."""
        path = os.path.join(self.root, self.renamed.get(picture_id, picture_id))
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                raise PictureError("not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise PictureError(
                    f"too large: {_in_mib(status.st_size)}, the limit is {_in_mib(MAX_FILE_BYTES)}"
                )
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise PictureError(f"cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipMember:
    """Where one entry of a zip lies.

    Attributes:
        offset: of its local header, in bytes from the start of the file.
        packed_bytes: its size in the file.
        size_bytes: its size once unpacked, as the zip declares it.
        method: how it is packed; 0 stored, 8 deflated.
        crc: CRC-32 of the unpacked bytes.
    """

    offset: int
    packed_bytes: int
    size_bytes: int
    method: int
    crc: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipSource:
    """Pictures in a zip, read without unpacking it.

    It holds where each entry lies and opens the file anew for each read: nothing is shared between threads
    or processes, and reading one picture costs no look through the directory of all of them.

    Attributes:
        path: the zip.
        members: by picture id.
    """

    path: Path
    members: Mapping[str, ZipMember]

    def read(self, picture_id: str) -> RawPicture:
        """Return an entry's bytes. Raises PictureError when it is damaged, too large or oddly packed."""
        member = self.members[picture_id]
        if max(member.size_bytes, member.packed_bytes) > MAX_FILE_BYTES:
            size = _in_mib(max(member.size_bytes, member.packed_bytes))
            raise PictureError(f"too large: {size} unpacked, the limit is {_in_mib(MAX_FILE_BYTES)}")
        try:
            data = _unpack(self._packed(member), member)
        except (OSError, zlib.error) as error:
            raise PictureError(f"cannot be read from the zip: {error}") from error
        if len(data) != member.size_bytes or zlib.crc32(data) != member.crc:
            raise PictureError("damaged in the zip: its content is not what the zip's directory says")
        return data

    def _packed(self, member: ZipMember) -> bytes:
        with self.path.open("rb") as file:
            file.seek(member.offset)
            header = file.read(_LOCAL_HEADER_BYTES)
            if len(header) < _LOCAL_HEADER_BYTES or not header.startswith(_LOCAL_HEADER_SIGNATURE):
                raise PictureError("damaged in the zip: no entry where the zip's directory says")
            names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            file.seek(names, os.SEEK_CUR)
            packed = file.read(member.packed_bytes)
        if len(packed) < member.packed_bytes:
            raise PictureError(f"truncated: the zip ends {member.packed_bytes - len(packed)} bytes too early")
        return packed


def _unpack(packed: bytes, member: ZipMember) -> bytes:
    if member.method == _STORED:
        return packed
    if member.method == _DEFLATED:
        # One byte more than declared is enough to see that the declaration is a lie.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size_bytes + 1)
    raise PictureError(f"packed in the zip by method {member.method}; only stored and deflated are read")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArraySource:
    """Pictures that are arrays in memory.

    Attributes:
        pictures: uint8 of shape (H, W) or (H, W, 3), by picture id.
    """

    pictures: Mapping[str, npt.NDArray[np.uint8]]

    def read(self, picture_id: str) -> RawPicture:
        """Return the pixels."""
        return self.pictures[picture_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedSource:
    """Pictures of several sources.

    Attributes:
        sources: the sources.
        places: by picture id, (which source, the picture's id there).
    """

    sources: tuple[PictureSource, ...]
    places: Mapping[str, tuple[int, str]]

    def read(self, picture_id: str) -> RawPicture:
        """Return the picture from where it lies. Raises PictureError as that source does."""
        source, inner_id = self.places[picture_id]
        return self.sources[source].read(inner_id)


def _in_mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"
