"""A CSV that lists pictures with their labels, and perhaps their splits."""

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.core.errors import DataError, InputError, PictureError
from headstart.data.dataset import Exclusion, ImageDataset, Split
from headstart.data.layout import SPLIT_NAMES
from headstart.data.remote import is_address, read_whole_address
from headstart.data.sources import MAX_FILE_BYTES, FileSource, RemoteSource
from headstart.data.storage import File, name_of

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
_PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
LABEL_COLUMNS = ("label", "class", "class_name", "category")
_SPLIT_COLUMNS = ("split", "subset")
_SEVERAL_LABELS = re.compile(r"(labels|tags|classes|(label|class|tag|category)[ _-]?\d+)", re.IGNORECASE)
_FLAGS = frozenset({"0", "1", "0.0", "1.0", "true", "false", ""})
_EXPECTED = "expected the columns path,label or path,label,split, with the names in the first line"
_ONE_LABEL_ONLY = "headstart chooses among single-label classifiers: give each picture one label"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    line: int
    path: str
    label: str
    split: str | None


def open_csv(path: File, *, name: str, location: str) -> ImageDataset:
    """Open the pictures that a CSV lists; relative paths start at the CSV's folder.

    Comma, semicolon and tab are understood, and a byte-order mark. Rows that repeat a picture with the same
    label, lack a label, or name a file that does not exist are excluded by line.

    Args:
        path: the file.
        name: of the data set.
        location: what the user gave.

    Raises:
        DataError: it is not such a CSV, gives a picture two labels, gives pictures several labels each, or
            none of its files exists.
    """
    header, lines = _read(path)
    rows = _rows(header, lines, path)
    _refuse_several_labels(rows, path)
    kept, excluded = _checked(rows, path)
    class_names = sorted({row.label for row in kept.values()})
    numbers = {label: number for number, label in enumerate(class_names)}
    ids = sorted(kept)
    folder = _folder_of(path)
    return ImageDataset(
        name=name,
        location=location,
        ids=tuple(ids),
        labels=np.array([numbers[kept[each].label] for each in ids], dtype=np.int64),
        class_names=tuple(class_names),
        source=RemoteSource(root=folder) if isinstance(folder, str) else FileSource(root=folder.absolute()),
        given_splits=_splits([kept[each] for each in ids], path),
        excluded=tuple(excluded),
    )


def read_column(path: File, column: str) -> dict[str, str]:
    """Return the cells of a column by picture id; of a picture with several lines, the first's.

    Raises:
        DataError: it is no such CSV.
        InputError: it has no such column.
    """
    header, lines = _read(path)
    path_column, wanted = _find(header, _PATH_COLUMNS), _find(header, (column.lower(),))
    if wanted is None or path_column is None:
        raise InputError(
            f"{name_of(path)!r} has no column {column!r}", hint=f"it has the columns {', '.join(header)}"
        )
    cells: dict[str, str] = {}
    for _, line in lines:
        if path_column < len(line) and wanted < len(line):
            cells.setdefault(_picture_id(line[path_column].strip(), _folder_of(path)), line[wanted].strip())
    return cells


