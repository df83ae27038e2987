"""Columns with a value for each picture, packed: fifty million names as Python objects would take 5 GB.

A column is written once, from its start to its end, and never changed. Above a few megabytes it lies in a
file without a name that is mapped into memory: the system keeps there what is used of it, and may take that
back at any time.
"""

import io
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice, pairwise
from math import inf
from operator import eq
from typing import IO, Any, ClassVar, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from headstart.core.errors import InputError, StorageError
from headstart.core.files import nameless_file, storage_errors
from headstart.core.paths import home

Array: TypeAlias = npt.NDArray[Any]
Rows: TypeAlias = npt.NDArray[np.int64]
Hashes: TypeAlias = npt.NDArray[np.uint64]
Keys: TypeAlias = npt.NDArray[np.uint8]
"""sha256 digests as bytes, of shape (n, 32)."""
AnyColumn = TypeVar("AnyColumn", bound="Column")

LARGEST_IN_MEMORY_BYTES = 2**22
"""A larger column lies in a file: the names of about 100,000 pictures are as large."""
AT_A_TIME = 2**14
"""So many values of a column are Python objects, or copied, at a time."""

_SHOWN = 100
_UTF8 = ("utf-8", "surrogatepass")  # names that are no Unicode come with lone surrogates
_DIGEST_BYTES = 32
_GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2**64 over the golden ratio


class ColumnWriter:
    """Writes an array from its start to its end; in memory where the cache's folder may only be read.

    Args:
        dtype: of its values.
        row_shape: of each row: () for a single value.
    """

    def __init__(self, dtype: npt.DTypeLike, row_shape: tuple[int, ...] = ()) -> None:
        self._dtype = np.dtype(dtype)
        self._shape = (-1, *row_shape)
        self._begun = io.BytesIO()
        self._file: IO[bytes] | None = None  # once it is large
        self._limit: float = LARGEST_IN_MEMORY_BYTES

    def write(self, values: npt.ArrayLike) -> None:
        """Add rows at the end.

        Raises:
            StorageError: the disk is too full.
        """
        data = np.ascontiguousarray(values, self._dtype).data
        if self._file is not None:
            with storage_errors(home(), "write"):
                self._file.write(data)
            return
        self._begun.write(data)
        if self._begun.tell() > self._limit:
            self._move_to_file()

    def _move_to_file(self) -> None:
        try:
            self._file = nameless_file(home())
        except StorageError:
            self._limit = inf
            return
        with storage_errors(home(), "write"):
            self._file.write(self._begun.getbuffer())
        self._begun = io.BytesIO()

    def __del__(self) -> None:
        if self._file is not None:  # an error ended the writing
            with suppress(OSError):
                self._file.close()

    def finish(self) -> Array:
        """Return all that was written; nothing can be added then."""
        if self._file is None:
            return np.frombuffer(self._begun.getbuffer(), self._dtype).reshape(self._shape)
        with storage_errors(home(), "write"), self._file as file:  # closing it may fail as well
            file.flush()
            return np.asarray(np.memmap(file, self._dtype, "r+")).reshape(self._shape)


def parts(length: int) -> Iterator[slice]:
    """Yield slices that together are a column of that length, some values each."""
    return (slice(start, min(start + AT_A_TIME, length)) for start in range(0, length, AT_A_TIME))


def gathered(array: Array, rows: Rows) -> Array:
    """Return rows of an array in that order: a view where they follow one another, else a column.

    Args:
        array: of shape (N, ...).
        rows: int64 of shape (M,), in [-N, N).
    """
    if follow_one_another(rows):
        return array[rows[0] : rows[-1] + 1]
    writer = ColumnWriter(array.dtype, array.shape[1:])
    for part in parts(len(rows)):
        writer.write(array[rows[part]])
    return writer.finish()


