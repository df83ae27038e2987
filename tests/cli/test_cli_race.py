"""Races as a user sees them: the plan, who left and why, Ctrl-C, and what runs when nobody names models."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = ("--resolution", "32,48,64", "--plan", "exact")


@pytest.fixture(scope="module")
def many_shapes(tmp_path_factory: pytest.TempPathFactory, draw_folder: Callable[..., Path]) -> Path:
    """A folder of 3 classes with 230 pictures each: enough for a validation part."""
    return draw_folder(tmp_path_factory.mktemp("data") / "many", per_class=230)


@pytest.fixture
def race(
    headstart: Callable, many_shapes: Path, tiny_models: tuple[str, str], tmp_path: Path
) -> Callable[..., object]:
    """Run the command on 690 drawn pictures with six candidates."""

    def run(*words: str) -> object:
        return headstart(
            "compare",
            many_shapes,
            "--models",
            ",".join(tiny_models),
            *SMALL,
            "--out",
            tmp_path / "run",
            *words,
        )

    return run


def test_the_plan_is_told_and_who_left_and_why(race: Callable, tmp_path: Path) -> None:
    said = race("--budget", "1500images")
    assert said.code == 0
    assert "the plan: 6 see" in said.err
    assert "of 1,500 pictures through networks" in said.err
    assert "not in the final" in said.out
    assert "set aside" in said.out or "worse" in said.out
    record = json.loads((tmp_path / "run" / "comparison.json").read_text(encoding="utf-8"))
    assert record["race"]["spent"] <= 1500
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Not in the final" in report
    assert "1500images" in report
    again = race("--budget", "1500images")
    assert again.code == 0
    assert again.out == said.out


def test_ctrl_c_prints_the_ranking_so_far(race: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    field = importlib.import_module("headstart.compare.field")
    embed, calls = field.embed_pictures, []

    def stopping(*args: object, **keywords: object) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return embed(*args, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(field, "embed_pictures", stopping)
        said = race("--budget", "1500images")
    assert said.code == 130
    assert said.out.count("running") == 6
    assert said.err.splitlines()[-2] == "error: stopped"
    assert "Traceback" not in said.err
    assert race("--budget", "1500images").code == 0


def test_a_budget_that_cannot_be_read_is_told_at_once(race: Callable) -> None:
    said = race("--budget", "soon")
    assert said.code == 1
    assert "budget of 'soon'" in said.err
    assert "reading the pictures" not in said.err


@pytest.mark.slow
def test_without_models_what_is_here_runs_and_the_rest_is_named(
    headstart: Callable, few_shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    said = headstart("compare", few_shapes, "--resolution", "32", "--out", tmp_path / "run")
    assert said.code == 0
    assert "15 models are left out" in said.err
    assert "timm/convnext_tiny.fb_in22k_ft_in1k" in said.err
    for number in range(3):
        assert f"starter/efficientnet_lite{number}.in1k" in said.out


def test_finalists_are_fine_tuned_where_that_is_asked_for(race: Callable, tmp_path: Path) -> None:
    said = race("--budget", "4000images", "--finalists", "tune", "--recipe", "last-layer")
    assert said.code == 0, said.err
    assert "the best of them are fine-tuned" in said.err
    assert ", tuned" in said.out
    assert "fine-tuning: " not in said.out  # no rule of thumb for what was tried
    record = json.loads((tmp_path / "run" / "comparison.json").read_text(encoding="utf-8"))
    assert record["race"]["spent"] <= 4000
    assert 1 <= len(record["tunings"]) <= 2
    assert record["tunings"][0]["history"]["recipe"]["name"] == "last-layer"
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "What fine-tuning did" in report
    assert "Training pictures, a row each" in report


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["--finalists", "tune", "--recipe", "nonsense"], "no recipe 'nonsense'", "last-layer"),
        (["--recipe", "full"], "none are", "--finalists tune"),
    ],
)
def test_a_recipe_that_is_of_no_use_is_told_at_once(
    words: list[str], error: str, hint: str, race: Callable, tmp_path: Path
) -> None:
    said = race(*words)
    assert said.code == 1
    assert error in said.err
    assert hint in said.err
    assert not (tmp_path / "run").exists()