def _read(path: File) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The column names, and (line number, cells) of the rows that are not blank."""
    try:
        raw = read_whole_address(path, MAX_FILE_BYTES) if isinstance(path, str) else path.read_bytes()
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name_of(path)!r} is not UTF-8 text: {error}", hint="save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"cannot read {name_of(path)!r}: {error.strerror}") from error
    except PictureError as error:
        raise DataError(f"cannot read {name_of(path)!r}: {error}") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise DataError(f"{name_of(path)!r}, line {reader.line_num}: {error}", hint=_EXPECTED) from error
    if len(lines) < 2:
        raise DataError(f"{name_of(path)!r} lists no pictures", hint=_EXPECTED)
    return [cell.strip() for cell in lines[0][1]], lines[1:]


def _rows(header: list[str], lines: list[tuple[int, list[str]]], path: File) -> list[_Row]:
    path_column = _find(header, _PATH_COLUMNS)
    label_column = _find(header, LABEL_COLUMNS)
    split_column = _find(header, _SPLIT_COLUMNS)
    others = [index for index in range(len(header)) if index not in (path_column, split_column)]
    _refuse_several_columns(header, lines, others, path)
    if path_column is None or label_column is None:
        missing = "picture paths" if path_column is None else "labels"
        raise DataError(
            f"{name_of(path)!r} has no column for {missing}; it has {', '.join(header)}", hint=_EXPECTED
        )

    def cell(cells: list[str], column: int) -> str:
        return cells[column].strip() if column < len(cells) else ""

    return [
        _Row(
            line=line,
            path=cell(cells, path_column),
            label=cell(cells, label_column),
            split=None if split_column is None else cell(cells, split_column),
        )
        for line, cells in lines
    ]


def _find(header: Sequence[str], names: Sequence[str]) -> int | None:
    lowered = [name.lower() for name in header]
    return next((lowered.index(name) for name in names if name in lowered), None)


def _refuse_several_columns(
    header: list[str], lines: list[tuple[int, list[str]]], others: list[int], path: File
) -> None:
    """Refuse more than one column of labels, be it of names or of zeros and ones."""
    named = [
        header[index]
        for index in others
        if header[index].lower() in LABEL_COLUMNS or _SEVERAL_LABELS.fullmatch(header[index])
    ]
    flags = [
        header[index]
        for index in others
        if all(index < len(cells) and cells[index].strip().lower() in _FLAGS for _, cells in lines)
        and any(cells[index].strip() for _, cells in lines)
    ]
    single = len(named) == 1 and named[0].lower() in LABEL_COLUMNS
    if len(named) > 1 or (len(named) == 1 and not single) or (not named and len(flags) > 1):
        columns = ", ".join((named or flags)[:6])
        raise DataError(
            f"{name_of(path)!r} is a multi-label table: its labels stand in the columns {columns}",
            hint=_ONE_LABEL_ONLY,
        )


def _refuse_several_labels(rows: Iterable[_Row], path: File) -> None:
    """Refuse cells that hold several labels: their pieces occur in other, different cells too.

    A comma is common inside one label ("tench, Tinca tinca"), so there all pieces must occur elsewhere; of
    the others, one.
    """
    cells = {row.label: row.line for row in reversed(list(rows))}
    for separator, enough in (("|", any), (";", any), (",", all)):
        pieces = {cell: [piece.strip(" []'\"") for piece in cell.split(separator)] for cell in cells}
        uses: dict[str, int] = {}
        for found in pieces.values():
            for piece in set(found):
                uses[piece] = uses.get(piece, 0) + 1
        for cell, found in pieces.items():
            if len(found) > 1 and enough(uses[piece] > 1 for piece in found):
                raise DataError(
                    f"{name_of(path)!r} is a multi-label table: line {cells[cell]} has the label {cell!r}, "
                    f"and its parts occur in other labels too",
                    hint=_ONE_LABEL_ONLY,
                )


def _checked(rows: Iterable[_Row], path: File) -> tuple[dict[str, _Row], list[Exclusion]]:
    """The usable rows by picture id, and the others with their reasons."""
    kept: dict[str, _Row] = {}
    missing: list[Exclusion] = []
    excluded: list[Exclusion] = []
    folder = _folder_of(path)
    for row in rows:
        if not row.path or not row.label:
            lacks = "path" if not row.path else "label"
            excluded.append(
                Exclusion(id=row.path or f"line {row.line}", reason=f"no {lacks} in line {row.line}")
            )
            continue
        picture_id = _picture_id(row.path, folder)
        known = kept.get(picture_id)
        if known is not None:
            excluded.append(_repeated(known, row, path))
        elif reason := _why_not_there(picture_id, folder):
            missing.append(Exclusion(id=picture_id, reason=f"{reason}, named in line {row.line}"))
        else:
            kept[picture_id] = row
    if not kept:
        first = missing[0].id if missing else ""
        raise DataError(
            f"none of the files that {name_of(path)!r} names exists"
            + (f"; the first is {first!r}" if first else ""),
            hint=f"relative paths start at the CSV's folder, {name_of(folder)!r}",
        )
    return kept, missing + excluded


def _folder_of(path: File) -> File:
    """Return the folder that relative paths start at."""
    if isinstance(path, str):
        return path.partition("?")[0].rpartition("/")[0]
    return path.parent.absolute()


def _picture_id(cell: str, folder: File) -> str:
    """The path as given, cleaned of "./" and "a/../", with "/" unless a name really holds a backslash."""
    if is_address(cell):
        return cell
    if isinstance(folder, Path) and "\\" in cell and not os.path.exists(os.path.join(folder, cell)):
        cell = cell.replace("\\", "/")
    return os.path.normpath(cell).replace(os.sep, "/")


def _why_not_there(picture_id: str, folder: File) -> str:
    """Return "" or why there is no such picture; whether a remote one is there, reading it will tell."""
    if isinstance(folder, str):
        inside = not is_address(picture_id) and picture_id.split("/")[0] not in ("", "..")
        return "" if inside else "not below the table's folder"
    return "" if os.path.isfile(os.path.join(folder, picture_id)) else "no such file"


def _repeated(known: _Row, row: _Row, path: File) -> Exclusion:
    if known.label != row.label:
        raise DataError(
            f"{name_of(path)!r} gives {row.path!r} two labels: {known.label!r} in line {known.line}, "
            f"{row.label!r} in line {row.line}",
            hint="keep the right one of the two lines",
        )
    return Exclusion(id=row.path, reason=f"line {row.line} repeats line {known.line}")


def _splits(rows: Sequence[_Row], path: File) -> tuple[Split, ...] | None:
    if all(not row.split for row in rows):
        return None
    splits: list[Split] = []
    for row in rows:
        split = SPLIT_NAMES.get((row.split or "").lower())
        if split is None:
            raise DataError(
                f"{name_of(path)!r}, line {row.line}: the split is {row.split!r}",
                hint="expected train, val or test in every line, or no column 'split'",
            )
        splits.append(split)
    if "train" not in splits:
        raise DataError(
            f"{name_of(path)!r} has no line of the split 'train'", hint="mark pictures for training"
        )
    return tuple(splits) if len(set(splits)) > 1 else None