def rows_where(mask: npt.NDArray[np.bool_]) -> Rows:
    """Return int64, ascending: the rows in which `mask`, of shape (N,), is true."""
    writer = ColumnWriter(np.int64)
    for part in parts(len(mask)):
        writer.write(part.start + np.flatnonzero(mask[part]))
    return writer.finish()


def follow_one_another(rows: Rows) -> bool:
    """Return whether rows are a part of what they are taken from, as it lies: i, i + 1, i + 2, ..."""
    if not len(rows) or rows[0] < 0 or rows[-1] - rows[0] != len(rows) - 1:
        return False
    return all(bool((np.diff(rows[part.start : part.stop + 1]) == 1).all()) for part in parts(len(rows)))


class Column(Sequence[str]):
    """N texts that look like a tuple of them and are equal to it, packed in arrays."""

    __slots__ = ()

    @classmethod
    @abstractmethod
    def joined(cls: type[AnyColumn], columns: Sequence[AnyColumn]) -> AnyColumn:
        """Return the texts of several columns, column after column."""

    @abstractmethod
    def hashes(self) -> Hashes:
        """Return uint64 of shape (N,): the same number for the same text, in this process."""

    @abstractmethod
    def equals(self: AnyColumn, other: AnyColumn) -> npt.NDArray[np.bool_]:
        """Return bool of shape (N,): which texts are those of another column of this length."""

    @abstractmethod
    def _part(self: AnyColumn, start: int, stop: int) -> AnyColumn:
        """Return a view of some that follow one another."""

    @abstractmethod
    def _gathered(self: AnyColumn, rows: Rows) -> AnyColumn:
        """Return a copy of some in any order."""

    @abstractmethod
    def _texts(self) -> list[str]:
        """Return all; asked of a few at a time."""

    def take(self: AnyColumn, rows: Rows) -> AnyColumn:
        """Return the column of these rows, int64 of shape (M,), in that order."""
        if len(rows) and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows from {rows.min()} to {rows.max()} of a column of {len(self)}")
        if follow_one_another(rows):
            return self._part(int(rows[0]), int(rows[-1]) + 1)
        return self._gathered(np.where(rows < 0, rows + len(self), rows) if (rows < 0).any() else rows)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self: AnyColumn, index: slice) -> AnyColumn: ...

    def __getitem__(self: AnyColumn, index: int | slice) -> "str | AnyColumn":
        if not isinstance(index, slice):
            row = range(len(self))[index]
            return self._text(row)
        start, stop, step = index.indices(len(self))
        if step == 1:
            return self._part(start, max(start, stop))
        return self.take(np.arange(start, stop, step, dtype=np.int64))

    @abstractmethod
    def _text(self, row: int) -> str:
        """Return one, of [0, N)."""

    def __iter__(self) -> Iterator[str]:
        for part in parts(len(self)):
            yield from self._part(part.start, part.stop)._texts()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, type(self)):
            same = len(self) == len(other)
            return same and all(self[part].equals(other[part]).all() for part in parts(len(self)))
        if isinstance(other, Sequence) and not isinstance(other, (str, bytes)):
            return len(self) == len(other) and all(map(eq, self, other))
        return NotImplemented

    def __repr__(self) -> str:
        shown = repr(tuple(self[:_SHOWN]))
        return shown if len(self) <= _SHOWN else f"{shown[:-1]}, and {len(self) - _SHOWN} more)"


