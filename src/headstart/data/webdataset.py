"""WebDataset: tars in which the files of a sample bear one name, `0001.jpg` and `0001.cls` or `0001.json`."""

import json
import posixpath
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.core.errors import DataError, PictureError
from headstart.data.dataset import Exclusion, ImageDataset
from headstart.data.layout import read_layout
from headstart.data.names import is_picture_name
from headstart.data.patterns import splits_of
from headstart.data.sources import TarMember, TarSource
from headstart.data.storage import File, below, read_range
from headstart.data.tar import LABEL_SUFFIXES, TarEntry, tar_entries

Label: TypeAlias = int | str

CLASSES_FILE = "classes.txt"
"""Beside the tars: the classes' names, one a line, in the order of the numbers."""
_LABEL_KEYS = ("label", "class", "cls", "class_name", "category")
_MAX_CLASSES_BYTES = 2**24
_NUM_LISTED_AT_ONCE = 8
_EXPECTED = "expected beside each NAME.jpg a NAME.cls with its label, or a NAME.json with the key 'label'"


@dataclass(slots=True, kw_only=True)
class _Shard:
    """What lies in one tar; pictures and labels by their path in it, labels without suffix."""

    pictures: dict[str, TarMember] = field(default_factory=dict)
    labels: dict[str, Label | None] = field(default_factory=dict)
    excluded: list[Exclusion] = field(default_factory=list)
    num_passed_over: int = 0


def open_tars(shards: Mapping[str, File], *, name: str, location: str, root: File | None) -> ImageDataset:
    """Open the pictures in tars. Each tar is read through once, for the places of what lies in it.

    Samples have a label file beside the picture. A single tar without any is laid out by folders, as a zip
    is. What tars are called may tell splits: "train-000.tar", "val-000.tar".

    Args:
        shards: the tars, by name, ascending.
        name: of the data set.
        location: what the user gave.
        root: the folder where a file of class names may lie.

    Raises:
        DataError: a tar is damaged or means harm, or there are no pictures or no labels.
    """
    listed = dict(zip(shards, _listed(shards), strict=True))
    if not any(shard.pictures for shard in listed.values()):
        raise DataError(f"there are no pictures in {location!r}", hint=_EXPECTED)
    source = TarSource(shards=dict(shards), members={})
    if not any(shard.labels for shard in listed.values()):
        if len(listed) > 1:
            raise DataError(f"the tars {location!r} hold no labels", hint=_EXPECTED)
        return _by_folders(next(iter(listed.values())), source, name=name, location=location)
    return _by_labels(listed, source, name=name, location=location, known=_class_names(root))


def _listed(shards: Mapping[str, File]) -> Iterator[_Shard]:
    with ThreadPoolExecutor(_NUM_LISTED_AT_ONCE, thread_name_prefix="tar") as pool:
        yield from pool.map(_list_shard, shards, shards.values())


def _list_shard(name: str, file: File) -> _Shard:
    shard = _Shard()
    for entry in tar_entries(file):
        if is_picture_name(entry.name):
            if entry.reason:
                shard.excluded.append(Exclusion(id=entry.name, reason=entry.reason))
                continue
            if entry.name in shard.pictures:  # what unpacking would leave: the later one
                reason = "replaced by a later entry of the same name"
                shard.excluded.append(Exclusion(id=entry.name, reason=reason))
            shard.pictures[entry.name] = TarMember(
                shard=name, offset=entry.offset, size_bytes=entry.size_bytes
            )
        elif entry.name.lower().endswith(LABEL_SUFFIXES):
            _note_label(entry, shard.labels)
        else:
            shard.num_passed_over += 1
    return shard


def _note_label(entry: TarEntry, labels: dict[str, Label | None]) -> None:
    """Remember the label in a file; one in a .cls counts more than one in a .json."""
    stem, suffix = posixpath.splitext(entry.name)
    is_cls = suffix.lower() == ".cls"
    if is_cls or labels.get(stem) is None:
        labels[stem] = _label_in(entry.content, is_cls=is_cls)


