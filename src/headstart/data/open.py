"""Opening a data set, whatever it lies in."""

import difflib
import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from headstart.core.errors import DataError, InputError
from headstart.data.archive import list_zip
from headstart.data.columns import Texts, TextsWriter
from headstart.data.dataset import ImageDataset
from headstart.data.layout import EXPECTED_LAYOUT, ClassesFrom, read_layout
from headstart.data.named import canonical_name, known_names, open_named
from headstart.data.names import is_left_by_system, is_picture_name, printable
from headstart.data.parquet import open_parquet
from headstart.data.patterns import find_files, is_pattern
from headstart.data.remote import check_address
from headstart.data.sources import FileSource, RemoteSource, ZipSource
from headstart.data.storage import File, below, file_at, name_of, suffix_of, walk_files
from headstart.data.table import TABLE_SUFFIXES, open_csv
from headstart.data.webdataset import open_tars

_TAR_SUFFIXES = frozenset({".tar", ".tgz", ".gz", ".xz", ".bz2", ".zst"})
_PARQUET_SUFFIX = ".parquet"
_SHARD_SUFFIXES = _TAR_SUFFIXES | {_PARQUET_SUFFIX}


def open_dataset(location: str | Path, *, name: str | None = None) -> ImageDataset:
    """Open a data set of labelled pictures. No picture is read yet.

    Args:
        location: a folder of class folders, or of train/, val/ and test/ with class folders inside; a zip or
            tar of either, which is read without unpacking it; a CSV with the columns path,label[,split];
            WebDataset tars or Parquet files with pictures, also several as a folder of them or a pattern,
            "shard-{000..123}.tar", "train-*.parquet". Each may be an address that fsspec reaches, such as
            "s3://bucket/flowers/". Or a known name: "digits", "cifar10", and other classification sets of
            torchvision. What exists as a file or folder is never taken for a name.
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
    file = file_at(location)
    if suffix_of(file) == ".zip" or _is_folder(file):
        return _open(location, None, "file names")
    return None


def _open(location: str | Path, name: str | None, classes_from: ClassesFrom) -> ImageDataset:
    file = file_at(location)
    if isinstance(file, str):
        check_address(file)
    elif not os.path.lexists(file) and not is_pattern(location):
        known = canonical_name(str(location))
        if isinstance(location, str) and known in known_names():
            return open_named(known, title=name or known)
        raise nothing_there(location)
    text = name_of(file) if isinstance(file, str) else printable(str(location))
    suffix = suffix_of(file)
    if is_pattern(location) and (isinstance(file, str) or not os.path.lexists(file)):
        root, files = find_files(str(location))
        return _open_shards(files, name=name or _title(root), location=text, root=root)
    title = name or _title(file)
    if suffix in _SHARD_SUFFIXES and not _is_folder(file):
        shards = {printable(posixpath.basename(name_of(file).partition("?")[0].replace(os.sep, "/"))): file}
        return _open_shards(shards, name=title, location=text, root=_parent(file))
    if _is_folder(file):
        return _open_folder(file, name=title, location=text, classes_from=classes_from)
    if suffix == ".zip":
        return _open_zip(file, name=title, location=text, classes_from=classes_from)
    if suffix in TABLE_SUFFIXES:
        return open_csv(file, name=title, location=text)
    raise InputError(
        f"{text!r} is neither a folder nor a zip nor a CSV",
        hint=f"{EXPECTED_LAYOUT}; or a zip or tar of that; or a CSV with the columns path,label",
    )


def _is_folder(file: File) -> bool:
    """Whether pictures lie below it; of an address its suffix must tell."""
    if isinstance(file, str):
        return file.endswith("/") or suffix_of(file) not in (".zip", *TABLE_SUFFIXES, *_SHARD_SUFFIXES)
    return file.is_dir()


def _title(file: File) -> str:
    if isinstance(file, str):
        last = posixpath.basename(file.partition("?")[0].rstrip("/"))
        return (last if _is_folder(file) else posixpath.splitext(last)[0]) or "pictures"
    return printable(file.absolute().stem if file.is_file() else file.resolve().name) or "pictures"


def _parent(file: File) -> File | None:
    """Return the folder that a file lies in; None of a signed address, whose signature holds for it alone."""
    if isinstance(file, Path):
        return file.parent
    return None if "?" in file else file.rpartition("/")[0]


def _open_shards(files: Mapping[str, File], *, name: str, location: str, root: File | None) -> ImageDataset:
    """Open tars or Parquet files. Raises InputError where they are neither, or both."""
    suffixes = {suffix_of(file) for file in files.values()}
    if suffixes == {_PARQUET_SUFFIX}:
        return open_parquet(files, name=name, location=location)
    if suffixes <= _TAR_SUFFIXES:
        return open_tars(files, name=name, location=location, root=root)
    raise InputError(
        f"{location!r} names files of the kinds {', '.join(sorted(suffixes)) or 'none'}",
        hint="expected tars alone or Parquet files alone: FOLDER/shard-*.tar, FOLDER/train-*.parquet",
    )


def _open_folder(path: File, *, name: str, location: str, classes_from: ClassesFrom) -> ImageDataset:
    listed = _Listed.of(path)
    pictures, shards = listed.pictures, {file: below(path, file) for file in listed.shards}
    # A repository of the hub may show pictures beside its data.
    if shards and (not pictures or name_of(path).startswith("hf://")):
        return _open_shards(shards, name=name, location=location, root=path)
    if not pictures:
        hint = EXPECTED_LAYOUT
        if listed.tables:
            hint = f"did you mean the table in it, {name_of(below(path, listed.tables[0]))!r}?"
        raise DataError(f"there are no pictures in {location!r} ({listed.num_others} other files)", hint=hint)
    odd = {printable(file): file for file in pictures if printable(file) != file}
    paths = Texts.of(sorted(set(map(printable, pictures)))) if odd else pictures
    layout = read_layout(paths, location=location, classes_from=classes_from)
    depth = layout.prefix.count("/")
    root = below(path, "/".join(pictures[0].split("/")[:depth]))
    renamed = {_below(shown, depth): _below(real, depth) for shown, real in odd.items()}
    source = (
        RemoteSource(root=root)
        if isinstance(root, str)
        else FileSource(root=root.absolute(), renamed=renamed)
    )
    return ImageDataset(
        name=name,
        location=location,
        ids=layout.ids,
        labels=layout.labels,
        class_names=layout.class_names,
        source=source,
        given_splits=layout.given_splits,
        excluded=layout.excluded,
        num_passed_over=listed.num_others,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Listed:
    """What lies in a folder, by path below it.

    Attributes:
        pictures: ascending.
        shards: tars and Parquet files.
        tables: directly in it.
        num_others: how many files are not pictures by their name.
    """

    pictures: Texts
    shards: list[str]
    tables: list[str]
    num_others: int

    @classmethod
    def of(cls, folder: File) -> "_Listed":
        """Walk through a folder. Raises DataError where one in it cannot be listed."""
        pictures, num_others = TextsWriter(), 0
        shards: list[str] = []
        tables: list[str] = []

        def walk_pictures() -> Iterator[str]:
            nonlocal num_others
            for file in walk_files(folder):
                if is_picture_name(file):
                    yield file
                    continue
                num_others += 1
                suffix = posixpath.splitext(file)[1].lower()
                if suffix in (".tar", _PARQUET_SUFFIX):
                    shards.append(file)
                elif suffix == ".csv" and "/" not in file:
                    tables.append(file)

        pictures.extend(walk_pictures())
        return cls(pictures=pictures.finish(), shards=shards, tables=tables, num_others=num_others)


def _open_zip(path: File, *, name: str, location: str, classes_from: ClassesFrom) -> ImageDataset:
    listing = list_zip(path)
    if not listing.members:
        raise DataError(
            f"there are no pictures in {location!r} ({listing.num_passed_over} other files)",
            hint=EXPECTED_LAYOUT,
        )
    paths = Texts.of(sorted(listing.members))
    layout = read_layout(paths, location=location, classes_from=classes_from)
    return ImageDataset(
        name=name,
        location=location,
        ids=layout.ids,
        labels=layout.labels,
        class_names=layout.class_names,
        source=ZipSource(
            path=path if isinstance(path, str) else path.absolute(),
            members={each: listing.members[layout.prefix + each] for each in layout.ids},
        ),
        given_splits=layout.given_splits,
        excluded=layout.excluded + listing.excluded,
        num_passed_over=listing.num_passed_over,
    )


def _below(path: str, depth: int) -> str:
    return "/".join(path.split("/")[depth:])


def nothing_there(location: str | Path) -> InputError:
    """Return the error for a path that does not exist, with what may have been meant."""
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
