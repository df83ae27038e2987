"""CSV that a spreadsheet shows as text instead of running it.

Source: OWASP, "CSV Injection", https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(value: object) -> object:
    """Return `value`, with an apostrophe before text that a spreadsheet would take for a formula."""
    if isinstance(value, str) and value.startswith(_RUN_BY_SPREADSHEETS):
        return "'" + value
    return value


def write_rows(file: TextIO, rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` to `file` as CSV, every cell made safe."""
    writer = csv.writer(file, lineterminator="\n")
    for row in rows:
        writer.writerow([safe_cell(cell) for cell in row])
