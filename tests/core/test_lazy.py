"""Modules that are imported when they are first asked for, while the garbage collector rests."""

import gc
import sys
from pathlib import Path

import pytest

from headstart.core.lazy import import_quickly, lazy_attributes


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that remembers whether the collector was on when it was imported."""
    (tmp_path / "remembering.py").write_text("import gc\nwas_on = gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "remembering", raising=False)
    return "remembering"


def test_the_collector_rests_during_an_import(module: str) -> None:
    assert not import_quickly(module).was_on
    assert gc.isenabled()


def test_a_resting_collector_is_not_woken(module: str) -> None:
    gc.disable()
    try:
        assert not import_quickly(module).was_on
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_failing_import_wakes_it() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_quickly("no_such_module_anywhere")
    assert gc.isenabled()


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="'some_room' has no attribute 'nothing'"):
        lazy_attributes("some_room", {})("nothing")
