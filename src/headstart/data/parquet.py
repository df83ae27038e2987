"""Parquet files with pictures in a column, as data sets of the Hugging Face hub come."""

import json
import os
import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, TypeAlias

from headstart.core.errors import DataError, MissingExtraError, NoAnswerError, PictureError
from headstart.data.columns import Texts, TextsWriter
from headstart.data.dataset import Exclusion, ImageDataset, RawPicture
from headstart.data.labels import Label, LabelsWriter
from headstart.data.patterns import splits_of
from headstart.data.sources import MAX_FILE_BYTES
from headstart.data.storage import File, name_of, open_file
from headstart.data.table import LABEL_COLUMNS
from headstart.data.workers import in_threads

_PICTURE_COLUMNS = ("image", "img", "picture", "photo", "jpg", "png")
_ROW_DIGITS = 8  # so that ids ascend as rows do
_NUM_OPENED_AT_ONCE = 8
_BATCH_BYTES = 16 * 2**20
_MAX_BATCH_ROWS = 1024
_NUM_HELD_BATCHES = 4  # threads that share a row group are a few pictures apart
_NUM_READERS = 2
"""Row groups that are read at a time, in a process.

Each holds at most four batches of about 16 MiB, and the page that is being read. How large pages are the
file's writer decided: pyarrow makes them of 1,024 rows, or fewer at the end of a row group.
"""
_EXPECTED = "expected a column of pictures (bytes, or a struct with 'bytes') and a column 'label'"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetShard:
    """A Parquet file with pictures.

    Attributes:
        file: where it lies.
        column: of the pictures; of a struct its part "bytes", as in "image.bytes".
        group_starts: the first row of each row group, and at the end the number of rows.
        batch_rows: rows of each row group that are read at once.
    """

    file: File = field(repr=False)
    column: str
    group_starts: tuple[int, ...]
    batch_rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetSource:
    """Pictures in Parquet files. An id is the file's name and the row: "train-00000.parquet/00000012".

    Rows are cheap to read in order: what was read with a row is held for those beside it. A row far off costs
    reading its row group from the start.

    Attributes:
        shards: the files, by name.
    """

    shards: Mapping[str, ParquetShard]

    def read(self, picture_id: str) -> RawPicture:
        """Return the bytes in a row.

        Raises:
            PictureError: there are none, or the file is damaged there.
            NoAnswerError: the service did not answer for a minute.
        """
        name, _, row = picture_id.rpartition("/")
        return read_row(self.shards[name], int(row))

    def containers(self, picture_ids: Iterable[str]) -> Iterator[str]:
        """Yield a name for the row group that each picture lies in."""
        for name, _, row in (each.rpartition("/") for each in picture_ids):
            yield f"{name}/{bisect_right(self.shards[name].group_starts, int(row))}"

    def only(self, picture_ids: Iterable[str]) -> "ParquetSource":
        """Return the source of these pictures alone."""
        needed = dict.fromkeys(each.rpartition("/")[0] for each in picture_ids)
        return ParquetSource(shards={name: self.shards[name] for name in needed})


def picture_ids(name: str, shard: ParquetShard) -> Iterator[str]:
    """Yield the ids of all rows of a file, ascending."""
    return (f"{name}/{row:0{_ROW_DIGITS}}" for row in range(shard.group_starts[-1]))


def open_parquet(files: Mapping[str, File], *, name: str, location: str) -> ImageDataset:
    """Open the pictures in Parquet files; of each, what describes it and its column of labels is read.

    Labels are texts, or numbers whose names stand in the files' "huggingface" metadata. What files are called
    may tell splits: "train-00000-of-00002.parquet", "test/0000.parquet". Rows without a label are excluded.

    Args:
        files: by name, ascending.
        name: of the data set.
        location: what the user gave.

    Raises:
        DataError: a file is damaged, or has no pictures or labels, or files name classes differently.
        MissingExtraError: pyarrow is not installed.
    """
    splits = splits_of(files, location)
    shards: dict[str, ParquetShard] = {}
    num_kept: dict[str, int] = {}
    ids, labels = TextsWriter(), LabelsWriter()
    excluded: list[Exclusion] = []
    known: tuple[str, ...] | None = None
    listed = in_threads(_open_labelled, files.values(), num_threads=_NUM_OPENED_AT_ONCE)
    for file, found in zip(files, listed, strict=True):
        if known not in (None, found.class_names):
            raise DataError(
                f"the files in {location!r} name their classes differently", hint="give one of them"
            )
        known, shards[file] = found.class_names, found.shard
        kept = _kept(file, found, excluded)
        num_kept[file] = len(kept)
        ids.extend(kept)
        labels.extend(kept.values())
    if not any(num_kept.values()):
        first = f": {excluded[0].id}: {excluded[0].reason}" if excluded else ""
        raise DataError(f"no picture in {location!r} has a label{first}", hint=_EXPECTED)
    class_names, numbers = labels.finish(known or ())
    given = chain.from_iterable(repeat((splits or {}).get(file, ""), num) for file, num in num_kept.items())
    return ImageDataset(
        name=name,
        location=location,
        ids=ids.finish(),
        labels=numbers,
        class_names=class_names,
        source=ParquetSource(shards=shards),
        given_splits=None if splits is None else Texts.of(given),
        excluded=tuple(excluded),
    )