class Texts(Column):
    """N texts of any length, as UTF-8.

    Args:
        data: uint8 of shape (B,), the bytes of all texts, and perhaps more.
        bounds: int64 of shape (N + 1,): where each begins in `data`, and where the last one ends.
    """

    __slots__ = ("_bounds", "_bounds_view", "_data", "_data_view")
    _hash: ClassVar[Any] = staticmethod(hash)

    def __init__(self, data: npt.NDArray[np.uint8], bounds: Rows) -> None:
        self._data, self._bounds = data, bounds
        self._data_view, self._bounds_view = data.data, bounds.data  # far faster for single values

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Return texts packed, themselves where they are; no more than some are asked for at a time."""
        if isinstance(texts, Texts):
            return texts
        writer = TextsWriter()
        writer.extend(texts)
        return writer.finish()

    @classmethod
    def joined(cls, columns: Sequence["Texts"]) -> "Texts":
        """Return the texts of several columns, column after column."""
        data, bounds = ColumnWriter(np.uint8), ColumnWriter(np.int64)
        bounds.write([0])
        end = 0
        for some in (each[part] for each in columns for part in parts(len(each))):
            data.write(some._bytes)
            bounds.write(some._bounds[1:] - some._bounds[0] + end)
            end += len(some._bytes)
        return cls(data.finish(), bounds.finish())

    @property
    def _bytes(self) -> npt.NDArray[np.uint8]:
        return self._data[self._bounds[0] : self._bounds[-1]]

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __reduce__(self) -> tuple[Any, ...]:
        lengths = np.diff(self._bounds)
        smallest = np.min_scalar_type(lengths.max(initial=0))
        return _from_lengths, (self._bytes.tobytes(), lengths.astype(smallest))

    def hashes(self) -> Hashes:
        """Return uint64 of shape (N,): Python's own hashes, which nobody can foresee."""
        return np.fromiter(map(self._hash, self), np.int64, len(self)).view(np.uint64)

    def hash_of(self, text: str) -> int:
        """Return the number that `hashes` has for a text."""
        return int(self._hash(text)) & 0xFFFF_FFFF_FFFF_FFFF

    def equals(self, other: "Texts") -> npt.NDArray[np.bool_]:
        """Return bool of shape (N,): which texts are those of another column of this length."""
        if np.array_equal(self._bytes, other._bytes) and np.array_equal(
            self._bounds - self._bounds[0], other._bounds - other._bounds[0]
        ):
            return np.ones(len(self), np.bool_)
        return np.fromiter(map(eq, self, other), np.bool_, len(self))

    def _part(self, start: int, stop: int) -> "Texts":
        return Texts(self._data, self._bounds[start : stop + 1])

    def _gathered(self, rows: Rows) -> "Texts":
        data, bounds = ColumnWriter(np.uint8), ColumnWriter(np.int64)
        bounds.write([0])
        end = 0
        for part in parts(len(rows)):
            starts = self._bounds[rows[part]]
            lengths = self._bounds[rows[part] + 1] - starts
            ends = np.cumsum(lengths)
            places = np.repeat(starts - ends + lengths, lengths)  # of each byte, less its place among these
            data.write(self._data[places + np.arange(len(places))])
            bounds.write(end + ends)
            end += len(places)
        return Texts(data.finish(), bounds.finish())

    def _text(self, row: int) -> str:
        return str(self._data_view[self._bounds_view[row] : self._bounds_view[row + 1]], *_UTF8)

    def _texts(self) -> list[str]:
        bounds = (self._bounds - self._bounds[0]).tolist()
        data = self._bytes.tobytes()
        pairs = pairwise(bounds)
        if data.isascii():  # then characters lie where bytes do
            text = data.decode("ascii")
            return [text[start:end] for start, end in pairs]
        return [data[start:end].decode(*_UTF8) for start, end in pairs]


def _from_lengths(data: bytes, lengths: Array) -> Texts:
    bounds = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return Texts(np.frombuffer(data, np.uint8), bounds)


class TextsWriter:
    """Writes `Texts` from the first to the last."""

    def __init__(self) -> None:
        self._data, self._bounds = ColumnWriter(np.uint8), ColumnWriter(np.int64)
        self._bounds.write([0])
        self._end = 0

    def extend(self, texts: Iterable[str]) -> None:
        """Add texts at the end.

        Raises:
            StorageError: the cache's folder cannot be written, or its disk is too full.
        """
        for some in _some_at_a_time(texts):
            data = "".join(some).encode(*_UTF8)
            encoded: list[str] | list[bytes] = some
            if not data.isascii():
                encoded = [each.encode(*_UTF8) for each in some]
            ends = self._end + np.cumsum(np.fromiter(map(len, encoded), np.int64, len(some)))
            self._data.write(np.frombuffer(data, np.uint8))
            self._bounds.write(ends)
            self._end = int(ends[-1])

    def finish(self) -> Texts:
        """Return all that was written; nothing can be added then."""
        return Texts(self._data.finish(), self._bounds.finish())


