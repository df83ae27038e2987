"""The user's own rows: the JSON file that ``HEADSTART_CATALOG`` names.

A list of rows such as::

    [{"name": "mine/flowers", "architecture": "timm/resnet50", "file": "flowers.safetensors",
      "num_classes": 12, "preprocessing": {"input_size": [160, 160]}}]

``architecture`` is a name of the catalogue, whose row gives everything that this one leaves out: family,
paper and preprocessing. ``file`` is read from the JSON file's folder; ``sources`` in its place is a list of
``[kind, location, filename]``. `num_classes` may be left out: the model room then looks at the tensors.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.catalog.entry import ModelEntry, Preprocessing, WeightsEntry, WeightsSource
from headstart.catalog.rows import resolve, to_entry
from headstart.catalog.side_by_side import SIGN
from headstart.core.errors import InputError
from headstart.core.records import read_json

CATALOG_VARIABLE = "HEADSTART_CATALOG"


def user_entries() -> list[ModelEntry]:
    """Return the user's own rows in their order, none where ``HEADSTART_CATALOG`` is not set.

    Raises:
        InputError: a row cannot be used; the message names the file, the row and the field.
        StorageError: the file cannot be read or is not JSON.
    """
    chosen = os.environ.get(CATALOG_VARIABLE)
    if not chosen:
        return []
    path = Path(chosen).expanduser().absolute()
    rows = read_json(path)
    if not isinstance(rows, list):
        raise InputError(f"{path} holds {_shown(rows)}; expected a list of rows", hint=_HINT)
    entries: dict[str, ModelEntry] = {}
    for number, row in enumerate(rows, start=1):
        entry = _RowReader(path, number, row).entry()
        if entry.name in entries:
            raise InputError(f"{path}, row {number}, field 'name': {entry.name!r} stands in an earlier row")
        entries[entry.name] = entry
    return list(entries.values())


def checkpoint_entry(base: ModelEntry, path: Path, *, name: str) -> ModelEntry:
    """Return the row of a user's own weights file for a known architecture.

    Args:
        base: a row of that architecture; family, paper and preprocessing are taken from it.
        path: the weights file.
        name: the full name of the new row.
    """
    weights = WeightsEntry(
        tag=path.stem,
        sources=(WeightsSource(kind="file", location=str(path)),),
        num_classes=0,
        preprocessing=base.weights.preprocessing,
    )
    return ModelEntry(
        name=name,
        provider="checkpoint",
        architecture=base.architecture
        if base.provider == "checkpoint"
        else f"{base.provider}/{base.architecture}",
        family=base.family,
        weights=weights,
        feature_dim=base.feature_dim,
        fixed_input_size=base.fixed_input_size,
        paper=base.paper,
    )


def without_folders(entry: ModelEntry) -> ModelEntry:
    """Return a row whose files bear their names alone: where they lie here says nothing elsewhere."""
    members = tuple(map(without_folders, entry.members))
    model, at, path = entry.name.partition("@")
    name = SIGN.join(each.name for each in members) or f"{model}{at}{Path(path).name}"
    sources = tuple(
        replace(each, location=Path(each.location).name) if each.kind == "file" else each
        for each in entry.weights.sources
    )
    return replace(entry, name=name, weights=replace(entry.weights, sources=sources), members=members)


_HINT = 'a row is {"name": "mine/flowers", "architecture": "timm/resnet50", "file": "flowers.safetensors"}'
_KINDS = ("url", "hub", "package", "file")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_share(value: object) -> bool:
    return _is_number(value) and 0 <= value <= 1  # type: ignore[operator]


def _is_list(value: object, length: int, check: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and len(value) == length and all(check(item) for item in value)


_Check = tuple[Callable[[object], bool], str]

_ROW_CHECKS: dict[str, _Check] = {
    "name": (_is_text, "a text such as 'mine/flowers'"),
    "architecture": (_is_text, "a name of the catalogue such as 'timm/resnet50'"),
    "file": (_is_text, "a path, read from the folder of this file"),
    "sources": (
        lambda value: isinstance(value, list) and bool(value),
        "a list of [kind, location, filename]",
    ),
    "num_classes": (_is_count, "a whole number of 0 or more"),
    "preprocessing": (lambda value: isinstance(value, dict), "an object"),
    "sha256": (
        lambda value: isinstance(value, str) and set(value) <= set("0123456789abcdef"),
        "lower-case hex digits",
    ),
    "size_bytes": (_is_count, "a whole number of 0 or more"),
    "pretrained_on": (_is_text, "a text"),
    "license": (_is_text, "a text"),
    "paper": (_is_text, "a text"),
    "top1": (_is_share, "a number in [0, 1]"),
    "top5": (_is_share, "a number in [0, 1]"),
}

_PREPROCESSING_CHECKS: dict[str, _Check] = {
    "input_size": (
        lambda value: _is_list(value, 2, lambda item: _is_count(item) and item != 0),
        "[height, width] in pixels",
    ),
    "fit": (lambda value: value in ("crop", "squash", "pad"), "'crop', 'squash' or 'pad'"),
    "crop_fraction": (lambda value: _is_share(value) and value != 0, "a number in (0, 1]"),
    "interpolation": (
        lambda value: value in ("nearest", "bilinear", "bicubic", "lanczos"),
        "'nearest', 'bilinear', 'bicubic' or 'lanczos'",
    ),
    "input_space": (lambda value: value in ("RGB", "BGR"), "'RGB' or 'BGR'"),
    "input_range": (lambda value: _is_list(value, 2, _is_number), "[darkest, lightest]"),
    "mean": (lambda value: _is_list(value, 3, _is_number), "three numbers"),
    "std": (
        lambda value: _is_list(value, 3, lambda item: _is_number(item) and item != 0),
        "three numbers other than 0",
    ),
}


class _RowReader:
    """Reads one row, and says where in the file a mistake stands."""

    def __init__(self, path: Path, number: int, row: Any) -> None:
        self._path = path
        self._place = f"{path}, row {number}"
        if not isinstance(row, dict):
            raise InputError(f"{self._place} is {_shown(row)}; expected an object", hint=_HINT)
        if _is_text(row.get("name")):
            self._place += f" ({row['name']})"
        self._row = row

    def entry(self) -> ModelEntry:
        """Return the row's record; raise InputError naming file, row and field where it has a mistake."""
        row = self._row
        self._check(row, _ROW_CHECKS, "")
        for field in ("name", "architecture"):
            if field not in row:
                raise self._error(field, "it is missing", _ROW_CHECKS[field][1])
        if ("file" in row) == ("sources" in row):
            raise self._error("file", "one of 'file' and 'sources' is needed", _ROW_CHECKS["file"][1])
        if resolve(row["name"]) is not None or "@" in row["name"]:
            raise self._error(
                "name", f"{row['name']!r} is taken", "a name of your own such as 'mine/flowers'"
            )
        base = resolve(row["architecture"])
        if base is None:
            raise self._error(
                "architecture", f"{row['architecture']!r} is not known", _ROW_CHECKS["architecture"][1]
            )
        start = checkpoint_entry(to_entry(base), Path(row["name"]), name=row["name"])
        plain = ("num_classes", "pretrained_on", "license", "top1", "top5")
        weights = replace(
            start.weights,
            tag=row["name"].rpartition("/")[2],
            sources=self._sources(),
            preprocessing=self._preprocessing(start.weights.preprocessing),
            **{field: row[field] for field in plain if field in row},
        )
        return replace(start, weights=weights, paper=row.get("paper", start.paper))

    def _error(self, field: str, found: str, expected: str) -> InputError:
        return InputError(f"{self._place}, field {field!r}: {found}; expected {expected}", hint=_HINT)

    def _check(self, values: dict[str, Any], checks: dict[str, _Check], prefix: str) -> None:
        for field, value in values.items():
            if field not in checks:
                raise self._error(prefix + field, "there is no such field", "one of " + ", ".join(checks))
            holds, expected = checks[field]
            if not holds(value):
                raise self._error(prefix + field, _shown(value), expected)

    def _sources(self) -> tuple[WeightsSource, ...]:
        listed = self._row.get("sources", [["file", self._row.get("file")]])
        sources = []
        for value in listed:
            if not (isinstance(value, list) and len(value) in (2, 3) and all(map(_is_text, value))):
                raise self._error("sources", _shown(value), "[kind, location, filename]")
            if value[0] not in _KINDS:
                raise self._error("sources", f"kind {value[0]!r}", "one of " + ", ".join(_KINDS))
            if value[0] in ("hub", "package") and len(value) == 2:
                raise self._error("sources", f"{_shown(value)} has no filename", "[kind, location, filename]")
            location = value[1]
            if value[0] == "file":
                location = str(self._path.parent / Path(location).expanduser())
            sources.append(
                WeightsSource(
                    kind=value[0],
                    location=location,
                    filename="".join(value[2:]),
                    sha256=self._row.get("sha256", ""),
                    size_bytes=self._row.get("size_bytes", 0),
                )
            )
        return tuple(sources)

    def _preprocessing(self, base: Preprocessing) -> Preprocessing:
        given = self._row.get("preprocessing", {})
        self._check(given, _PREPROCESSING_CHECKS, "preprocessing.")
        values: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item for key, item in given.items()
        }
        return replace(base, **values)