def _kept(file: str, found: "_Opened", excluded: list[Exclusion]) -> dict[str, Label]:
    """Return the labels of a file's pictures that have one, by id; `excluded` grows by the others."""
    kept: dict[str, Label] = {}
    for picture_id, label in zip(picture_ids(file, found.shard), found.labels, strict=True):
        if reason := _why_no_class(label, found.class_names):
            excluded.append(Exclusion(id=picture_id, reason=reason))
        else:
            kept[picture_id] = label
    return kept


def open_shard(file: File) -> ParquetShard:
    """Open a Parquet file whose labels do not matter. Errors are those of `open_parquet`."""
    with _parquet_file(file) as opened:
        return _shard(file, opened)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A Parquet file with its labels, one a row, and the names of its classes where it tells them."""

    shard: ParquetShard
    labels: list[Any]
    class_names: tuple[str, ...]


def _open_labelled(file: File) -> _Opened:
    with _parquet_file(file) as opened:
        shard = _shard(file, opened)
        features = _features(opened.schema_arrow)
        column = _label_column(opened.schema_arrow, features, shard.column.partition(".")[0], file)
        labels = opened.read(columns=[column], use_threads=False).column(0).to_pylist()
        return _Opened(
            shard=shard, labels=labels, class_names=tuple(features.get(column, {}).get("names") or ())
        )


@contextmanager
def _parquet_file(file: File) -> Iterator[Any]:
    """Open a Parquet file, and say in words what is wrong with it."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            "Parquet is read by pyarrow, which is not installed", hint="pip install 'headstart[parquet]'"
        ) from error
    try:
        with open_file(file) as raw, parquet.ParquetFile(raw, buffer_size=2**20, pre_buffer=False) as opened:
            yield opened
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        text = " ".join(str(error).split())[:300]
        raise DataError(
            f"{name_of(file)!r} is not a whole Parquet file: {text}", hint="download or make it again"
        ) from error