def _label_in(content: bytes, *, is_cls: bool) -> Label | None:
    """Return the label that a file holds, None where it holds none."""
    try:
        if is_cls:
            text = content.decode("utf-8-sig").strip()
            return int(text) if text.isascii() and text.isdecimal() else text or None
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    values = [found[key] for key in _LABEL_KEYS if key in found] if isinstance(found, dict) else []
    usable = [each for each in values if isinstance(each, (int, str)) and not isinstance(each, bool)]
    return usable[0] if usable and usable[0] != "" else None


def _class_names(root: File | None) -> tuple[str, ...]:
    """Return the names in the file of class names; () where there is none."""
    if root is None:
        return ()
    try:
        text = read_range(below(root, CLASSES_FILE), 0, _MAX_CLASSES_BYTES).decode("utf-8-sig")
    except (PictureError, UnicodeDecodeError):
        return ()
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _by_folders(shard: _Shard, source: TarSource, *, name: str, location: str) -> ImageDataset:
    layout = read_layout(shard.pictures, location=location)
    return ImageDataset(
        name=name,
        location=location,
        ids=layout.ids,
        labels=layout.labels,
        class_names=layout.class_names,
        source=TarSource(
            shards=source.shards, members={each: shard.pictures[layout.prefix + each] for each in layout.ids}
        ),
        given_splits=layout.given_splits,
        excluded=layout.excluded + tuple(shard.excluded),
        num_passed_over=shard.num_passed_over,
    )


def _by_labels(
    listed: Mapping[str, _Shard], source: TarSource, *, name: str, location: str, known: tuple[str, ...]
) -> ImageDataset:
    members: dict[str, TarMember] = {}
    labels: list[Label] = []
    excluded: list[Exclusion] = []
    for tar, shard in listed.items():
        excluded += [Exclusion(id=f"{tar}/{each.id}", reason=each.reason) for each in shard.excluded]
        for path in sorted(shard.pictures):
            label = shard.labels.get(posixpath.splitext(path)[0])
            if reason := _why_no_class(label, known):
                excluded.append(Exclusion(id=f"{tar}/{path}", reason=reason))
            elif label is not None:
                members[f"{tar}/{path}"] = shard.pictures[path]
                labels.append(label)
    if not members:
        raise DataError(
            f"no picture in {location!r} has a label: {excluded[0].id}: {excluded[0].reason}", hint=_EXPECTED
        )
    class_names, numbers = number_labels(labels, known)
    splits = splits_of(listed, location)
    return ImageDataset(
        name=name,
        location=location,
        ids=tuple(members),
        labels=numbers,
        class_names=class_names,
        source=TarSource(shards=source.shards, members=members),
        given_splits=None if splits is None else tuple(splits[each.shard] for each in members.values()),
        excluded=tuple(excluded),
        num_passed_over=sum(shard.num_passed_over for shard in listed.values()),
    )


def _why_no_class(label: Label | None, known: tuple[str, ...]) -> str:
    if label is None:
        return "no .cls or .json with a label beside it"
    if isinstance(label, int) and known and not 0 <= label < len(known):
        return f"the label {label}, but {CLASSES_FILE} names {len(known)} classes"
    return ""


def number_labels(
    labels: list[Label], known: tuple[str, ...]
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Return the names of classes, and int64 of shape (N,): their numbers.

    Args:
        labels: N numbers or names.
        known: names by number; () where only the labels themselves are known: classes are then in order of
            number where all are numbers, else of name.
    """
    if known and all(isinstance(each, int) for each in labels):
        return known, np.array(labels, dtype=np.int64)
    if all(isinstance(each, int) for each in labels):
        names = [str(each) for each in sorted({int(each) for each in labels})]
    else:
        names = sorted({str(each) for each in labels})
    numbers = {each: number for number, each in enumerate(names)}
    return tuple(names), np.array([numbers[str(each)] for each in labels], dtype=np.int64)
