"""Networks side by side as candidates like any other: compared, raced, chosen, saved, tidied up."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.catalog import find_model, is_available
from headstart.compare import CompareOptions, compare
from headstart.compare.candidates import list_candidates, missing_rows, name_reference
from headstart.compare.provenance import list_settings
from headstart.data import Splits
from headstart.report import write_report

LITE = ("efficientnet_lite0", "efficientnet_lite1")


@pytest.fixture
def digits() -> Splits:
    """150 of scikit-learn's digits in given parts: 90 for training, 30 for validation, 30 for the test."""
    parts = ("train", "train", "train", "val", "test")
    few = hs.open_dataset("digits").select(range(150))
    return replace(few, given_splits=tuple(parts[index % 5] for index in range(150))).split()


@pytest.mark.slow
def test_a_pair_is_compared_chosen_saved_and_used(
    digits: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    pair = "+".join(LITE)
    chosen = replace(options, resolutions=(32,), reference=pair)
    comparison = hs.compare([*LITE, pair], digits, out=tmp_path / "run", options=chosen)
    rows = {row.entry.architecture: row for row in comparison.rows if row.entry is not None}
    assert set(rows) == {*LITE, pair}
    assert all(row.validation is not None for row in comparison.rows)
    assert comparison.reference == rows[pair].name == find_model(pair).name
    assert rows[pair].feature_dim == sum(rows[name].feature_dim for name in LITE)
    assert rows[pair].cost is not None
    assert rows[pair].cost.num_params > max(rows[name].cost.num_params for name in LITE)
    page = write_report(comparison, tmp_path / "report.html").read_text()
    assert "efficientnet_lite0.in1k+efficientnet_lite1.in1k" in page  # without providers, in the chart
    assert ", ".join(each.weights.sources[0].sha256 for each in find_model(pair).members) in page


def test_a_trained_pair_is_evaluated_and_predicts_from_its_folder_alone(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    comparison = compare(["+".join(tiny_models)], holdout, out=tmp_path / "run", options=options)
    (look,) = comparison.looks
    shutil.move(tmp_path / "run" / "model", tmp_path / "elsewhere")
    classifier = hs.load(str(tmp_path / "elsewhere"))
    assert classifier.network == "timm/test_resnet+timm/test_efficientnet"
    assert holdout.test is not None
    rows = list(hs.predict(classifier, holdout.test))
    right = [
        row.label == holdout.test.class_names[k] for row, k in zip(rows, holdout.test.labels, strict=True)
    ]
    assert np.mean(right) == look.evaluation.accuracy.value


def test_a_pair_races_under_a_budget_in_pictures(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    models = [*tiny_models, "+".join(tiny_models)]
    racing = replace(options, resolutions=(32, 64), budget="1000images")
    first, second = (compare(models, holdout, out=tmp_path / name, options=racing) for name in "ab")
    assert first.race is not None
    assert first.race.spent <= 1000
    assert len(first.rows) == 6
    assert [(row.name, row.validation, row.screening) for row in first.rows] == [
        (row.name, row.validation, row.screening) for row in second.rows
    ]
    pairs = [row for row in first.rows if "+" in row.name]
    assert len(pairs) == 2
    assert all(row.validation is not None or row.screening is not None for row in pairs)


def test_every_way_of_use_is_one_for_a_pair_too(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    ways = replace(options, feature_points=("pooled", "concat"), batch_norms=("pretrained", "reestimated"))
    comparison = compare(["+".join(tiny_models)], holdout, out=tmp_path / "run", options=ways)
    assert len(comparison.rows) == 4
    assert not [row.error for row in comparison.rows if row.error]


def test_a_part_that_cannot_be_had_fails_the_pair_alone(
    tiny_models: tuple[str, str],
    holdout: Splits,
    tmp_path: Path,
    options: CompareOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    models = [tiny_models[0], f"{tiny_models[0]}+timm/resnet18"]
    works, failed = compare(models, holdout, out=tmp_path / "run", options=options).rows
    assert (works.name, works.error) == (tiny_models[0], "")
    assert failed.name == find_model(models[1]).name
    assert "HEADSTART_OFFLINE" in failed.error + failed.hint


@pytest.fixture
def remote(tiny_models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows mine/a and mine/b, whose weights are to be fetched from a mirror."""
    (tmp_path / "mirror").mkdir()
    rows = []
    for name, file in zip("ab", tiny_models, strict=True):
        architecture, _, path = file.partition("@")
        shutil.copy(path, tmp_path / "mirror" / f"{name}.safetensors")
        source = ["url", f"https://weights.test/{name}.safetensors"]
        rows.append({"name": f"mine/{name}", "architecture": architecture, "sources": [source]})
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    monkeypatch.setenv("HEADSTART_CATALOG", str(tmp_path / "rows.json"))
    monkeypatch.setenv("HEADSTART_MIRROR", str(tmp_path / "mirror"))


@pytest.mark.usefixtures("remote")
def test_only_what_is_not_here_is_fetched_and_what_was_here_stays(
    holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    hs.load("mine/a")
    models = ["mine/a+mine/b", "efficientnet_lite0"]
    (pair, _) = list_candidates([find_model(name) for name in models], options)
    assert [row.name for row in missing_rows(pair)] == ["mine/b"]
    frugal = replace(options, keep_weights=False)
    comparison = compare(models, holdout, out=tmp_path / "run", options=frugal)
    assert comparison.chosen == find_model("efficientnet_lite0").name
    assert is_available(find_model("mine/a"))
    assert not is_available(find_model("mine/b"))


@pytest.mark.usefixtures("remote")
def test_what_the_chosen_pair_needs_stays(holdout: Splits, tmp_path: Path, options: CompareOptions) -> None:
    frugal = replace(options, keep_weights=False)
    compare(["mine/a+mine/b"], holdout, out=tmp_path / "run", options=frugal)
    assert is_available(find_model("mine/a+mine/b"))


def test_a_pair_has_the_names_that_its_parts_have(options: CompareOptions) -> None:
    pair = "+".join(LITE)
    candidates = list_candidates([find_model(LITE[0]), find_model(pair)], options)
    for wanted in (pair, "starter/efficientnet_lite0+starter/efficientnet_lite1", candidates[1].name):
        assert name_reference(candidates, wanted) == candidates[1].name
    assert name_reference(candidates, "") == candidates[0].name  # nothing is published of the pair


def test_other_weights_of_a_part_are_another_run(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    own = tmp_path / "own.safetensors"
    name = f"{tiny_models[0]}+timm/test_efficientnet@{own}"
    found = []
    for content in (b"these", b"those"):
        own.write_bytes(content)
        candidates = list_candidates([find_model(name)], options)
        found.append(list_settings(candidates, holdout, "", options)["weights"])
    assert found[0] != found[1]