def _shard(file: File, opened: Any) -> ParquetShard:
    column = _picture_column(opened.schema_arrow, file)
    metadata = opened.metadata
    starts, batches = [0], []
    place = next(
        place for place in range(metadata.num_columns) if metadata.schema.column(place).path == column
    )
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        starts.append(starts[-1] + group.num_rows)
        row_bytes = group.column(place).total_uncompressed_size // max(group.num_rows, 1) + 1
        batches.append(max(1, min(_MAX_BATCH_ROWS, _BATCH_BYTES // row_bytes)))
    return ParquetShard(file=file, column=column, group_starts=tuple(starts), batch_rows=tuple(batches))


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """Return what the library `datasets` notes of each column, {} where it notes nothing."""
    try:
        noted = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return {name: each for name, each in noted.items() if isinstance(each, dict)} if noted else {}


def _picture_column(schema: Any, file: File) -> str:
    """Return the column of pictures; of a struct the part with the bytes."""
    columns = {each.name: _bytes_in(each) for each in schema}
    usable = {name: path for name, path in columns.items() if path}
    marked = [name for name, each in _features(schema).items() if each.get("_type") == "Image"]
    for choices in (marked, _PICTURE_COLUMNS, usable if len(usable) == 1 else ()):
        found = [usable[name] for name in choices if name in usable]
        if found:
            return found[0]
    raise DataError(
        f"{name_of(file)!r} has no column of pictures; it has {', '.join(schema.names)}", hint=_EXPECTED
    )


def _bytes_in(column: Any) -> str:
    """Return the path of the bytes in a column, "" where it holds none."""
    from pyarrow import types

    kind = column.type
    if types.is_binary(kind) or types.is_large_binary(kind):
        return str(column.name)
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        inner = kind.field("bytes").type
        return f"{column.name}.bytes" if types.is_binary(inner) or types.is_large_binary(inner) else ""
    return ""


def _label_column(schema: Any, features: Mapping[str, Mapping[str, Any]], pictures: str, file: File) -> str:
    """Return the column of labels: the one that is called so, or the only one that is marked as such."""
    lowered = {name.lower(): name for name in schema.names if name != pictures}
    are_classes = [name for name, each in features.items() if each.get("_type") == "ClassLabel"]
    marked = [name for name in are_classes if name in schema.names]
    named = [lowered[name] for name in LABEL_COLUMNS if name in lowered]
    if named or len(marked) == 1:
        return named[0] if named else marked[0]
    several = f"several columns of labels: {', '.join(marked)}" if marked else "no column of labels"
    raise DataError(
        f"{name_of(file)!r} has {several}; it has {', '.join(schema.names)}",
        hint="call the one that is meant 'label'" if marked else _EXPECTED,
    )


def _why_no_class(label: Any, known: Sequence[str]) -> str:
    if label is None or label == "" or (isinstance(label, int) and label < 0):
        return "no label"  # the hub's test parts have -1 where labels are kept back
    if isinstance(label, bool) or not isinstance(label, (int, str)):
        return f"its label is neither a number nor a text, but {type(label).__name__}"
    if isinstance(label, int) and known and label >= len(known):
        return f"the label {label}, but {len(known)} classes are named"
    return ""


_Place: TypeAlias = tuple[File, str, int]
_readers: "OrderedDict[_Place, _GroupReader]" = OrderedDict()
_readers_lock = threading.Lock()


def _forget_readers() -> None:
    """Begin anew in a forked process: its parent's threads may have held locks."""
    global _readers_lock
    _readers_lock = threading.Lock()
    _readers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_readers)


def read_row(shard: ParquetShard, row: int) -> bytes:
    """Return the picture in a row. Raises PictureError where there is none, or it is damaged or too large."""
    group = bisect_right(shard.group_starts, row) - 1
    place = (shard.file, shard.column, group)
    with _readers_lock:
        reader = _readers.pop(place, None) or _GroupReader(shard, group)
        _readers[place] = reader  # the last one is that used last
        while len(_readers) > _NUM_READERS:
            _readers.popitem(last=False)
    try:
        data = reader.read(row - shard.group_starts[group])
    except (NoAnswerError, PictureError):
        raise
    except DataError as error:
        raise PictureError(f"cannot be read from the Parquet file: {error}") from None
    if not data:
        raise PictureError("its bytes are not in the Parquet file")
    if len(data) > MAX_FILE_BYTES:
        raise PictureError(f"too large: the limit is {MAX_FILE_BYTES / 2**20:,.0f} MiB")
    return data


class _GroupReader:
    """Reads a row group from its start, and holds the last few batches; for threads that go the same way."""

    def __init__(self, shard: ParquetShard, group: int) -> None:
        self._shard, self._group = shard, group
        self._lock = threading.Lock()
        self._held: deque[tuple[int, Any]] = deque(maxlen=_NUM_HELD_BATCHES)  # first row, column
        self._batches: Iterator[Any] = iter(())
        self._next_row = 0
        self._restart()

    def read(self, row: int) -> bytes | None:
        """Return the bytes in a row of the group; None where it is empty."""
        with self._lock:
            first = self._held[0][0] if self._held else self._next_row
            if row < first:
                self._restart()
            while row >= self._next_row:
                self._advance()
            for start, column in self._held:
                if start <= row < start + len(column):
                    return _value(column[row - start])
        raise PictureError("damaged in the Parquet file: no such row")

    def _restart(self) -> None:
        self._held.clear()
        self._batches, self._next_row = self._read_batches(), 0

    def _advance(self) -> None:
        try:
            column = next(self._batches, None)
        except DataError:
            self._restart()  # the next one may ask again
            raise
        if column is None:
            raise PictureError("damaged in the Parquet file: the row group ends too early")
        self._held.append((self._next_row, column))
        self._next_row += len(column)

    def _read_batches(self) -> Iterator[Any]:
        shard, group = self._shard, self._group
        with _parquet_file(shard.file) as opened:
            for batch in opened.iter_batches(
                batch_size=shard.batch_rows[group],
                row_groups=[group],
                columns=[shard.column],
                use_threads=False,
            ):
                yield batch.column(0)


def _value(scalar: Any) -> bytes | None:
    found = scalar.as_py()
    data = found.get("bytes") if isinstance(found, dict) else found
    return data if isinstance(data, bytes) else None
