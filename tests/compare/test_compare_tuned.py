"""A fine-tuned network beside its probe: chosen where it is better beyond doubt, and one look at the test."""

import importlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from headstart.catalog import find_model
from headstart.compare import CompareOptions, Comparison, Tuning, compare, load_comparison, tune_one
from headstart.compare.budget import Purse, parse_budget, tuning_seconds
from headstart.compare.candidates import Candidate
from headstart.compare.choice import choose
from headstart.compare.evidence import Evidence
from headstart.compare.tuned import hold_out
from headstart.core.errors import InputError
from headstart.data import Splits
from headstart.data.dataset import concatenate
from headstart.embed import PlanOptions
from headstart.evaluate import cost, evaluate, paired_difference
from headstart.models import load_folder
from headstart.predict import predict_labelled

run_module = importlib.import_module("headstart.compare.run")
training = importlib.import_module("headstart.train.training")

LABELS = np.tile(np.arange(2), 100)
GAINING = Tuning(recipe="full", epochs=8, batch_size=16, rate=1e-2)
"""What trains one of the small networks, whose random features are good for little, to better ones."""


def evidence(name: str, right: npt.NDArray[np.bool_], *, sure: float = 0.8, tuned_from: str = "") -> Evidence:
    named = np.where(right, LABELS, 1 - LABELS)
    probabilities = np.full((1, len(LABELS), 2), 1 - sure, np.float32)
    probabilities[:, np.arange(len(LABELS)), named] = sure
    return Evidence(
        candidate=Candidate(
            name=name, entry=find_model("efficientnet_lite0"), resolution=224, tuned_from=tuned_from
        ),
        probabilities=probabilities,
        inner_losses=np.zeros((1, 1), np.float32),
        resolution=224,
        regularization=None if tuned_from else 1.0,
        plan="exact",
        cost=None,
        feature_dim=4,
        backbone="",
    )


def first(count: int) -> npt.NDArray[np.bool_]:
    return np.arange(len(LABELS)) < count


def test_tuned_is_chosen_only_where_the_interval_against_its_own_probe_is_above_zero() -> None:
    for right in range(150, 172):
        probe = evidence("a", first(150))
        tuned = evidence("a, tuned", first(right), sure=0.9, tuned_from="a")
        gain = paired_difference(first(right), first(150))
        choice = choose([probe, tuned], LABELS, seed=0)
        assert choice.best == (1 if gain.low > 0 else 0), right
        if gain.low > 0:
            assert "Fine-tuning a gained +" in choice.reason
        else:
            assert "Fine-tuning a did not help beyond doubt: " in choice.reason
            assert "which is kept" in choice.reason
    assert gain.low > 0


def test_its_own_probe_counts_and_no_other() -> None:
    rows = [
        evidence("a", first(160), sure=0.6),
        evidence("b", first(100)),
        evidence("b, tuned", first(159), tuned_from="b"),
    ]
    choice = choose(rows, LABELS, seed=0)
    assert choice.best == 2  # sure to be better than b, tied with a, and with better probabilities
    assert "Fine-tuning b gained" in choice.reason


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_a_choice_is_made_whatever_the_classes_sizes(metric: Any) -> None:
    """Where classes count alike, few pictures of a small one may decide, and all together tell nothing."""
    labels = np.array([0] * 185 + [1] * 15)

    def of(name: str, right: npt.NDArray[np.bool_], tuned_from: str = "") -> Evidence:
        made = evidence(name, first(200), tuned_from=tuned_from)
        made.probabilities[:] = 0.2
        made.probabilities[:, np.arange(200), np.where(right, labels, 1 - labels)] = 0.8
        return made

    probe_right = labels == 0  # none of the small class
    tuned_right = np.ones(200, bool)
    tuned_right[:14] = False  # all of the small class, at the price of as many others
    choice = choose([of("a", probe_right), of("a, tuned", tuned_right, "a")], labels, metric=metric, seed=0)
    assert choice.reason
    assert choice.best == (1 if metric == "balanced_accuracy" else 0)


