"""Who runs: models at resolutions, and who of them is the reference."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from headstart.catalog.entry import ModelEntry, Preprocessing, WeightsEntry
from headstart.compare import CompareOptions, compare
from headstart.compare.candidates import find_entries, list_candidates, name_reference
from headstart.core.errors import InputError, UnknownModelError
from headstart.data import Splits


def row(name: str, top1: float | None = None) -> ModelEntry:
    provider, _, rest = name.partition("/")
    architecture, _, tag = rest.partition(".")
    weights = WeightsEntry(tag=tag, sources=(), top1=top1, preprocessing=Preprocessing())
    return ModelEntry(name=name, provider=provider, architecture=architecture, family="", weights=weights)


ROWS = [row("torchvision/resnet50.V1", 0.76), row("timm/resnet50.a1", 0.81), row("timm/resnet50d.a1", 0.81)]


def test_one_resolution_leaves_the_names_and_several_mark_them() -> None:
    assert [each.name for each in list_candidates(ROWS[:2], CompareOptions(resolutions=("auto",)))] == [
        each.name for each in ROWS[:2]
    ]
    several = list_candidates(ROWS[:1], CompareOptions(resolutions=(96, "native")))
    assert [(each.name, each.resolution) for each in several] == [
        ("torchvision/resnet50.V1@96", 96),
        ("torchvision/resnet50.V1@native", "native"),
    ]
    assert [each.name for each in list_candidates(ROWS[:1], CompareOptions(resolutions=(96, 96)))] == [
        "torchvision/resnet50.V1"
    ]


def test_every_way_of_using_a_model_is_a_candidate_and_names_say_what_differs() -> None:
    options = CompareOptions(
        resolutions=("auto",),
        fits=(None, "pad"),
        feature_points=("pooled", "concat"),
        batch_norms=("pretrained",),
    )
    found = list_candidates(ROWS[:1], options)
    assert [each.name.partition("@")[2] for each in found] == [
        "as-trained,pooled",
        "as-trained,concat",
        "pad,pooled",
        "pad,concat",
    ]
    assert [(each.fit, each.feature_point, each.batch_norm) for each in found[2:]] == [
        ("pad", "pooled", "pretrained"),
        ("pad", "concat", "pretrained"),
    ]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", "timm/resnet50.a1@128"),  # the best published one, of equals the nearest to its own resolution
        ("resnet50", "torchvision/resnet50.V1@96"),
        ("timm/resnet50", "timm/resnet50.a1@96"),
        ("resnet50.a1", "timm/resnet50.a1@96"),
        ("timm/resnet50.a1", "timm/resnet50.a1@96"),
        ("timm/resnet50.a1@128", "timm/resnet50.a1@128"),
        ("resnet50d", "timm/resnet50d.a1@96"),
        ("resnet", ""),
        ("timm/resnet50.V1", ""),
    ],
)
def test_the_reference_is_found_by_any_of_its_names(wanted: str, found: str) -> None:
    assert name_reference(list_candidates(ROWS, CompareOptions(resolutions=(96, 128))), wanted) == found


def test_the_fuller_name_wins() -> None:
    checkpoint = replace(row("checkpoint/mine"), architecture="timm/resnet50.a1")
    assert (
        name_reference(
            list_candidates([checkpoint, ROWS[1]], CompareOptions(resolutions=(96,))), ROWS[1].name
        )
        == ROWS[1].name
    )


def test_without_published_figures_there_is_no_reference() -> None:
    assert (
        name_reference(list_candidates([row("timm/resnet50.a1")], CompareOptions(resolutions=(96,))), "")
        == ""
    )


def test_rows_names_and_patterns_mix() -> None:
    mine = row("mine/net")
    found = find_entries([mine, "efficientnet_lite0", "starter/efficientnet_lite*"])
    assert found.entries[0] is mine
    assert [each.architecture for each in found.entries[1:]] == [f"efficientnet_lite{k}" for k in range(3)]


def test_what_cannot_run_is_refused_before_any_work(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    run = tmp_path / "run"
    with pytest.raises(InputError, match="reference 'resnet18' is not among") as caught:
        compare(tiny_models, holdout, out=run, options=replace(options, reference="resnet18"))
    assert tiny_models[0] in caught.value.hint
    with pytest.raises(InputError, match="no resolution"):
        compare(tiny_models, holdout, out=run, options=replace(options, resolutions=()))
    with pytest.raises(InputError, match="no model was named"):
        compare([], holdout, out=run, options=options)
    with pytest.raises(UnknownModelError):
        compare(["resnet5O"], holdout, out=run, options=options)
    assert not run.exists()


def test_a_model_runs_at_every_resolution(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    comparison = compare(
        tiny_models[1:], holdout, out=tmp_path / "run", options=replace(options, resolutions=(32, 96))
    )
    name = tiny_models[1]
    assert {row.name: (row.model, row.resolution) for row in comparison.rows} == {
        f"{name}@32": (name, 32),
        f"{name}@96": (name, 96),
    }
    assert not any(row.error for row in comparison.rows)
    assert comparison.preprocessing is not None
    side = int(comparison.chosen.rpartition("@")[2])
    assert comparison.preprocessing.input_size == (side, side)
    assert comparison.load_best().preprocessing.input_size == (side, side)


def test_the_default_folder_bears_the_name_of_the_pictures(
    tiny_models: tuple[str, str],
    holdout: Splits,
    tmp_path: Path,
    options: CompareOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    comparison = compare(tiny_models[1:], holdout, options=options)
    assert comparison.folder == Path("headstart-runs") / "shapes"
    assert (tmp_path / "headstart-runs" / "shapes" / "comparison.json").is_file()


def test_little_is_imported_before_pictures_are_read_and_to_read_them(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.jpg")
    code = """
import sys
import headstart.compare.probe, headstart.compare.tune
from headstart.catalog.entry import Preprocessing
from headstart.data import pixels
raw = open(sys.argv[1], "rb").read()
pixels.prepare_picture(raw, (Preprocessing(),), decoder="fast")
assert pixels._torchvision_decoder() is not None
print([name for name in ("timm", "torchvision", "sklearn", "scipy") if name in sys.modules])
"""
    words = [sys.executable, "-c", code, tmp_path / "red.jpg"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
