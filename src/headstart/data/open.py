"""Opening a data set, whatever it lies in, and listing pictures that have no labels."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from headstart.core.errors import DataError, InputError
from headstart.data.archive import list_zip
from headstart.data.dataset import ImageDataset, PictureSource
from headstart.data.folder import walk
from headstart.data.layout import EXPECTED_LAYOUT, ClassesFrom, read_layout
from headstart.data.named import canonical_name, known_names, open_named
from headstart.data.names import is_left_by_system, is_picture_name, printable
from headstart.data.sources import FileSource, JoinedSource, ZipSource
from headstart.data.table import open_csv

_TABLE_SUFFIXES = (".csv", ".tsv", ".txt")


def open_dataset(location: str | Path, *, name: str | None = None) -> ImageDataset:
    """Open a data set of labelled pictures. No picture is read yet.

    Args:
        location: a folder of class folders, or of train/, val/ and test/ with class folders inside; a zip of
            either, which is read without unpacking it; a CSV with the columns path,label[,split]; or a known
            name: "digits", "cifar10", and other classification sets of torchvision. What exists as a file
            or folder is never taken for a name.
        name: of the data set; by default the folder's or file's own.

    Returns:
        The pictures with labels, ordered by id. One class, or few pictures, are no error here: `split` minds.

    Raises:
        InputError: there is no such file, folder or name.
        DataError: it holds no pictures, or they cannot be told into classes, or the zip or CSV is broken.

    Example:
        >>> digits = open_dataset("digits")
        >>> len(digits), digits.num_classes
        (1797, 10)
    """
    return _open(location, name, "folders")


def open_by_file_names(location: str | Path) -> ImageDataset | None:
    """Open a folder or zip in which the pictures' own names tell their classes. No picture is read yet.

    Args:
        location: a folder or zip, in which folders called train, val and test are splits and others mean
            nothing.

    Returns:
        The pictures, each in a class that is called as its file is, without the suffix; None where `location`
        is a table or a known name, which say themselves what the classes are.

    Raises:
        InputError: there is no such file or folder.
        DataError: it holds no pictures, or the zip is broken.
    """
    path = Path(location).expanduser()
    if path.is_dir() or path.suffix.lower() == ".zip":
        return _open(location, None, "file names")
    return None


def _open(location: str | Path, name: str | None, classes_from: ClassesFrom) -> ImageDataset:
    path = Path(location).expanduser()
    if not os.path.lexists(path):
        known = canonical_name(str(location))
        if isinstance(location, str) and known in known_names():
            return open_named(known, title=name or known)
        raise _nothing_there(location)
    title = name or printable(path.absolute().stem if path.is_file() else path.resolve().name) or "pictures"
    text = printable(str(location))
    if path.is_dir():
        return _open_folder(path, name=title, location=text, classes_from=classes_from)
    if path.suffix.lower() == ".zip":
        return _open_zip(path, name=title, location=text, classes_from=classes_from)
    if path.suffix.lower() in _TABLE_SUFFIXES:
        return open_csv(path, name=title, location=text)
    raise InputError(
        f"{text!r} is neither a folder nor a zip nor a CSV",
        hint=f"{EXPECTED_LAYOUT}; or a zip of that; or a CSV with the columns path,label",
    )


def _open_folder(path: Path, *, name: str, location: str, classes_from: ClassesFrom) -> ImageDataset:
    files = list(walk(path))
    pictures = [file for file in files if is_picture_name(file)]
    if not pictures:
        tables = [file for file in files if file.lower().endswith(".csv") and "/" not in file]
        hint = f"did you mean the table in it, {str(path / tables[0])!r}?" if tables else EXPECTED_LAYOUT
        raise DataError(f"there are no pictures in {location!r} ({len(files)} other files)", hint=hint)
    real_names = {printable(file): file for file in pictures}
    layout = read_layout(real_names, location=location, classes_from=classes_from)
    depth = layout.prefix.count("/")
    root = path.joinpath(*pictures[0].split("/")[:depth]).absolute()
    renamed = {
        _below(shown, depth): _below(real, depth) for shown, real in real_names.items() if shown != real
    }
    return ImageDataset(
        name=name,
        location=location,
        ids=layout.ids,
        labels=layout.labels,
        class_names=layout.class_names,
        source=FileSource(root=root, renamed=renamed),
        given_splits=layout.given_splits,
        excluded=layout.excluded,
        num_passed_over=len(files) - len(pictures),
    )


def _open_zip(path: Path, *, name: str, location: str, classes_from: ClassesFrom) -> ImageDataset:
    listing = list_zip(path)
    if not listing.members:
        raise DataError(
            f"there are no pictures in {location!r} ({listing.num_passed_over} other files)",
            hint=EXPECTED_LAYOUT,
        )
    layout = read_layout(listing.members, location=location, classes_from=classes_from)
    return ImageDataset(
        name=name,
        location=location,
        ids=layout.ids,
        labels=layout.labels,
        class_names=layout.class_names,
        source=ZipSource(
            path=path.absolute(), members={each: listing.members[layout.prefix + each] for each in layout.ids}
        ),
        given_splits=layout.given_splits,
        excluded=layout.excluded + listing.excluded,
        num_passed_over=listing.num_passed_over,
    )


def list_pictures(paths: Sequence[str | Path]) -> tuple[tuple[str, ...], PictureSource]:
    """List pictures without labels, to predict or embed them.

    Args:
        paths: files, which are taken whatever their suffix; folders, searched at any depth; and zips.

    Returns:
        The pictures' ids and what they are read from. An id is the path as given, with the path inside a
        folder or zip behind it; each occurs once, in the order of `paths`, and ascending inside each.

    Raises:
        InputError: a path does not exist, or no path is given.
        DataError: a folder or zip holds no pictures, or a zip is broken.
    """
    if not paths:
        raise InputError("no pictures are given", hint="give files, folders or zips")
    sources: list[PictureSource] = []
    places: dict[str, tuple[int, str]] = {}
    for given in paths:
        path = Path(given).expanduser()
        if not os.path.lexists(path):
            raise _nothing_there(given)
        shown = printable(path.as_posix())
        if path.is_dir():
            found = sorted(file for file in walk(path) if is_picture_name(file))
            sources.append(FileSource(root=path.absolute()))
            inner = {f"{shown}/{printable(file)}": file for file in found}
        elif path.suffix.lower() == ".zip":
            members = list_zip(path).members
            sources.append(ZipSource(path=path.absolute(), members=members))
            inner = {f"{shown}/{file}": file for file in sorted(members)}
        else:
            sources.append(FileSource(root=path.parent.absolute()))
            inner = {shown: path.name}
        if not inner:
            raise DataError(
                f"there are no pictures in {shown!r}", hint="give files, folders or zips of pictures"
            )
        for picture_id, real in inner.items():
            places.setdefault(picture_id, (len(sources) - 1, real))
    return tuple(places), JoinedSource(sources=tuple(sources), places=places)


def _below(path: str, depth: int) -> str:
    return "/".join(path.split("/")[depth:])


def _nothing_there(location: str | Path) -> InputError:
    """The error for a path that does not exist, with what may have been meant."""
    path = Path(location).expanduser()
    try:
        with os.scandir(path.parent) as entries:
            beside = [entry.name for entry in entries if not is_left_by_system(entry.name)]
    except OSError:
        beside = []
    near = difflib.get_close_matches(path.name, beside, n=1)
    meant = [str(path.parent / name) for name in near]
    if isinstance(location, str):
        meant += difflib.get_close_matches(canonical_name(location), known_names(), n=1, cutoff=0.75)
    return InputError(
        f"there is no file or folder {printable(str(location))!r}",
        hint=f"did you mean {' or '.join(map(repr, meant))}?" if meant else "",
    )
