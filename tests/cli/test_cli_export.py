"""``headstart export``: what it prints, what it leaves, and how it fails."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs
from headstart.compare import CompareOptions, fit_one
from headstart.data import open_dataset


def test_it_says_what_was_proven(headstart: Callable, tiny_folder: Path, few_shapes: Path) -> None:
    said = headstart("export", tiny_folder, "-o", "t.safetensors", "--pictures", few_shapes)
    assert said.code == 0, said.err
    lines = dict(line.split(maxsplit=1) for line in said.out.splitlines() if not line[0].isdigit())
    assert "t.safetensors" in lines["file"]
    assert f"45 pictures of {few_shapes.name}" in lines["proven"]
    assert "100.0%" in said.out
    assert "of the model itself" in lines["accuracy"]
    assert Path("t.safetensors").is_file()
    assert Path("t.safetensors.py").is_file()


def test_json_is_the_record(headstart: Callable, tiny_folder: Path, few_shapes: Path) -> None:
    words = ("export", tiny_folder, "-o", "new/t.safetensors", "--pictures", few_shapes, "--json")
    record = json.loads(headstart(*words, "--max-pictures", "9").out)
    assert record["path"] == "new/t.safetensors"
    assert record["parity"]["num_pictures"] == 9
    assert record["parity"]["largest_difference"] < 1e-5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "t.h5"), "'t.h5' says no format by its suffix"),
        (("-o", "t.onnx", "--quantize", "int8", "--max-loss", "much"), "'much' is not a number"),
        (("-o", "t.safetensors", "--pictures", "nowhere"), "nowhere"),
        (("-o", "t.safetensors", "--include-preprocessing"), "no preprocessing"),
        (("-o", "t.pt2", "--format", "onnx"), "does not end in .onnx"),
    ],
)
def test_a_mistake_is_one_error_and_leaves_nothing(
    headstart: Callable, tiny_folder: Path, words: tuple[str, ...], message: str
) -> None:
    said = headstart("export", tiny_folder, *words)
    assert said.code == 1
    [error] = said.error_lines()
    assert message in error
    assert not [path for path in Path().iterdir() if path.name.startswith(("t.", ".t."))]


def test_int8_needs_a_picture_to_calibrate_with(headstart: Callable, tiny_folder: Path) -> None:
    said = headstart("export", tiny_folder, "-o", "t.onnx", "--quantize", "int8")
    assert said.code == 1
    assert "none were given" in said.error_lines()[0]
    assert "--pictures" in said.hint_lines()[0]


def test_pictures_of_the_run_that_the_model_lies_in(
    tmp_path: Path, tiny_models: tuple[str, str], few_shapes: Path
) -> None:
    options = CompareOptions(resolutions=(32,))
    run = tmp_path / "runs" / "few"  # the pictures are elsewhere
    comparison = fit_one(tiny_models[1], open_dataset(few_shapes), out=run, options=options)
    classifier = hs.load(str(run / "model"))
    notes: list[str] = []

    class Listener:
        def start(self, what: str, *, total: int | None = None, unit: str = "") -> None: ...
        def advance(self, count: int = 1) -> None: ...
        def note(self, text: str) -> None:
            notes.append(text)

    parity = hs.export(classifier, tmp_path / "t.safetensors", progress=Listener()).parity
    assert parity.pictures == f"45 pictures of {few_shapes.name}"
    assert parity.own_accuracy is not None
    assert not any("cannot be used" in note for note in notes)
    assert str(few_shapes) not in (run / "comparison.json").read_text()
    for name in ("comparison.json", "progress.json"):
        record = json.loads((run / name).read_text())
        gone = {key: "gone" for key in record if key.endswith("_location")}
        (run / name).write_text(json.dumps(record | gone))
    parity = hs.export(classifier, tmp_path / "t.safetensors", progress=Listener()).parity
    assert "made for it" in parity.pictures
    assert any("cannot be used" in note for note in notes)
    assert comparison.protocol.num_test == 0


@pytest.mark.slow
def test_validation_pictures_of_a_run(
    tmp_path: Path, tiny_models: tuple[str, str], draw_folder: Callable[..., Path]
) -> None:
    from headstart.data.prepare import open_splits

    options = CompareOptions(resolutions=(32,))
    pictures = draw_folder(tmp_path / "shapes", per_class=220)  # enough for a test and a validation part
    splits = open_splits(str(pictures), sample={})
    fit_one(tiny_models[1], splits, out=tmp_path / "run", options=options)
    classifier = hs.load(str(tmp_path / "run" / "model"))
    parity = hs.export(classifier, tmp_path / "t.safetensors").parity
    assert splits.val is not None
    assert parity.num_pictures == len(splits.val)
    assert "validation pictures of the run" in parity.pictures