class Digests(Column):
    """N sha256 digests; as texts they have 64 hex digits each.

    Attributes:
        keys: uint8 of shape (N, 32).
    """

    __slots__ = ("keys",)

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    @classmethod
    def of(cls, digests: Iterable[str]) -> "Digests":
        """Return digests packed, themselves where they are; no more than some are asked for at a time.

        Raises:
            InputError: one is no sha256 in hex digits.
        """
        if isinstance(digests, Digests):
            return digests
        writer = DigestsWriter()
        writer.extend(digests)
        return writer.finish()

    @classmethod
    def joined(cls, columns: Sequence["Digests"]) -> "Digests":
        """Return the digests of several columns, column after column."""
        writer = ColumnWriter(np.uint8, (_DIGEST_BYTES,))
        for some in (each[part] for each in columns for part in parts(len(each))):
            writer.write(some.keys)
        return cls(writer.finish())

    def __len__(self) -> int:
        return len(self.keys)

    def __reduce__(self) -> tuple[Any, ...]:
        return Digests, (np.ascontiguousarray(self.keys),)

    def hashes(self) -> Hashes:
        """Return uint64 of shape (N,), by multiplication; source: Knuth, TAOCP 3, section 6.4."""
        words = np.ascontiguousarray(self.keys).view(np.uint64)  # (N, 4)
        hashes: Hashes = np.bitwise_xor.reduce(words, axis=1) * _GOLDEN
        return hashes

    def equals(self, other: "Digests") -> npt.NDArray[np.bool_]:
        """Return bool of shape (N,): which digests are those of another column of this length."""
        same: npt.NDArray[np.bool_] = (self.keys == other.keys).all(axis=1)
        return same

    def _part(self, start: int, stop: int) -> "Digests":
        return Digests(self.keys[start:stop])

    def _gathered(self, rows: Rows) -> "Digests":
        return Digests(gathered(self.keys, rows))

    def _text(self, row: int) -> str:
        return bytes(self.keys[row]).hex()

    def _texts(self) -> list[str]:
        text = self.keys.tobytes().hex()
        return [text[start : start + 64] for start in range(0, len(text), 64)]


class DigestsWriter:
    """Writes `Digests` from the first to the last."""

    def __init__(self) -> None:
        self._keys = ColumnWriter(np.uint8, (_DIGEST_BYTES,))

    def extend(self, digests: Iterable[str]) -> None:
        """Add digests at the end.

        Raises:
            InputError: one is no sha256 in hex digits.
            StorageError: the cache's folder cannot be written, or its disk is too full.
        """
        for some in _some_at_a_time(digests):
            self._keys.write(_keys_of(some))

    def finish(self) -> Digests:
        """Return all that was written; nothing can be added then."""
        return Digests(self._keys.finish())


def _keys_of(digests: Sequence[str]) -> Keys:
    """Return digests as bytes. Raises InputError where one is no sha256."""
    try:
        data = bytes.fromhex("".join(digests))
    except ValueError:
        data = b""
    if len(data) != _DIGEST_BYTES * len(digests) or any(len(each) != 2 * _DIGEST_BYTES for each in digests):
        odd = next((each for each in digests if len(each) != 2 * _DIGEST_BYTES), digests[0])
        raise InputError(f"{odd!r} is no sha256 digest", hint="expected 64 hex digits each")
    return np.frombuffer(data, np.uint8).reshape(-1, _DIGEST_BYTES)


def _some_at_a_time(texts: Iterable[str]) -> Iterator[list[str]]:
    left = iter(texts)
    while some := list(islice(left, AT_A_TIME)):
        yield some
