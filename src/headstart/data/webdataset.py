"""WebDataset: tars in which the files of a sample bear one name, `0001.jpg` and `0001.cls` or `0001.json`."""

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from headstart.core.errors import DataError, PictureError
from headstart.data.columns import ColumnWriter, Texts, TextsWriter
from headstart.data.dataset import Exclusion, ImageDataset
from headstart.data.labels import Label, LabelsWriter
from headstart.data.layout import read_layout
from headstart.data.names import is_picture_name
from headstart.data.patterns import splits_of
from headstart.data.sources import TarMembers, TarSource
from headstart.data.storage import File, below, read_range
from headstart.data.tar import LABEL_SUFFIXES, TarEntry, tar_entries
from headstart.data.workers import in_threads

CLASSES_FILE = "classes.txt"
"""Beside the tars: the classes' names, one a line, in the order of the numbers."""
_LABEL_KEYS = ("label", "class", "cls", "class_name", "category")
_MAX_CLASSES_BYTES = 2**24
_NUM_LISTED_AT_ONCE = 8
_EXPECTED = "expected beside each NAME.jpg a NAME.cls with its label, or a NAME.json with the key 'label'"


@dataclass(slots=True, kw_only=True)
class _Shard:
    """What lies in one tar: offset and size of pictures by path, labels by that without suffix."""

    pictures: dict[str, tuple[int, int]] = field(default_factory=dict)
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
    labelled = _Labelled(shards, _class_names(root))
    listed = in_threads(_list_shard, shards.values(), num_threads=_NUM_LISTED_AT_ONCE)
    for number, (tar, shard) in enumerate(zip(shards, listed, strict=True)):
        if len(shards) == 1 and shard.pictures and not shard.labels:
            return _by_folders(shard, tar, shards[tar], name=name, location=location)
        labelled.add(number, tar, shard)
    return labelled.dataset(name=name, location=location)


def _list_shard(file: File) -> _Shard:
    shard = _Shard()
    for entry in tar_entries(file):
        if is_picture_name(entry.name):
            if entry.reason:
                shard.excluded.append(Exclusion(id=entry.name, reason=entry.reason))
                continue
            if entry.name in shard.pictures:  # what unpacking would leave: the later one
                reason = "replaced by a later entry of the same name"
                shard.excluded.append(Exclusion(id=entry.name, reason=reason))
            shard.pictures[entry.name] = entry.offset, entry.size_bytes
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


def _by_folders(shard: _Shard, tar: str, file: File, *, name: str, location: str) -> ImageDataset:
    layout = read_layout(Texts.of(sorted(shard.pictures)), location=location)
    ids = layout.ids
    places = np.array([(0, *shard.pictures[layout.prefix + each]) for each in ids], np.int64)
    return ImageDataset(
        name=name,
        location=location,
        ids=ids,
        labels=layout.labels,
        class_names=layout.class_names,
        source=TarSource(shards={tar: file}, members=TarMembers(ids, (tar,), places)),
        given_splits=layout.given_splits,
        excluded=layout.excluded + tuple(shard.excluded),
        num_passed_over=shard.num_passed_over,
    )


class _Labelled:
    """The labelled pictures of many tars, packed tar by tar."""

    def __init__(self, shards: Mapping[str, File], known: tuple[str, ...]) -> None:
        self._shards = shards
        self._known = known
        self._ids, self._labels = TextsWriter(), LabelsWriter()
        self._places = ColumnWriter(np.int64, (3,))
        self._excluded: list[Exclusion] = []
        self._num_passed_over = self._num_pictures = self._num_labels = 0

    def add(self, number: int, tar: str, shard: _Shard) -> None:
        """Add what lies in the tar of this number and name."""
        self._excluded += [Exclusion(id=f"{tar}/{each.id}", reason=each.reason) for each in shard.excluded]
        self._num_passed_over += shard.num_passed_over
        self._num_pictures += len(shard.pictures)
        self._num_labels += len(shard.labels)
        kept: list[str] = []
        labels: list[Label] = []
        for path in sorted(shard.pictures):
            label = shard.labels.get(posixpath.splitext(path)[0])
            if reason := _why_no_class(label, self._known):
                self._excluded.append(Exclusion(id=f"{tar}/{path}", reason=reason))
            elif label is not None:
                kept.append(path)
                labels.append(label)
        self._ids.extend(f"{tar}/{path}" for path in kept)
        self._labels.extend(labels)
        self._places.write([(number, *shard.pictures[path]) for path in kept])

    def dataset(self, *, name: str, location: str) -> ImageDataset:
        """Return the pictures. Raises DataError where there are none, or none has a label."""
        if not self._num_pictures:
            raise DataError(f"there are no pictures in {location!r}", hint=_EXPECTED)
        if not self._num_labels:
            raise DataError(f"the tars {location!r} hold no labels", hint=_EXPECTED)
        ids, places = self._ids.finish(), self._places.finish()
        if not len(ids):
            first = self._excluded[0]
            raise DataError(
                f"no picture in {location!r} has a label: {first.id}: {first.reason}", hint=_EXPECTED
            )
        class_names, labels = self._labels.finish(self._known)
        tars = tuple(self._shards)
        splits = splits_of(tars, location)
        return ImageDataset(
            name=name,
            location=location,
            ids=ids,
            labels=labels,
            class_names=class_names,
            source=TarSource(shards=dict(self._shards), members=TarMembers(ids, tars, places)),
            given_splits=None
            if splits is None
            else Texts.of(splits[tars[number]] for number in places[:, 0]),
            excluded=tuple(self._excluded),
            num_passed_over=self._num_passed_over,
        )


def _why_no_class(label: Label | None, known: tuple[str, ...]) -> str:
    if label is None:
        return "no .cls or .json with a label beside it"
    if isinstance(label, int) and known and not 0 <= label < len(known):
        return f"the label {label}, but {CLASSES_FILE} names {len(known)} classes"
    return ""
