"""`write_cleaned`: a table of the pictures that are left when what an audit found is taken out."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.audit.pictures import Audit
from headstart.core.errors import InputError
from headstart.core.files import atomic_path
from headstart.core.spreadsheet import write_rows
from headstart.data import ImageDataset
from headstart.data.sources import FileSource

_REMOVED = ".removed.csv"
_WORTH_MOST = ("test", "val", "train")
"""Of copies in different splits the one that judges is kept, and training does without."""


def write_cleaned(found: Audit, dataset: ImageDataset, path: Path) -> Path:
    """Write a CSV of the pictures that are sound, and beside it one of the others with their reasons.

    Left out are pictures that cannot be read, all but one of the same content, all of the same content with
    different labels, near duplicates of what lies in a split that judges, and pictures of one colour or tiny
    ones. Labels that may be wrong stay: a probe doubts what is hard, and the hard pictures are needed. No
    picture is touched.

    Args:
        found: the audit of `dataset`.
        dataset: whose pictures are files.
        path: the CSV, with the columns path,label[,split]; paths start at its folder.

    Returns:
        The path of the other CSV, "NAME.removed.csv".

    Raises:
        InputError: the pictures are not files, or a file of that name is there already.
        StorageError: a file cannot be written.
    """
    source = check_cleanable(dataset, path)
    removed_path = path.with_suffix(_REMOVED)
    removed = {each.id: each.reason for each in found.excluded} | dict(_removals(found, dataset))
    splits: Sequence[str] | None = dataset.given_splits
    rows, others = [], []
    for index, picture_id in enumerate(dataset.ids):
        label = dataset.class_names[dataset.labels[index]]
        file = os.path.join(source.root, source.renamed.get(picture_id, picture_id))
        row = [_relative(file, path.parent), label, *([splits[index]] if splits else [])]
        reason = removed.get(picture_id) or _why_not_text(file)
        if reason:
            others.append([picture_id, label, reason])
        else:
            rows.append(row)
    header = ["path", "label", *(["split"] if splits else [])]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([header, *rows])
    with atomic_path(removed_path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        write_rows(out, [["path", "label", "reason"], *others])
    return removed_path


def check_cleanable(dataset: ImageDataset, path: Path) -> FileSource:
    """Return what the pictures are read from, where a table of them can be written to `path`.

    Raises:
        InputError: the pictures are not files, or a file of that name is there already.
    """
    if not isinstance(dataset.source, FileSource):
        raise InputError(
            f"{dataset.location!r} does not hold its pictures as files, which a table could list",
            hint="unpack it, and check the folder",
        )
    for each in (path, path.with_suffix(_REMOVED)):
        if each.exists():
            raise InputError(f"{str(each)!r} is there already", hint="give another name, or remove it")
    return dataset.source


def _removals(found: Audit, dataset: ImageDataset) -> Iterator[tuple[str, str]]:
    """Yield what is left out though it can be read, with reasons; what comes later counts more."""
    split_of = dict(zip(dataset.ids, dataset.given_splits or (), strict=False))

    def worth(picture_id: str) -> int:
        return _WORTH_MOST.index(split_of.get(picture_id, "train"))

    deep = found.deep
    if deep is not None:
        for suspect in deep.suspects:
            if not suspect.reason.startswith("a strip"):
                yield suspect.id, suspect.reason
        for group in deep.near_duplicates.across_splits:
            best = min(group, key=worth)
            for each in group:
                if worth(each) > worth(best):
                    yield each, f"nearly the same as {best} in {split_of[best]}"
    for group in found.duplicates:
        best = min(group, key=worth)
        for each in group:
            if each != best:
                yield each, f"same content as {best}"
    for group in found.conflicts:
        for each in group:
            yield each, "same content under different labels"


def _relative(file: str, folder: Path) -> str:
    """Return a file's path from a folder; it begins with a dot, which no spreadsheet takes for a formula."""
    path = os.path.relpath(file, folder).replace(os.sep, "/")
    return path if path.startswith("../") else f"./{path}"


def _why_not_text(file: str) -> str:
    """Return why a path cannot stand in a table, "" where it can."""
    try:
        file.encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    return "" if "\n" not in file and "\r" not in file else "the name has a line break"
