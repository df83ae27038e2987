from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.catalog.entry import ModelEntry, Preprocessing, WeightsEntry, WeightsSource
from headstart.core.digest import digest_json
from headstart.core.errors import StorageError
from headstart.core.formats import check_format
from headstart.core.records import dumps, from_json, read_json, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    entry: ModelEntry | None = None
    numbers: tuple[tuple[int, ...], ...] = ()
    by_name: dict[str, float]
    folder: Path | None = None


def test_a_nested_record_survives_json(tmp_path: Path) -> None:
    weights = WeightsEntry(
        tag="a",
        sources=(WeightsSource(kind="url", location="https://example.org/a.pth"),),
        top1=0.5,
        preprocessing=Preprocessing(input_size=(96, 128)),
    )
    entry = ModelEntry(name="p/a.b", provider="p", architecture="a", family="f", weights=weights)
    outer = Outer(name="ü\n", entry=entry, numbers=((1, 2), (3,)), by_name={"x": 1.0}, folder=Path("a/b"))
    path = tmp_path / "outer.json"
    path.write_text(dumps(outer), encoding="utf-8")
    assert from_json(Outer, read_json(path)) == outer


def test_unknown_names_are_passed_over_and_missing_ones_are_not() -> None:
    assert from_json(Outer, {"name": "a", "by_name": {}, "later": 1}).name == "a"
    with pytest.raises(TypeError, match="by_name"):
        from_json(Outer, {"name": "a"})


def test_what_json_has_no_form_for_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        dumps({"value": float("nan")})


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe"])
def test_broken_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"x\.json is not valid JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(StorageError, match="cannot read"):
        read_json(tmp_path / "none.json")


def test_other_formats_are_refused_with_both_numbers() -> None:
    with pytest.raises(StorageError, match="format 2; this version of headstart reads format 1"):
        check_format(2, 1, "runs/a")
    check_format(1, 1, "runs/a")


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.integers())))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest_json(value) == digest_json(dict(reversed(value.items())))
    assert digest_json(to_json(value)) != digest_json({**value, "\0 more": 1})
