"""Comparisons under a budget, with real networks: kept, repeated, stopped, continued."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import headstart as hs
from headstart.compare import CompareOptions, Comparison, Stopped, compare, load_comparison
from headstart.compare.budget import OutOfBudgetError
from headstart.core.errors import InputError
from headstart.data import Splits
from headstart.embed import Engine
from headstart.embed.engine import Launched

WAYS = (32, 48, 64)
Run = Callable[..., Comparison]

run_module = importlib.import_module("headstart.compare.run")
contest_module = importlib.import_module("headstart.compare.contest")


@pytest.fixture
def run(tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions) -> Run:
    """A comparison of 6 candidates on 216 pictures, with room for about half of what there is to do."""

    def go(name: str = "run", budget: str = "1000images", **facts: object) -> Comparison:
        chosen = replace(options, **{"resolutions": WAYS, "budget": budget, **facts})
        return compare(tiny_models, holdout, out=tmp_path / name, options=chosen)

    return go


def stages(comparison: Comparison) -> dict[str, str]:
    return {row.name: row.screening.exit if row.screening else "" for row in comparison.rows}


def test_a_budget_in_pictures_is_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    through: list[int] = []
    launch = Engine.launch

    def counted(engine: Engine, pixels: npt.NDArray[np.uint8]) -> Launched:
        through.append(len(pixels))
        return launch(engine, pixels)

    monkeypatch.setattr(Engine, "launch", counted)
    monkeypatch.setattr(
        importlib.import_module("headstart.compare.evidence"), "network_latency", lambda *_, **__: 1.0
    )
    found = run()
    assert found.race is not None
    assert found.race.unit == "pictures"
    assert found.race.spent == found.race.num_pictures <= 1000
    assert sum(through) <= 1000
    assert found.race.expected <= 1000
    ran = [row for row in found.rows if row.validation is not None]
    left = [row for row in found.rows if row.screening is not None]
    assert 1 <= len(ran) < 6
    assert len(ran) + len(left) == 6
    assert found.rows == (*ran, *left)
    assert found.chosen == ran[0].name
    assert found.final is not None
    for row in left:
        assert row.screening is not None
        assert row.screening.accuracy is not None
        assert row.screening.exit in ("worse", "set aside")
    assert load_comparison(found.folder or "") == found


def test_the_same_budget_in_pictures_gives_the_same(run: Run) -> None:
    first, second = run("first"), run("second")
    assert stages(first) == stages(second)
    assert first.chosen == second.chosen
    assert [row.screening for row in first.rows] == [row.screening for row in second.rows]
    assert [row.validation for row in first.rows] == [row.validation for row in second.rows]
    before = [
        next(at for at, each in enumerate(one.decisions) if "chosen: " in each) for one in (first, second)
    ]
    assert before[0] == before[1] > 1
    # The choice itself names measured latencies.
    assert first.decisions[: before[0]] == second.decisions[: before[0]]


@pytest.mark.slow
def test_enough_for_all_is_a_comparison_without_a_budget(run: Run, finished: Comparison) -> None:
    found, whole = run(budget="100000images"), run("whole", budget="")
    in_full = {row.name: row.validation for row in found.rows if row.validation is not None}
    assert found.chosen == whole.chosen
    assert found.final == whole.final
    for row in whole.rows:
        if row.name in in_full:
            assert in_full[row.name] == row.validation
        else:
            assert stages(found)[row.name] == "worse"


@pytest.mark.parametrize("call", [*(pytest.param(each, marks=pytest.mark.slow) for each in (1, 4)), 8])
def test_ctrl_c_gives_the_ranking_so_far_and_the_run_goes_on(
    run: Run, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("undisturbed")
    embed, calls = run_module.embed_pictures, []

    def stopping(*args: object, **keywords: object) -> object:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return embed(*args, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "embed_pictures", stopping)
        patch.setattr(importlib.import_module("headstart.compare.field"), "embed_pictures", stopping)
        with pytest.raises(Stopped) as stopped:
            run()
    so_far = stopped.value.comparison
    assert len(so_far.rows) == 6
    assert so_far.chosen == ""
    assert "so far" in so_far.reason
    known = [row.screening.accuracy for row in so_far.rows if row.screening and row.screening.accuracy]
    assert len(known) + sum(row.validation is not None for row in so_far.rows) >= min(call - 1, 6)
    again = run()
    assert stages(again) == stages(whole)
    assert again.chosen == whole.chosen
    assert [row.validation for row in again.rows] == [row.validation for row in whole.rows]


def test_a_second_race_with_one_more_candidate_embeds_only_that_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run("first", budget="100000images")
    embedder = importlib.import_module("headstart.embed.embedder")
    started: list[str] = []
    decode = embedder.decode_batches
    monkeypatch.setattr(
        embedder,
        "decode_batches",
        lambda decoding, *args, **keywords: (
            started.append(decoding.preprocessing.input_size[0]) or decode(decoding, *args, **keywords)
        ),
    )
    run("second", budget="100000images", resolutions=(*WAYS, 40))
    not_finished = {row.resolution for row in first.rows if row.screening is not None}
    assert 40 in started
    assert set(started) <= {40} | not_finished  # one that was dropped may get further in another field


def test_a_finalist_whose_time_ends_is_set_aside(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first finalist is always finished; the end of the budget stops the one after it."""
    embed, calls = run_module.embed_pictures, []

    def slow(*args: object, **keywords: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise OutOfBudgetError("the budget ended")
        return embed(*args, **keywords)

    monkeypatch.setattr(run_module, "embed_pictures", slow)
    found = run(budget="100000images")
    assert found.chosen
    ended = [row.screening for row in found.rows if row.screening and "ended" in row.screening.reason]
    assert [each.exit for each in ended] == ["set aside"]


@pytest.mark.parametrize("budget", [900, 1000, 1150, 1300])
def test_what_comes_after_the_race_is_within_the_budget(run: Run, budget: int) -> None:
    found = run(budget=f"{budget}images")
    assert found.race is not None
    assert found.race.spent <= budget
    assert [look.role for look in found.looks][:1] == ["chosen"]


def test_time_is_a_budget_too(run: Run) -> None:
    found = run(budget="5m")
    assert found.race is not None
    assert found.race.unit == "seconds"
    assert found.race.spent < 300
    assert found.chosen
    assert any("the plan" in each for each in found.decisions)


def test_a_budget_that_is_over_at_once_still_gives_an_answer(run: Run) -> None:
    """Nobody can be met in no time; then there is no candidate, and the reasons are told."""
    found = run(budget="0.01s")
    assert found.chosen == ""
    assert set(stages(found).values()) == {"set aside"}


@pytest.mark.slow
def test_few_pictures_are_cross_validated_in_full(
    few_shapes: Path, tiny_models: tuple[str, str], tmp_path: Path, options: CompareOptions
) -> None:
    found = compare(
        tiny_models,
        hs.open_dataset(few_shapes),
        out=tmp_path / "run",
        options=replace(options, resolutions=WAYS, budget="200images"),
    )
    assert found.protocol.selection == "cross-validation"
    assert sum(row.validation is not None for row in found.rows) == 4  # of 45 pictures each
    assert found.race is not None
    assert found.race.spent <= 200


def test_weights_beyond_the_limit_are_not_fetched(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    found = compare(
        [tiny_models[0], "timm/resnet18.a1_in1k"],
        holdout,
        out=tmp_path / "run",
        options=replace(options, budget="5000images", max_download_bytes=10**6),
    )
    (left,) = [row for row in found.rows if row.screening is not None]
    assert left.name.startswith("timm/resnet18")
    assert left.screening is not None
    assert "47 MB" in left.screening.reason
    assert found.chosen.startswith(tiny_models[0])


def test_what_is_no_budget_is_refused_before_anything_is_read(run: Run) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        run(budget="soon")
