"""Several files under one name: `shard-{000..123}.tar`, `train-*.parquet`; and the splits that names tell."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path

from headstart.core.errors import DataError, InputError
from headstart.data.dataset import Split
from headstart.data.layout import SPLIT_NAMES
from headstart.data.storage import File, below, name_of, walk_files

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MAX_FILES = 1_000_000


def is_pattern(location: object) -> bool:
    """Whether a location names several files, by `*` or `{000..123}`."""
    return isinstance(location, str) and ("*" in location or _BRACES.search(location) is not None)


def find_files(pattern: str) -> tuple[File, dict[str, File]]:
    """Return the files that a pattern names.

    `{000..123}` and `{a,b}` are written out, which lists nothing; `*` stands for any part of a name, `**/`
    for any folders.

    Returns:
        The folder before the first sign of a pattern, and the files by their path below it, ascending.

    Raises:
        InputError: no file has such a name, or there are more than a million.
        DataError: a folder cannot be listed.
    """
    fixed = re.match(r"[^*{]*/|", pattern)
    start = fixed[0] if fixed else ""
    root: File = start.rstrip("/") if "://" in start else Path(start or ".").expanduser()
    names: Iterable[str] = _written_out(pattern[len(start) :])
    if "*" in pattern:
        wanted = re.compile("|".join(map(_as_expression, names)))
        names = (name for name in walk_files(root) if wanted.fullmatch(name))
    found = {name: below(root, name) for name in sorted(names)}
    if not found:
        raise InputError(f"no file is called {name_of(pattern)!r}")
    return root, found


def splits_of(names: Iterable[str], location: str) -> Mapping[str, Split] | None:
    """Return the splits that files' names tell, as "train-00000.parquet" and "test/0000.parquet" do.

    Returns:
        A split a name; None where they name fewer than two.

    Raises:
        DataError: some name a split and others do not, or none is for training.
    """
    told = {name: _split_of(name) for name in names}
    splits = {name: split for name, split in told.items() if split is not None}
    if len(set(splits.values())) < 2:
        return None
    for name, split in told.items():
        if split is None:
            raise DataError(
                f"of the files in {location!r} some name a split, such as {next(iter(splits))!r}, "
                f"but {name!r} does not",
                hint="name the files you mean, for example FOLDER/train-*.parquet",
            )
    if "train" not in splits.values():
        raise DataError(f"{location!r} has files for val and test but none for train")
    return splits


def _split_of(name: str) -> Split | None:
    words = re.split(r"[/_.\-]", name.lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def _written_out(pattern: str) -> Iterator[str]:
    """Yield all names that a pattern's braces stand for."""
    parts = _BRACES.split(pattern)  # text, braces, text, braces, ..., text
    choices = [_choices(part) if place % 2 else [part] for place, part in enumerate(parts)]
    count = 1
    for each in choices:
        count *= len(each)
    if count > _MAX_FILES:
        raise InputError(f"{name_of(pattern)!r} stands for {count:,} files; at most a million are read")
    return map("".join, product(*choices))


def _choices(braces: str) -> list[str]:
    limits = _RANGE.fullmatch(braces)
    if limits is None:
        return braces.split(",")
    first, last = int(limits[1]), int(limits[2])
    if last - first >= _MAX_FILES:
        raise InputError(f"{{{braces}}} stands for {last - first + 1:,} files; at most a million are read")
    return [f"{number:0{len(limits[1])}}" for number in range(first, last + 1)]


def _as_expression(pattern: str) -> str:
    """Return the regular expression for a pattern of stars."""
    pieces = re.split(r"(\*\*/|\*+)", pattern)
    stars = {"**/": "(?:.*/)?"}
    return "".join(
        stars.get(piece, "[^/]*") if place % 2 else re.escape(piece) for place, piece in enumerate(pieces)
    )
