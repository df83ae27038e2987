"""Frozen records to JSON and back.

A record is a frozen dataclass whose fields are JSON values, paths, tuples, dictionaries with text keys,
or other records. Reading checks names, not values: the one who made the file is us.
"""

import dataclasses
import json
import types
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from headstart.core.errors import StorageError

T = TypeVar("T")


def to_json(record: object) -> Any:
    """Return `record` as a value of dictionaries, lists, text, numbers, booleans and None."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: to_json(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(value) for value in record]
    if isinstance(record, Path):
        return record.as_posix()
    return record


def from_json(kind: type[T], value: Any) -> T:
    """Return the record of class `kind` that `to_json` made `value` from.

    Fields that `value` lacks take their defaults; names that the class lacks are passed over.

    Raises:
        TypeError: a field without a default is missing.
    """
    return _read(kind, value)  # type: ignore[no-any-return]  # the annotation decides what comes back


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _read(next(each for each in inner if each is not type(None)), value)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_read(inner[0], each) for each in value)
        return tuple(_read(each, item) for each, item in zip(inner, value, strict=True))
    if origin is dict:
        return {key: _read(inner[1], item) for key, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        names = (field.name for field in dataclasses.fields(kind) if field.name in value)
        return kind(**{name: _read(hints[name], value[name]) for name in names})
    if kind is Path:
        return Path(value)
    if kind is float and isinstance(value, int):
        return float(value)
    return value


def dumps(value: object) -> str:
    """Return the JSON text of a record or value, indented, in UTF-8 characters, ending in a newline.

    Not-a-number and infinity, which JSON has no form for, are refused with ValueError.
    """
    return json.dumps(to_json(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Return the JSON value in the file at `path`.

    Raises:
        StorageError: the file cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # broken JSON and broken UTF-8
        raise StorageError(f"{path} is not valid JSON: {error}") from error
