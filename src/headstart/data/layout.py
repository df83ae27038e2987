"""What the folders around pictures mean: splits first, then classes."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.core.errors import DataError
from headstart.data.dataset import Exclusion, Split

ClassesFrom: TypeAlias = Literal["folders", "file names"]
"""What tells a picture's class: the folder it lies in, or its own name, whatever folder that is in."""

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names of folders, and words of a CSV, in lower case, that name a split."""
EXPECTED_LAYOUT = (
    "expected FOLDER/CLASS/PICTURE, or FOLDER/train/CLASS/PICTURE with test/ (and val/) beside train/"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Pictures with their classes.

    Attributes:
        prefix: the folders above the data set's root that were stepped through, "" or ending in "/".
        ids: N paths below the root, ascending.
        labels: int64 of shape (N,).
        class_names: K names, ascending.
        given_splits: N splits, or None.
        excluded: pictures that lie where no class is.
    """

    prefix: str
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    given_splits: tuple[Split, ...] | None
    excluded: tuple[Exclusion, ...]


def read_layout(paths: Collection[str], *, location: str, classes_from: ClassesFrom = "folders") -> Layout:
    """Work out classes and splits of pictures from their paths.

    A single top folder that holds only folders is stepped through. Where the top folders include "train"
    and a "val" or "test" (or what else they are called, see `SPLIT_NAMES`), they are splits and the folders
    in them are classes; else the top folders are classes. Deeper levels belong to their class.

    Args:
        paths: of the pictures, with "/" between folders; at least one.
        location: what they were found in, for messages.
        classes_from: with "file names" folders are splits or mean nothing, and the class of a picture is its
            file's name without the suffix.

    Raises:
        DataError: no folders that could be classes, or splits without a train part.
    """
    parts = [path.split("/") for path in sorted(paths)]
    prefix = _single_top(parts)
    depth = len(prefix)
    rows = [path[depth:] for path in parts]
    has_splits = _has_splits(rows, location)
    num_folders = has_splits + (classes_from == "folders")
    excluded: list[Exclusion] = []
    ids: list[str] = []
    classes: list[str] = []
    splits: list[Split] = []
    for row in rows:
        split = SPLIT_NAMES.get(row[0].lower()) if has_splits else None
        if has_splits and split is None:
            excluded.append(Exclusion(id="/".join(row), reason="beside the folders train, val and test"))
        elif len(row) <= num_folders:
            excluded.append(Exclusion(id="/".join(row), reason="not in a class folder"))
        else:
            ids.append("/".join(row))
            classes.append(row[has_splits] if classes_from == "folders" else PurePosixPath(row[-1]).stem)
            if split is not None:
                splits.append(split)
    if not ids:
        raise DataError(f"{location!r} holds {len(rows)} pictures but no class folders", hint=EXPECTED_LAYOUT)
    class_names, labels = np.unique(np.array(classes, dtype=object), return_inverse=True)
    return Layout(
        prefix="".join(f"{part}/" for part in prefix),
        ids=tuple(ids),
        labels=labels.astype(np.int64),
        class_names=tuple(class_names.tolist()),
        given_splits=tuple(splits) if has_splits else None,
        excluded=tuple(excluded),
    )


def _single_top(parts: list[list[str]]) -> list[str]:
    """The folders that all paths have in common and that hold folders only."""
    prefix: list[str] = []
    while True:
        depth = len(prefix)
        shortest = min(len(path) for path in parts)
        tops = {path[depth] for path in parts if len(path) > depth}
        if len(tops) != 1 or shortest < depth + 3:  # the top folder, a folder in it, a picture
            return prefix
        prefix.append(tops.pop())


def _has_splits(rows: list[list[str]], location: str) -> bool:
    tops = {row[0] for row in rows if len(row) > 1}
    found = {SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    if len(found) < 2:
        return False
    if "train" in found:
        return True
    if all(top.lower() in SPLIT_NAMES for top in tops):
        raise DataError(f"{location!r} has folders for val and test but none for train", hint=EXPECTED_LAYOUT)
    return False
