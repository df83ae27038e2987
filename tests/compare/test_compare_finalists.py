"""Finalists that are fine-tuned: within the budget, and told of in the record; their sheet of pictures."""

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.compare import CompareOptions, Comparison, Stopped, Tuning, compare, load_comparison
from headstart.compare.budget import Purse
from headstart.compare.sheet import MAX_PICTURES, NUM_VARIANTS, write_sheet
from headstart.compare.tuned import Tuner, count_passes
from headstart.core.progress import SILENT
from headstart.data import Splits
from headstart.data.scan import scan
from headstart.embed import PixelStore
from headstart.models import load
from headstart.train import choose_recipe

run_module = importlib.import_module("headstart.compare.run")
contest_module = importlib.import_module("headstart.compare.contest")
training = importlib.import_module("headstart.train.training")

TUNING = Tuning(recipe="last-layer", epochs=3, max_candidates=2)
Run = Callable[..., Comparison]


@pytest.fixture(scope="module")
def digits() -> Splits:
    """300 digits with given parts: 180 for training, 60 for validation, 60 for the test."""
    some = hs.open_dataset("digits").select(range(300))
    parts = ("train", "train", "train", "val", "test")
    return scan(replace(some, given_splits=tuple(parts[index % 5] for index in range(300)))).dataset.split()


@pytest.fixture
def run(tiny_models: tuple[str, str], digits: Splits, tmp_path: Path, options: CompareOptions) -> Run:
    """A race of four candidates on digits."""

    def go(name: str = "run", budget: str = "2000images", **facts: Any) -> Comparison:
        chosen = replace(options, **{"resolutions": (32, 48), "budget": budget, "tuning": TUNING, **facts})
        return compare(tiny_models, digits, out=tmp_path / name, options=chosen)

    return go


def test_the_finalists_are_tuned_within_the_budget_in_pictures(run: Run) -> None:
    found = run()
    assert found.race is not None
    assert found.race.spent == found.race.num_pictures <= 2000
    assert any("the best of them are fine-tuned" in each for each in found.decisions)
    assert found.tunings
    names = [row.name for row in found.rows if row.validation is not None]
    for tuning in found.tunings:
        assert {tuning.name, tuning.probe} <= set(names)
        assert 1 <= len(tuning.history.epochs) <= 3
    assert found.final is not None
    assert found.advice is not None
    assert found.advice.fine_tuning is None  # it is known


def test_a_budget_without_room_for_an_epoch_tunes_nobody_and_says_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest_module, "TUNING_SHARE", 0.0)
    found = run(budget="800images")
    assert found.tunings == ()
    told = [each for each in found.decisions if "no room for one epoch" in each]
    assert told
    assert all(", tuned: not trained" in each for each in told)
    assert found.chosen
    assert found.race is not None
    assert found.race.spent <= 800