@pytest.fixture(scope="module")
def tuned(
    tiny_models: tuple[str, str], holdout: Splits, options: CompareOptions, tmp_path_factory: Any
) -> Iterator[Comparison]:
    """A fine-tuning that gains, of the network whose probe is bad."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(cost, "BUDGET_SECONDS", 0.0)
        out = tmp_path_factory.mktemp("runs") / "tuned"
        yield tune_one(tiny_models[1], holdout, tuning=GAINING, out=out, options=options)
    torch.set_num_threads(threads)


def test_a_network_that_gained_is_chosen_and_the_test_looked_at_once(
    tuned: Comparison, tiny_models: tuple[str, str]
) -> None:
    name = f"{tiny_models[1]}, tuned"
    assert tuned.chosen == name
    assert [row.name for row in tuned.rows] == [name, tiny_models[1]]
    assert f"Fine-tuning {tiny_models[1]} gained +" in tuned.reason
    assert [(look.model, look.role) for look in tuned.looks] == [(name, "chosen")]
    assert tuned.final is not None
    assert tuned.final == tuned.looks[0].evaluation
    assert any("was chosen" in each for each in tuned.decisions)
    assert tuned.folder is not None
    assert not list(tuned.folder.rglob("checkpoint*"))
    assert load_comparison(tuned.folder) == tuned


def test_its_model_folder_is_one_like_any_other(tuned: Comparison, holdout: Splits) -> None:
    assert tuned.folder is not None
    model = load_folder(tuned.folder / "model")
    assert model.history is not None
    assert model.history.recipe["name"] == "full"
    assert model.history.recipe["rate"] == GAINING.rate
    assert [each.number for each in model.history.epochs] == list(range(1, len(model.history.epochs) + 1))
    best = model.history.epochs[model.history.chosen - 1]
    row = next(each for each in tuned.rows if each.name == tuned.chosen)
    assert row.validation is not None
    assert best.accuracy == pytest.approx(row.validation.accuracy.value, abs=0.02)
    assert holdout.test is not None
    found = predict_labelled(model, holdout.test, options=PlanOptions(plan="exact"))
    assert tuned.final is not None
    assert evaluate(*found, seed=0).accuracy == tuned.final.accuracy
    card = (tuned.folder / "model" / "README.md").read_text(encoding="utf-8")
    assert f"fine-tuned, recipe full; validation chose epoch {model.history.chosen}" in card
    assert "looks at them in all: 1" in card


def test_a_probe_that_is_not_beaten_beyond_doubt_is_kept(
    tiny_models: tuple[str, str], holdout: Splits, options: CompareOptions, tmp_path: Path
) -> None:
    tuning = Tuning(recipe="last-layer", epochs=1)
    found = tune_one(tiny_models[0], holdout, tuning=tuning, out=tmp_path, options=options)
    assert found.chosen == tiny_models[0]
    assert "did not help beyond doubt" in found.reason
    assert [(look.model, look.role) for look in found.looks] == [(tiny_models[0], "chosen")]
    assert load_folder(tmp_path / "model").history is None


def test_a_finished_run_does_nothing_when_it_is_started_again(
    tuned: Comparison,
    tiny_models: tuple[str, str],
    holdout: Splits,
    options: CompareOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be done")

    for name in ("embed_pictures", "save_folder", "choose"):
        monkeypatch.setattr(run_module, name, forbidden)
    again = tune_one(tiny_models[1], holdout, tuning=GAINING, out=tuned.folder, options=options)
    assert again == tuned


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        pytest.param(training.Training, "_take_step", 30, marks=pytest.mark.slow),
        (importlib.import_module("headstart.compare.tuned"), "save_folder", 1),
        pytest.param(run_module, "look_at_test", 1, marks=pytest.mark.slow),
    ],
    ids=["in the middle", "when it was trained", "when it was chosen"],
)
def test_stopped_and_started_again_it_ends_the_same(
    owner: Any,
    name: str,
    call: int,
    tuned: Comparison,
    tiny_models: tuple[str, str],
    holdout: Splits,
    options: CompareOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    function, calls = getattr(owner, name), []

    def stopping(*args: Any, **keywords: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*args, **keywords)

    monkeypatch.setattr(owner, name, stopping)

    def run() -> Comparison:
        return tune_one(tiny_models[1], holdout, tuning=GAINING, out=tmp_path / "run", options=options)

    with pytest.raises(KeyboardInterrupt):
        run()
    steps = count_steps(monkeypatch)
    again = run()
    assert len(steps) < 88
    if name != "_take_step":
        assert not steps, "it was trained twice"
    assert (again.chosen, again.reason, again.final) == (tuned.chosen, tuned.reason, tuned.final)
    assert again.looks == tuned.looks
    assert again.folder is not None
    assert tuned.folder is not None
    model = "model/model.safetensors"
    assert (again.folder / model).read_bytes() == (tuned.folder / model).read_bytes()


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    steps: list[int] = []
    take = training.Training._take_step

    def counted(self: Any, *args: Any) -> float:
        steps.append(1)
        return float(take(self, *args))

    monkeypatch.setattr(training.Training, "_take_step", counted)
    return steps


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        (Tuning(recipe="nonsense"), "no recipe 'nonsense'"),
        (Tuning(trackers=("paper",)), "no tracker 'paper'"),
        (Tuning(budget="500images"), "is no time"),
        (Tuning(rate=0.0), "rate of a recipe is 0.0"),
        (Tuning(epochs=0), "epochs of a recipe is 0"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_done(
    tuning: Tuning,
    message: str,
    tiny_models: tuple[str, str],
    holdout: Splits,
    options: CompareOptions,
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        tune_one(tiny_models[1], holdout, tuning=tuning, out=tmp_path / "run", options=options)
    assert caught.value.hint
    assert not (tmp_path / "run").exists()


def test_the_time_for_a_tuning_is_the_users_or_a_share_of_what_is_left() -> None:
    assert tuning_seconds(Tuning(), None, num_left=2) == 0
    assert tuning_seconds(Tuning(budget="10m"), None, num_left=2) == 600
    purse = Purse(parse_budget("1h"))
    assert 1700 < tuning_seconds(Tuning(), purse, num_left=2) <= 1800
    assert tuning_seconds(Tuning(budget="10m"), purse, num_left=2) == 600
    pictures = Purse(parse_budget("900images"))
    assert tuning_seconds(Tuning(), pictures, num_left=1) == 0


def test_a_fifth_is_held_out_where_there_is_no_validation_part(few_shapes: Path, holdout: Splits) -> None:
    import headstart as hs
    from headstart.data.scan import scan

    assert hold_out(holdout, seed=0) is holdout
    splits = scan(hs.open_dataset(few_shapes)).dataset.split()
    assert splits.val is None
    held = hold_out(splits, seed=0)
    assert held.val is not None
    assert len(held.val) == pytest.approx(len(splits.train) / 5, abs=1)
    assert held.val.class_counts().min() > 0
    assert sorted(concatenate([held.train, held.val]).ids) == sorted(splits.train.ids)


@pytest.mark.slow
def test_finalists_of_a_comparison_are_tuned_too(
    tiny_models: tuple[str, str], holdout: Splits, options: CompareOptions, tmp_path: Path
) -> None:
    tuning = Tuning(recipe="last-layer", epochs=1, max_candidates=2)
    found = compare(tiny_models, holdout, out=tmp_path, options=replace(options, tuning=tuning))
    names = {row.name for row in found.rows}
    best = found.rows[0].name.removesuffix(", tuned")
    assert f"{best}, tuned" in names
    assert all(row.error == "" for row in found.rows)
    record = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert len(record["rows"]) == len(names)
