"""Pictures that belong together, such as those of one patient: they must not lie on both sides of a split."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headstart.core.errors import InputError
from headstart.core.progress import SILENT, Progress
from headstart.data.dataset import ImageDataset
from headstart.data.headers import Header, read_headers
from headstart.data.storage import file_at, suffix_of
from headstart.data.table import TABLE_SUFFIXES, read_column

_BURST_SECONDS = 3.0
_LAST_NUMBER = re.compile(r"[ _.\-]*\(?\d+\)?$")


def group_by(dataset: ImageDataset, by: str, *, progress: Progress = SILENT) -> ImageDataset:
    """Return the data set with pictures that belong together in groups.

    Args:
        dataset: the pictures.
        by: "folder", "name" (the path without the last number in it), "burst" (one camera, a few seconds), or
            a column of the CSV that lists them.
        progress: told about reading what cameras wrote.

    Raises:
        InputError: there is no such column, or every picture would be a group of its own, or all are one.
    """
    if by == "folder":
        groups = folder_groups(dataset.ids)
    elif by == "name":
        groups = name_groups(dataset.ids)
    elif by == "burst":
        groups = burst_groups(read_headers(dataset, progress=progress))
    else:
        groups = _column_groups(dataset, by)
    sizes = np.unique([each for each in groups if each], return_counts=True)[1]
    if not (sizes > 1).any():
        raise InputError(f"--group-by {by}: no two pictures belong together", hint="leave it out")
    if len(sizes) == 1 and sizes[0] == len(dataset):
        raise InputError(f"--group-by {by}: all pictures would be one group", hint="group by something finer")
    return replace(dataset, groups=groups)


def _column_groups(dataset: ImageDataset, column: str) -> tuple[str, ...]:
    path = file_at(dataset.location)
    is_there = isinstance(path, str) or path.is_file()
    if not is_there or suffix_of(path) not in TABLE_SUFFIXES:
        raise InputError(
            f"--group-by {column!r}: {dataset.location!r} is no CSV with columns",
            hint="expected folder, name, burst, or a column of the CSV",
        )
    cells = read_column(path, column)
    return tuple(cells.get(each, "") for each in dataset.ids)


def folder_groups(ids: Sequence[str]) -> tuple[str, ...]:
    """Return the folder of each picture: "" at the top."""
    return tuple(each.rpartition("/")[0] for each in ids)


def name_groups(ids: Sequence[str]) -> tuple[str, ...]:
    """Return what each picture's path is without the last number of its name and the suffix.

    "" for names that are a number alone: they count the pictures of a folder and say nothing of groups.

    Example:
        >>> name_groups(["cat/anna_12.jpg", "cat/anna_13.jpg", "cat/bello (2).png"])
        ('cat/anna', 'cat/anna', 'cat/bello')
    """
    stems = (_LAST_NUMBER.sub("", os.path.splitext(each)[0]) for each in ids)
    return tuple("" if stem.endswith("/") else stem for stem in stems)


def burst_groups(headers: Sequence[Header]) -> tuple[str, ...]:
    """Return a name for each run of pictures that one camera took within seconds; "" without a time."""
    times = np.array([header.taken for header in headers])
    cameras = [header.camera for header in headers]
    names = [""] * len(headers)
    order = sorted(range(len(headers)), key=lambda index: (cameras[index], times[index]))
    current, before = "", -1
    for index in order:
        if not times[index]:
            continue
        follows = before >= 0 and cameras[before] == cameras[index]
        if not follows or times[index] - times[before] > _BURST_SECONDS:
            current = f"{cameras[index]} {int(times[index])}".strip()
        names[index], before = current, index
    return tuple(names)