def test_a_race_leaves_half_of_what_is_left_to_the_tuning(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, budgets = contest_module.plan, []

    def noted(*args: Any, **keywords: Any) -> Any:
        budgets.append(keywords["budget"])
        return plan(*args, **keywords)

    monkeypatch.setattr(contest_module, "plan", noted)
    given: list[float] = []

    def brief(_: Tuning, purse: Purse | None, **__: int) -> float:
        if purse is not None:
            given.append(purse.left())
        return 0.5

    monkeypatch.setattr(run_module, "tuning_seconds", brief)

    found = run(budget="5m")
    kept = json.loads((found.folder / "progress.json").read_text(encoding="utf-8"))  # type: ignore[operator]
    assert budgets[0] == pytest.approx(kept["for_tuning"], rel=0.1)
    assert given[0] > kept["for_tuning"]  # the race needs less than it may have
    assert len(found.tunings) == len(given)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (training.Training, "_take_step", 4),
        pytest.param(run_module, "look_at_test", 1, marks=pytest.mark.slow),
    ],
    ids=["while it is trained", "when all were"],
)
def test_stopped_and_started_again_it_ends_the_same(
    run: Run, owner: Any, name: str, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("undisturbed")
    function, calls = getattr(owner, name), []

    def stopping(*args: Any, **keywords: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*args, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stopping)
        with pytest.raises(KeyboardInterrupt) as stopped:
            run()
    if isinstance(stopped.value, Stopped):
        assert stopped.value.comparison.chosen == ""
    again = run()
    assert [outcome(each) for each in again.tunings] == [outcome(each) for each in whole.tunings]
    assert (again.chosen, again.final) == (whole.chosen, whole.final)
    assert again.race is not None
    assert whole.race is not None
    assert again.race.spent == whole.race.spent


def outcome(tuning: Any) -> Any:
    """What a fine-tuning came to, times apart."""
    epochs = [(each.number, each.train_loss, each.log_loss, each.accuracy) for each in tuning.history.epochs]
    return replace(tuning, history=replace(tuning.history, epochs=())), epochs


def test_what_is_told_of_a_tuning_fits_the_rows(run: Run) -> None:
    found = run(budget="", resolutions=(32,))
    assert found.folder is not None
    rows = {row.name: row for row in found.rows}
    for tuning in found.tunings:
        before, after = (np.array(each) for each in (tuning.probe_confusion, tuning.tuned_confusion))
        assert before.sum() == after.sum() == found.protocol.num_validation
        shares = [each.trace() / each.sum() for each in (before, after)]
        for share, name in zip(shares, (tuning.probe, tuning.name), strict=True):
            evaluation = rows[name].validation
            assert evaluation is not None
            assert share == pytest.approx(evaluation.accuracy.value)
        assert tuning.gain.value == pytest.approx(shares[1] - shares[0])
        assert tuning.gain.low <= tuning.gain.value <= tuning.gain.high
        assert f"{100 * tuning.gain.value:+.1f} points" in found.reason
        assert tuning.history.recipe["name"] == "last-layer"
        check_sheet(found.folder / tuning.sheet, num_rows=len(tuning.sheet_classes))
    assert load_comparison(found.folder) == found


def test_runs_from_before_there_was_fine_tuning_still_load(finished: Comparison, tmp_path: Path) -> None:
    assert finished.folder is not None
    record = json.loads((finished.folder / "comparison.json").read_text(encoding="utf-8"))
    assert record.pop("tunings") == []
    (tmp_path / "settings.json").write_text("{}", encoding="utf-8")
    (tmp_path / "comparison.json").write_text(json.dumps(record), encoding="utf-8")
    assert replace(load_comparison(tmp_path), folder=finished.folder) == finished


def test_pictures_that_are_trained_on_count_three_times(holdout: Splits, tmp_path: Path) -> None:
    assert holdout.val is not None
    num_train, num_val = len(holdout.train), len(holdout.val)
    assert count_passes(holdout, num_epochs=2) == 3 * 2 * num_train + (2 + 2) * num_val
    recipe = choose_recipe("default", holdout.train.class_counts())
    with PixelStore([], decoder="exact") as store:
        tuner = Tuner(
            recipe=recipe,
            tuning=Tuning(),
            options=CompareOptions(),
            folder=tmp_path,
            store=store,
            progress=SILENT,
        )
        for epochs in (1, 4, recipe.epochs):
            room = count_passes(holdout, num_epochs=epochs)
            fitting, fewer = tuner.within(room, holdout), tuner.within(room - 1, holdout)
            assert fitting is not None
            assert fitting.recipe == replace(recipe, epochs=epochs)
            assert (fewer is None) if epochs == 1 else fewer is not None and fewer.recipe.epochs == epochs - 1
        enough = tuner.within(1e9, holdout)
        assert enough is not None
        assert enough.recipe == recipe


def check_sheet(path: Path, *, num_rows: int) -> None:
    with Image.open(path) as sheet:
        assert sheet.format == "JPEG"
        assert not {"exif", "icc_profile", "comment", "xmp"} & set(sheet.info)
        assert not sheet.getexif()
        assert sheet.size == (4 + 100 * (1 + NUM_VARIANTS), 4 + 100 * num_rows)
    assert path.stat().st_size < 256 * 1024


def draw(path: Path, splits: Splits, name: str, recipe_name: str = "default") -> tuple[str, ...]:
    preprocessing = replace(load(name).preprocessing, input_size=(48, 48))
    recipe = choose_recipe(recipe_name, splits.train.class_counts())
    with PixelStore([preprocessing], decoder="exact") as store:
        return write_sheet(
            path, splits.train, preprocessing=preprocessing, recipe=recipe, seed=0, store=store
        )


def test_a_sheet_shows_pictures_of_all_classes_as_they_are_varied(
    holdout: Splits, tiny_models: tuple[str, str], tmp_path: Path
) -> None:
    classes = draw(tmp_path / "a.jpg", holdout, tiny_models[0])
    assert len(classes) == MAX_PICTURES
    assert set(classes) == set(holdout.train.class_names)
    check_sheet(tmp_path / "a.jpg", num_rows=MAX_PICTURES)
    draw(tmp_path / "b.jpg", holdout, tiny_models[0])
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    draw(tmp_path / "plain.jpg", holdout, tiny_models[0], "tutorial")
    assert differences(tmp_path / "a.jpg").min() > 2 * differences(tmp_path / "plain.jpg").max()


def differences(path: Path) -> np.ndarray:
    """By how much the variants on a sheet differ from their pictures, of shape (rows, 6), from 0 to 255."""
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet, np.float64)[4:, 4:]
    rows, columns = (length // 100 for length in pixels.shape[:2])
    cells = pixels.reshape(rows, 100, columns, 100, 3).swapaxes(1, 2)
    cells = cells[:, :, 8:88, 8:88]  # JPEG blurs their edges
    return np.abs(cells[:, :1] - cells[:, 1:]).mean((2, 3, 4))


def test_a_picture_that_is_gone_leaves_the_others(
    holdout: Splits, tiny_models: tuple[str, str], tmp_path: Path, monkeypatch: Any
) -> None:
    sheet = importlib.import_module("headstart.compare.sheet")
    monkeypatch.setattr(sheet, "draw_order", lambda *_, **__: np.array([0, 1, 2]))
    fill = sheet.Decoding.fill
    gone = holdout.train.ids[1]
    monkeypatch.setattr(
        sheet.Decoding, "fill", lambda self, name, out: "gone" if name == gone else fill(self, name, out)
    )
    assert len(draw(tmp_path / "a.jpg", holdout, tiny_models[0])) == 2
    check_sheet(tmp_path / "a.jpg", num_rows=2)
    monkeypatch.setattr(sheet.Decoding, "fill", lambda *_: "gone")
    assert draw(tmp_path / "none.jpg", holdout, tiny_models[0]) == ()
    assert not (tmp_path / "none.jpg").exists()
