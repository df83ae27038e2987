"""What pictures are read from. Each may be read from several threads and sent to another process."""

import os
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from headstart.core.errors import PictureError
from headstart.data.columns import ColumnWriter, Rows, Texts, gathered, parts
from headstart.data.dataset import RawPicture
from headstart.data.index import TextIndex
from headstart.data.remote import join, read_whole_address
from headstart.data.storage import File, read_range

T = TypeVar("T")

MAX_FILE_BYTES = 512 * 1024 * 1024
"""A larger file, or entry of a zip once unpacked, is refused: no picture that can be decoded is larger."""
_STORED, _DEFLATED = 0, 8  # compression methods, APPNOTE.TXT 4.4.5
_LOCAL_HEADER_BYTES = 30  # APPNOTE.TXT 4.3.7: lengths of name and extra field stand in its last four bytes
_LOCAL_HEADER_SIGNATURE = b"PK\x03\x04"
_READ_AHEAD_BYTES = 1024  # for the name and extra field, so that one read fetches a whole entry


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

    def containers(self, picture_ids: Iterable[str]) -> Iterator[str]:
        """Yield the pictures' ids: each lies by itself."""
        return iter(picture_ids)

    def only(self, picture_ids: Iterable[str]) -> "FileSource":
        """Return the source of these pictures alone."""
        return replace(self, renamed=_chosen(self.renamed, picture_ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSource:
    """Pictures that are files behind an address.

    Attributes:
        root: the address that ids are relative to.
    """

    root: str = field(repr=False)

    def read(self, picture_id: str) -> RawPicture:
        """Return the file's bytes.

        Raises:
            PictureError: it cannot be read.
            NoAnswerError: the service did not answer for a minute.
        """
        return read_whole_address(join(self.root, picture_id), MAX_FILE_BYTES)


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

    It holds where each entry lies and reads that part of the file alone: nothing is shared between threads
    or processes, and reading one picture costs no look through the directory of all of them.

    Attributes:
        path: the zip, or its address.
        members: by picture id.
    """

    path: File = field(repr=False)
    members: Mapping[str, ZipMember]

    def read(self, picture_id: str) -> RawPicture:
        """Return an entry's bytes. Raises PictureError when it is damaged, too large or oddly packed."""
        member = self.members[picture_id]
        if max(member.size_bytes, member.packed_bytes) > MAX_FILE_BYTES:
            size = _in_mib(max(member.size_bytes, member.packed_bytes))
            raise PictureError(f"too large: {size} unpacked, the limit is {_in_mib(MAX_FILE_BYTES)}")
        try:
            data = _unpack(self._packed(member), member)
        except zlib.error as error:
            raise PictureError(f"cannot be unpacked from the zip: {error}") from error
        if len(data) != member.size_bytes or zlib.crc32(data) != member.crc:
            raise PictureError("damaged in the zip: its content is not what the zip's directory says")
        return data

    def containers(self, picture_ids: Iterable[str]) -> Iterator[str]:
        """Yield "" for each: all lie in the zip."""
        return ("" for _ in picture_ids)

    def only(self, picture_ids: Iterable[str]) -> "ZipSource":
        """Return the source of these pictures alone."""
        return replace(self, members=_chosen(self.members, picture_ids))

    def _packed(self, member: ZipMember) -> bytes:
        start = member.offset
        data = read_range(self.path, start, _LOCAL_HEADER_BYTES + _READ_AHEAD_BYTES + member.packed_bytes)
        if len(data) < _LOCAL_HEADER_BYTES or not data.startswith(_LOCAL_HEADER_SIGNATURE):
            raise PictureError("damaged in the zip: no entry where the zip's directory says")
        names = int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
        begin = _LOCAL_HEADER_BYTES + names
        if names > _READ_AHEAD_BYTES:
            data, begin = read_range(self.path, start + begin, member.packed_bytes), 0
        packed = data[begin : begin + member.packed_bytes]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """Where one file of a tar lies.

    Attributes:
        shard: name of the tar.
        offset: of its content, in bytes from the start of the tar.
        size_bytes: of its content.
    """

    shard: str
    offset: int
    size_bytes: int


class TarMembers(Mapping[str, TarMember]):
    """Where N files of tars lie, by picture id, in columns.

    Args:
        ids: N texts, unique.
        shards: names of the tars.
        places: int64 of shape (N, 3): in which tar, where in it, and how many bytes.
    """

    __slots__ = ("_index", "_places", "ids", "shards")

    def __init__(self, ids: Texts, shards: Sequence[str], places: Rows) -> None:
        self.ids = ids
        self.shards = tuple(shards)
        self._places = places
        self._index = TextIndex(ids, are_different=True)

    @classmethod
    def of(cls, members: Mapping[str, TarMember]) -> "TarMembers":
        """Return members packed, themselves where they are."""
        if isinstance(members, TarMembers):
            return members
        numbers: dict[str, int] = {}
        places = ColumnWriter(np.int64, (3,))
        for each in members.values():
            places.write([numbers.setdefault(each.shard, len(numbers)), each.offset, each.size_bytes])
        return cls(Texts.of(members), tuple(numbers), places.finish())

    def __getitem__(self, picture_id: str) -> TarMember:
        row = self._index.row(picture_id)
        if row < 0:
            raise KeyError(picture_id)
        shard, offset, size_bytes = self._places[row].tolist()
        return TarMember(shard=self.shards[shard], offset=offset, size_bytes=size_bytes)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __reduce__(self) -> tuple[Any, ...]:  # hashes of texts differ from process to process
        return TarMembers, (self.ids, self.shards, np.ascontiguousarray(self._places))

    def only(self, picture_ids: Iterable[str]) -> "TarMembers":
        """Return those of these pictures, with the names of their tars alone."""
        rows = self._index.find(Texts.of(picture_ids))
        rows = rows[rows >= 0]
        needed, numbers = np.unique(self._places[rows, 0], return_inverse=True)
        places = gathered(self._places, rows).copy()
        places[:, 0] = numbers
        return TarMembers(self.ids.take(rows), [self.shards[number] for number in needed], places)

    def shards_of(self, picture_ids: Iterable[str]) -> Iterator[str]:
        """Yield the name of the tar of each picture."""
        ids = Texts.of(picture_ids)
        for part in parts(len(ids)):
            rows = self._index.rows_of(ids[part])
            yield from map(self.shards.__getitem__, self._places[rows, 0].tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSource:
    """Pictures in one tar or several; one is one read of a part of a file.

    Attributes:
        shards: the tars, by name.
        members: where the pictures lie, by id; they are packed.
    """

    shards: Mapping[str, File] = field(repr=False)
    members: Mapping[str, TarMember]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", TarMembers.of(self.members))

    def read(self, picture_id: str) -> RawPicture:
        """Return a picture's bytes.

        Raises:
            PictureError: it is too large, the tar has become shorter, or it cannot be read.
            NoAnswerError: the service did not answer for a minute.
        """
        member = self.members[picture_id]
        if member.size_bytes > MAX_FILE_BYTES:
            raise PictureError(
                f"too large: {_in_mib(member.size_bytes)}, the limit is {_in_mib(MAX_FILE_BYTES)}"
            )
        data = read_range(self.shards[member.shard], member.offset, member.size_bytes)
        if len(data) < member.size_bytes:
            raise PictureError(f"truncated: the tar ends {member.size_bytes - len(data)} bytes too early")
        return data

    def containers(self, picture_ids: Iterable[str]) -> Iterator[str]:
        """Yield the name of the tar that each picture lies in."""
        return TarMembers.of(self.members).shards_of(picture_ids)

    def only(self, picture_ids: Iterable[str]) -> "TarSource":
        """Return the source of these pictures alone."""
        members = TarMembers.of(self.members).only(picture_ids)
        return TarSource(shards=_chosen(self.shards, members.shards), members=members)


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

    def containers(self, picture_ids: Iterable[str]) -> Iterator[str]:
        """Yield the pictures' ids: each lies by itself."""
        return iter(picture_ids)

    def only(self, picture_ids: Iterable[str]) -> "ArraySource":
        """Return the source of these pictures alone."""
        return ArraySource(pictures=_chosen(self.pictures, picture_ids))


def _chosen(table: Mapping[str, T], names: Iterable[str]) -> dict[str, T]:
    return {name: table[name] for name in names if name in table}


def _in_mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"
