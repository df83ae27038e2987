"""What the folders around pictures mean: splits first, then classes."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.core.errors import DataError
from headstart.data.columns import Texts, TextsWriter, parts
from headstart.data.dataset import Exclusion, Split
from headstart.data.labels import LabelsWriter

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
    ids: Texts
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    given_splits: Texts | None
    excluded: tuple[Exclusion, ...]


def read_layout(paths: Texts, *, location: str, classes_from: ClassesFrom = "folders") -> Layout:
    """Work out classes and splits of pictures from their paths, of which some are looked at at a time.

    A single top folder that holds only folders is stepped through. Where the top folders include "train"
    and a "val" or "test" (or what else they are called, see `SPLIT_NAMES`), they are splits and the folders
    in them are classes; else the top folders are classes. Deeper levels belong to their class.

    Args:
        paths: of the pictures, ascending, with "/" between folders; at least one.
        location: what they were found in, for messages.
        classes_from: with "file names" folders are splits or mean nothing, and the class of a picture is its
            file's name without the suffix.

    Raises:
        DataError: no folders that could be classes, or splits without a train part.
    """
    prefix = _single_top(paths)
    has_splits = _has_splits(paths, prefix, location)
    num_folders = has_splits + (classes_from == "folders")
    excluded: list[Exclusion] = []
    ids, splits, classes = TextsWriter(), TextsWriter(), LabelsWriter()
    for part in parts(len(paths)):
        kept: list[tuple[str, str, str]] = []  # id, class, split
        for path in paths[part]:
            picture_id = path[len(prefix) :]
            row = picture_id.split("/")
            split = SPLIT_NAMES.get(row[0].lower(), "") if has_splits else ""
            if has_splits and not split:
                excluded.append(Exclusion(id=picture_id, reason="beside the folders train, val and test"))
            elif len(row) <= num_folders:
                excluded.append(Exclusion(id=picture_id, reason="not in a class folder"))
            else:
                name = row[has_splits] if classes_from == "folders" else PurePosixPath(row[-1]).stem
                kept.append((picture_id, name, split))
        ids.extend(each for each, _, _ in kept)
        classes.extend(name for _, name, _ in kept)
        splits.extend(split for _, _, split in kept)
    found = ids.finish()
    if not len(found):
        raise DataError(
            f"{location!r} holds {len(paths)} pictures but no class folders", hint=EXPECTED_LAYOUT
        )
    class_names, labels = classes.finish(())
    return Layout(
        prefix=prefix,
        ids=found,
        labels=labels,
        class_names=class_names,
        given_splits=splits.finish() if has_splits else None,
        excluded=tuple(excluded),
    )


def _single_top(paths: Texts) -> str:
    """Return the folders that all paths have in common and that hold folders only, "" or ending in "/"."""
    prefix, first, last = "", paths[0], paths[-1]  # what both begin with all between begin with
    while True:
        longer = first[: first.find("/", len(prefix)) + 1]
        if len(longer) <= len(prefix) or not last.startswith(longer):
            return prefix
        if (
            min(path.count("/", len(prefix)) for path in paths) < 2
        ):  # the top folder, a folder in it, a picture
            return prefix
        prefix = longer


def _has_splits(paths: Texts, prefix: str, location: str) -> bool:
    rows = (path[len(prefix) :].partition("/") for path in paths)
    tops = {top for top, slash, _ in rows if slash}
    found = {SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    if len(found) < 2:
        return False
    if "train" in found:
        return True
    if all(top.lower() in SPLIT_NAMES for top in tops):
        raise DataError(f"{location!r} has folders for val and test but none for train", hint=EXPECTED_LAYOUT)
    return False
