"""Pictures without labels, found while they are asked for: any number of them takes no more memory."""

import os
import posixpath
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np

from headstart.core.digest import digest_bytes
from headstart.core.errors import DataError, InputError, NoAnswerError, PictureError
from headstart.data.archive import list_zip
from headstart.data.dataset import ImageDataset, PictureSource, RawPicture
from headstart.data.names import is_picture_name, printable
from headstart.data.open import nothing_there
from headstart.data.parquet import ParquetShard, open_shard, picture_ids, read_row
from headstart.data.patterns import find_files, is_pattern
from headstart.data.remote import check_address, is_address, join, read_whole_address
from headstart.data.sources import MAX_FILE_BYTES, FileSource, TarMember, TarSource, ZipSource
from headstart.data.storage import File, below, file_at, suffix_of, walk_files
from headstart.data.tar import tar_entries

_SHARD_SUFFIXES = (".tar", ".parquet")
_HUB = "hf://"
_WHAT = "give files, folders, zips, tars or Parquet files of pictures"
_NUM_LISTED_TARS, _NUM_OPENED_PARQUETS = 4, 16
"""Of how many shards it is held where their pictures lie; those of others are listed again when read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSource:
    """Pictures whose ids are their paths or addresses.

    Attributes:
        files: reads those that are files here.
        zips: by the path that ids of their pictures begin with.
        shards: tars and Parquet files, by the path that ids of their pictures begin with.
        signed: whole addresses, by how they are called where a signature must not be seen.
    """

    files: FileSource
    zips: dict[str, ZipSource] = field(default_factory=dict)
    shards: dict[str, File] = field(default_factory=dict, repr=False)
    signed: dict[str, str] = field(default_factory=dict, repr=False)

    def read(self, picture_id: str) -> RawPicture:
        """Return the picture at a path. Raises PictureError and NoAnswerError as other sources do."""
        for path in _folders_of(picture_id) if self.zips or self.shards else ():
            if path in self.zips:
                return self.zips[path].read(picture_id[len(path) + 1 :])
            if path in self.shards:
                return _read_in_shard(self.shards[path], picture_id[len(path) + 1 :])
        if is_address(picture_id):
            return read_whole_address(self.signed.get(picture_id, picture_id), MAX_FILE_BYTES)
        return self.files.read(picture_id)


def stream_pictures(paths: Iterable[str | Path]) -> tuple[Iterator[str], PictureSource]:
    """Find pictures without labels, to predict them.

    Args:
        paths: files, which are taken whatever their suffix; folders, searched at any depth; zips, tars and
            Parquet files; patterns of these, "shard-{000..123}.tar"; and addresses of all that fsspec
            reaches. A folder in which a tar or Parquet file comes before any picture is one of such files. A
            sequence is checked at once, and no picture in it occurs twice; of anything else, such as the
            lines of a pipe, one path after the other is looked at, and each is taken as it comes.

    Returns:
        The pictures' ids, in the order of `paths` and ascending inside each (in a tar, as they lie there),
        and what they are read from. An id is the path as given, with the path inside a folder, zip or tar or
        the row of a Parquet file behind it; it need not be printable.

    Raises:
        InputError: of a sequence, a path does not exist, or there is none; or an address cannot be used.
        DataError: of a sequence, something holds no pictures or cannot be listed, or is broken.
    """
    source = PathSource(files=FileSource(root=Path.cwd()))
    if isinstance(paths, Sequence):
        if not paths:
            raise InputError("no pictures are given", hint=_WHAT)
        return _without_repeats([each for path in paths for each in _found_at(path, source)]), source
    return chain.from_iterable(_pictures_or_path(file_at(path), source) for path in paths), source


def unlabelled(ids: Sequence[str], source: PictureSource) -> ImageDataset:
    """Return pictures without labels as a data set of one class without a name."""
    return ImageDataset(
        name="pictures",
        location="",
        ids=tuple(ids),
        labels=np.zeros(len(ids), np.int64),
        class_names=("",),
        source=source,
    )


def _found_at(path: str | Path, source: PathSource) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the files that a path or pattern names, as text, and the ids of the pictures in each.

    Of a pattern the first file is looked at at once; the others are when they are asked for. What exists is
    no pattern.
    """
    file = file_at(path)
    if is_pattern(path) and (isinstance(file, str) or not os.path.lexists(file)):
        file, *others = find_files(str(path))[1].values()
        yield _pictures_in(file, source)
        yield from ((_name(each, source), _ids_in(each, source)) for each in others)
    else:
        yield _pictures_in(file, source)


def _pictures_in(file: File, source: PathSource) -> tuple[str, Iterator[str]]:
    """Return a path as text, and the ids of the pictures there, of which there are some.

    Raises:
        InputError: the path does not exist, or the address cannot be used.
        DataError: it holds no pictures, or cannot be listed.
    """
    if isinstance(file, str):
        check_address(file)
    elif not os.path.lexists(file):
        raise nothing_there(file)
    shown, ids = _name(file, source), _ids_in(file, source)
    first = next(ids, None)
    if first is None:
        raise DataError(f"there are no pictures in {printable(shown)!r}", hint=_WHAT)
    if suffix_of(file) in _SHARD_SUFFIXES:  # begun anew when it is its turn, for it holds an open file
        return shown, _ids_in(file, source)
    return shown, chain((first,), ids)


