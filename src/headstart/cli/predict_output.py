"""Predictions as text, CSV, JSON or Parquet, one row a picture, written as they come."""

import csv as csv_text
import json as json_text
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

from headstart.core.errors import MissingExtraError
from headstart.core.files import atomic_path
from headstart.core.plain_progress import plain
from headstart.core.spreadsheet import safe_cell

if TYPE_CHECKING:
    from headstart.predict import Prediction

Form: TypeAlias = Literal["text", "csv", "json", "parquet"]
Best: TypeAlias = list[tuple[str, float]]
Writer: TypeAlias = "Callable[[Prediction, Best], None]"

_YES_NO = {True: "yes", False: "no", None: ""}
_ROWS_PER_GROUP = 8192  # of Parquet: what is held in memory, and what a reader may skip


@contextmanager
def open_output(form: Form, out: Path | None, *, top: int) -> Iterator[Writer]:
    """Give what writes one prediction with its best classes; a file is complete or not there.

    Args:
        form: of the rows; Parquet needs a file.
        out: the file; None is stdout.
        top: how many classes are shown for each picture.

    Raises:
        MissingExtraError: Parquet was asked for, and pyarrow is not installed.
        StorageError: the file cannot be written.
    """
    if form == "parquet" and out is not None:
        with _parquet_writer(out) as write:
            yield write
        return
    with _destination(out) as file:
        if form == "csv":
            yield _csv_writer(file, top)
        else:
            yield _json_writer(file) if form == "json" else _text_writer(file)


@contextmanager
def _destination(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file


def _text_writer(file: TextIO) -> Writer:
    def write(row: "Prediction", best: Best) -> None:
        said = ", ".join(f"{name} {probability:.3f}" for name, probability in best)
        if row.error:
            said = f"cannot be read: {plain(row.error.removeprefix('cannot be read: '))}"
        elif row.is_unknown:
            said = f"unknown ({said})"
        if row.is_unlike:
            said += "\tunlike the training pictures"
        print(f"{plain(row.path)}\t{said}", file=file)

    return write


def _json_writer(file: TextIO) -> Writer:
    def write(row: "Prediction", best: Best) -> None:
        print(json_text.dumps(_record(row, best)), file=file)

    return write


def _record(row: "Prediction", best: Best) -> dict[str, Any]:
    """Return a prediction as JSON and Parquet have it: null where there is none."""
    return {
        "path": row.path,
        "label": row.label or None,
        "probability": None if row.error else row.probability,
        "best": row.best or None,
        "unknown": row.is_unknown,
        "unlike": row.is_unlike,
        "top": [{"label": name, "probability": share} for name, share in best],
        "error": row.error,
    }


def _csv_writer(file: TextIO, top: int) -> Writer:
    table = csv_text.writer(file, lineterminator="\n")
    more = [name for place in range(2, top + 1) for name in (f"label_{place}", f"probability_{place}")]
    table.writerow(["path", "label", "probability", *more, "best", "unlike", "error"])

    def write(row: "Prediction", best: Best) -> None:
        cells = [cell for name, share in best for cell in (name, f"{share:.6f}")]
        if row.is_unknown:
            cells[0] = row.label
        cells += [""] * (2 * top - len(cells))
        cells += [row.best, _YES_NO[row.is_unlike], row.error]
        table.writerow([safe_cell(cell) for cell in (row.path, *cells)])

    return write


@contextmanager
def _parquet_writer(out: Path) -> Iterator[Writer]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            "Parquet is written by pyarrow, which is not installed", hint="pip install 'headstart[parquet]'"
        ) from error
    one = pa.struct([("label", pa.string()), ("probability", pa.float64())])
    fields = [("path", pa.string()), ("label", pa.string()), ("probability", pa.float64())]
    fields += [("best", pa.string()), ("unknown", pa.bool_()), ("unlike", pa.bool_())]
    fields += [("top", pa.list_(one)), ("error", pa.string())]
    schema, rows = pa.schema(fields), list[dict[str, Any]]()
    with atomic_path(out) as temporary, parquet.ParquetWriter(temporary, schema) as file:

        def flush() -> None:
            file.write_table(pa.Table.from_pylist(rows, schema=schema))
            rows.clear()

        def write(row: "Prediction", best: Best) -> None:
            rows.append(_record(row, best))
            if len(rows) == _ROWS_PER_GROUP:
                flush()

        yield write
        flush()
