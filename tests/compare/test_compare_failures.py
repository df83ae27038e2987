"""A candidate that fails is a row with its error; the others run, and a second call tries it again."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from headstart.catalog import find_model
from headstart.catalog.places import fetched_path
from headstart.compare import CompareOptions, compare, load_comparison
from headstart.compare.candidates import Candidate
from headstart.compare.evidence import Evidence, gather
from headstart.core.errors import DataError, StorageError
from headstart.data import Splits

race = importlib.import_module("headstart.compare.run")

UNREACHABLE = "torchvision/mobilenet_v3_small"
HUB = "timm/test_resnet"


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")


def misfit(tiny_models: tuple[str, str]) -> str:
    """A checkpoint of another network than its name says."""
    return "timm/test_efficientnet@" + tiny_models[0].partition("@")[2]


def put_weights(name: str) -> None:
    """Put random weights where the download of a model would lie."""
    entry = find_model(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(entry.architecture)
    path = fetched_path(entry.weights.sources[0])
    path.parent.mkdir(parents=True)
    save_file(network.state_dict(), path)


def test_others_run_and_failed_ones_come_last_with_a_hint(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    models = [UNREACHABLE, misfit(tiny_models), tiny_models[1]]
    comparison = compare(
        models, holdout, out=tmp_path / "run", options=replace(options, reference=UNREACHABLE)
    )
    works, *failed = comparison.rows
    assert (works.name, works.error) == (tiny_models[1], "")
    assert comparison.chosen == works.name
    unreachable = find_model(UNREACHABLE)
    assert [row.name for row in failed] == [unreachable.name, misfit(tiny_models)]
    for row in failed:
        assert (row.validation, row.cost, row.tied, row.resolution) == (None, None, False, 0)
        assert row.entry is not None
        assert row.error
        assert "\n" not in row.error
        assert row.hint
    assert "HEADSTART_OFFLINE" in failed[0].error + failed[0].hint
    assert [look.role for look in comparison.looks] == ["chosen"]  # the reference failed
    assert comparison.reference == unreachable.name
    assert load_comparison(tmp_path / "run") == comparison
    assert f"failed: {failed[0].error}" in str(comparison)
    assert any(f"{unreachable.name}: failed: " in each for each in comparison.decisions)


def test_a_size_that_does_not_work_is_a_row(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    fixed = tmp_path / "vit.safetensors"
    save_file(timm.create_model("test_vit", num_classes=7).state_dict(), fixed)
    models = [tiny_models[1], f"timm/test_vit@{fixed}"]
    comparison = compare(
        models, holdout, out=tmp_path / "run", options=replace(options, resolutions=(16, 32))
    )
    assert comparison.chosen == f"{tiny_models[1]}@32"
    errors = {row.name: row.error for row in comparison.rows[1:]}
    assert errors.keys() == {f"{tiny_models[1]}@16", f"{models[1]}@16", f"{models[1]}@32"}
    assert "between 32 and 2048" in errors[f"{tiny_models[1]}@16"]
    assert "160 px only" in errors[f"{models[1]}@32"]


def test_errors_of_torch_and_timm_are_rows(
    tiny_models: tuple[str, str],
    holdout: Splits,
    tmp_path: Path,
    options: CompareOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    troubles = iter([RuntimeError("shape\n  details"), AssertionError()])

    def failing(candidate: Candidate, *args: Any, **keywords: Any) -> Evidence:
        if candidate.resolution != 64:
            raise next(troubles)
        return gather(candidate, *args, **keywords)

    monkeypatch.setattr(race, "gather", failing)
    comparison = compare(
        tiny_models[1:], holdout, out=tmp_path / "run", options=replace(options, resolutions=(32, 64, 96))
    )
    assert [row.error for row in comparison.rows] == ["", "shape", "AssertionError"]


def test_only_the_failed_one_is_tried_again_and_no_look_is_counted_twice(
    tiny_models: tuple[str, str],
    holdout: Splits,
    tmp_path: Path,
    options: CompareOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models, run = [tiny_models[1], HUB, misfit(tiny_models)], tmp_path / "run"
    gathered: list[str] = []

    def watched(candidate: Candidate, *args: Any, **keywords: Any) -> Evidence:
        gathered.append(candidate.name)
        return gather(candidate, *args, **keywords)

    monkeypatch.setattr(race, "gather", watched)
    first = compare(models, holdout, out=run, options=options)
    hub = find_model(HUB).name
    assert [row.name for row in first.rows if row.error] == [hub, misfit(tiny_models)]
    assert [(look.model, look.role) for look in first.looks] == [(tiny_models[1], "chosen")]
    assert gathered == [tiny_models[1]]

    second = compare(models, holdout, out=run, options=options)
    assert gathered == [tiny_models[1]]
    assert second.looks == first.looks
    assert second.rows == first.rows
    assert second.final == first.final

    put_weights(HUB)
    third = compare(models, holdout, out=run, options=options)
    assert gathered == [tiny_models[1], hub]
    assert third.chosen == hub
    assert [row.name for row in third.rows] == [hub, tiny_models[1], misfit(tiny_models)]
    # The earlier look has happened, so it stays on the record.
    assert third.looks[0] == first.looks[0]
    assert [(look.model, look.role) for look in third.looks[1:]] == [(hub, "chosen")]
    assert third.final == third.looks[1].evaluation
    assert third.load_best().class_names == ("cross", "disc", "square")


def test_when_all_fail_the_comparison_is_saved_without_a_choice(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    comparison = compare([UNREACHABLE, misfit(tiny_models)], holdout, out=tmp_path / "run", options=options)
    assert (comparison.chosen, comparison.looks, comparison.final) == ("", (), None)
    assert all(row.error for row in comparison.rows)
    assert load_comparison(tmp_path / "run") == comparison
    assert str(comparison).splitlines()[-1] == comparison.reason
    with pytest.raises(StorageError, match="no trained model"):
        comparison.load_best()


def test_trouble_with_the_pictures_stops_the_run(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    squares = holdout.train.labels != 2
    none_of_one = replace(holdout, train=holdout.train.select(np.flatnonzero(squares)))
    with pytest.raises(DataError, match="'square' has no picture to train on"):
        compare(tiny_models, none_of_one, out=tmp_path / "run", options=options)
