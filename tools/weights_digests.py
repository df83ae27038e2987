"""Whole sha256 and sizes of weights files, as far as they are known, for the sources of the rows.

`weights_digests.json` was collected from public source text (model zoos' records, Git LFS pointers, build
recipes, lock files) for files whose names carry the beginning of their sha256; it says of each file where its
digest was found. A digest is taken only where it begins with the digits in the file's name, and where two
unrelated sources agree on it or the file's exact size stands beside it: public text also has invented ones,
and a wrong digest would make headstart refuse a good file.
"""

import json
import re
from pathlib import Path
from typing import Any

Row = dict[str, Any]

HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")
_TABLE = Path(__file__).with_name("weights_digests.json")
KNOWN: dict[str, Row] = json.loads(_TABLE.read_text(encoding="utf-8"))


def hash_in_name(address: str) -> str:
    """Return the hex digits that a file's name carries, "" where it carries none."""
    match = HASH_IN_NAME.search(address.rpartition("/")[2])
    return match.group(1) if match else ""


def complete_sources(row: Row) -> None:
    """Fill in digest and size of a row's "url" sources, and cut every source after the last known value.

    A source is `[kind, location, filename, sha256, size_bytes]`. A size that is only about right is left out
    where the whole digest is known: both are then compared with the file.
    """
    for source in row["sources"]:
        if source[0] == "url":
            source += ["", "", "", 0][len(source) - 1 :]
            digits = hash_in_name(source[1])
            known = KNOWN.get(source[1].rpartition("/")[2], {})
            whole = known.get("sha256", "")
            if whole and whole.startswith(digits):
                source[3:] = [whole, known.get("size_bytes") or 0]
            else:
                source[3] = digits
        while not source[-1]:
            source.pop()