def _pictures_or_path(file: File, source: PathSource) -> Iterator[str]:
    """Return the ids of the pictures at a path, or the path itself: reading tells what is wrong."""
    if isinstance(file, str):
        check_address(file)
    elif not file.is_dir() and suffix_of(file) not in (".zip", *_SHARD_SUFFIXES):
        return iter((file.as_posix(),))
    with suppress(InputError, DataError):
        return _pictures_in(file, source)[1]
    return iter((_name(file, source),))


def _name(file: File, source: PathSource) -> str:
    """Return how a path is called in ids. What an address has behind "?" becomes a digest of it."""
    if isinstance(file, Path):
        return file.as_posix()
    address, mark, query = file.rstrip("/").partition("?")
    if not mark:
        return address
    name = f"{address}?{digest_bytes(query.encode())[:12]}"
    source.signed[name] = file
    return name


def _ids_in(file: File, source: PathSource) -> Iterator[str]:
    """Yield the ids of the pictures at a path; what is no folder and holds no others is one itself."""
    name, suffix = _name(file, source), suffix_of(file)
    if _is_folder(file):
        yield from _ids_in_folder(file, source)
    elif suffix == ".zip":
        path = file if isinstance(file, str) else file.absolute()
        source.zips[name] = ZipSource(path=path, members=list_zip(file).members)
        yield from (f"{name}/{each}" for each in sorted(source.zips[name].members))
    elif suffix in _SHARD_SUFFIXES:
        source.shards[name] = file if isinstance(file, str) else file.absolute()
        yield from _ids_in_shard(file, name)
    else:
        yield name


def _is_folder(file: File) -> bool:
    if isinstance(file, Path):
        return file.is_dir()
    is_file = "?" in file or is_picture_name(file) or suffix_of(file) in (".zip", *_SHARD_SUFFIXES)
    return file.endswith("/") or not is_file


def _ids_in_folder(folder: File, source: PathSource) -> Iterator[str]:
    """Yield the ids of the pictures in a folder, or of those in its tars and Parquet files."""
    kinds = (_is_shard(name) for name in walk_files(folder) if is_picture_name(name) or _is_shard(name))
    on_hub = isinstance(folder, str) and folder.startswith(_HUB)
    of_shards = any(kinds) if on_hub else next(kinds, False)  # the hub shows pictures beside data
    for name in walk_files(folder):
        if of_shards and _is_shard(name):
            yield from _ids_in(below(folder, name), source)
        elif not of_shards and is_picture_name(name):
            yield join(folder, name) if isinstance(folder, str) else f"{folder.as_posix()}/{name}"


def _is_shard(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in _SHARD_SUFFIXES


def _ids_in_shard(file: File, name: str) -> Iterator[str]:
    if suffix_of(file) == ".parquet":
        return picture_ids(name, open_shard(file))
    return (f"{name}/{entry.name}" for entry in tar_entries(file) if is_picture_name(entry.name))


_one_lists = threading.Lock()
"""Threads that need the same shard wait for the one that lists it."""


def _read_in_shard(file: File, inner: str) -> RawPicture:
    """Return a picture of a tar or Parquet file."""
    try:
        with _one_lists:
            shard = _parquet_shard(file) if suffix_of(file) == ".parquet" else _tar_source(file)
    except NoAnswerError:
        raise
    except DataError as error:
        raise PictureError(error.message) from error
    if isinstance(shard, ParquetShard):
        return read_row(shard, int(inner))
    if inner not in shard.members:
        raise PictureError("a link or no regular file in the tar")
    return shard.read(inner)


@lru_cache(maxsize=_NUM_OPENED_PARQUETS)
def _parquet_shard(file: File) -> ParquetShard:
    return open_shard(file)


@lru_cache(maxsize=_NUM_LISTED_TARS)
def _tar_source(file: File) -> TarSource:
    members = {
        entry.name: TarMember(shard="", offset=entry.offset, size_bytes=entry.size_bytes)
        for entry in tar_entries(file)
        if is_picture_name(entry.name) and not entry.reason
    }
    return TarSource(shards={"": file}, members=members)


def _without_repeats(found: Sequence[tuple[str, Iterator[str]]]) -> Iterator[str]:
    """Yield all ids but those that lie at, or in, a path whose pictures came before."""
    before: set[str] = set()
    for shown, ids in found:
        for each in ids:
            if each not in before and before.isdisjoint(_folders_of(each)):
                yield each
        before.add(shown)


def _folders_of(path: str) -> Iterator[str]:
    """Yield the paths that a path lies in, the longest first."""
    while (end := path.rfind("/", 0, len(path))) > 0:
        path = path[:end]
        yield path
