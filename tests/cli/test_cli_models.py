"""``headstart models`` as a user meets it: table, JSON, CSV, card, what is hidden, what is wrong."""

import csv
import io
import json
from collections.abc import Callable

import pytest

SEVEN = (
    "bninception",
    "polynet",
    "fbresnet152",
    "cafferesnet101",
    "nasnetamobile",
    "resnext101_32x4d",
    "resnext101_64x4d",
)


def test_table_has_a_column_for_what_one_chooses_by(headstart: Callable) -> None:
    line = headstart("models", "torchvision/resnet50.*V2").out.splitlines()[0]
    assert line.split() == [
        "torchvision/resnet50.IMAGENET1K_V2", "25.6", "M", "4.09", "G", "224", "80.9%", "?", "missing",
    ]  # fmt: skip


def test_columns_are_aligned(headstart: Callable) -> None:
    lines = headstart("models", "--family", "senet").out.splitlines()
    assert len(lines) > 10
    assert len({line.index(" M ") for line in lines}) == 1
    assert len({line.index("% ") for line in lines}) == 1


def test_filters_and_order_reach_the_catalogue(headstart: Callable) -> None:
    words = ["--max-macs", "1G", "--min-top1", "78%", "--classes", "1000", "--max-resolution", "256"]
    said = headstart("models", *words, "--sort", "top1", "--json")
    rows = json.loads(said.out)
    assert said.code == 0
    assert len(rows) > 10
    for row in rows:
        assert row["num_macs"] <= 1e9
        assert row["weights"]["top1"] >= 0.78
        assert row["weights"]["num_classes"] == 1000
        assert max(row["weights"]["preprocessing"]["input_size"]) <= 256
        assert row["state"] in ("package", "missing")
        assert row["commercial_use"] in (True, False, None)
    shares = [row["weights"]["top1"] for row in rows]
    assert shares == sorted(shares, reverse=True)
    turned = json.loads(headstart("models", *words, "--sort", "top1", "--reverse", "--json").out)
    assert [row["weights"]["top1"] for row in turned] == shares[::-1]


@pytest.mark.parametrize(
    ("words", "fact", "least", "most"),
    [
        (["--min-real", "0.9"], lambda row: row["weights"]["real_top1"], 0.9, 1),
        (["--min-v2", "0.8"], lambda row: row["weights"]["v2_top1"], 0.8, 1),
        (["--max-features", "256"], lambda row: row["feature_dim"], 1, 256),
        (["--max-params", "1M"], lambda row: row["num_params"], 1, 1e6),
    ],
)
def test_bounds(headstart: Callable, words: list[str], fact: Callable, least: float, most: float) -> None:
    rows = json.loads(headstart("models", *words, "--json").out)
    assert rows
    assert all(least <= fact(row) <= most for row in rows)


def test_commercial_says_how_many_it_hides(headstart: Callable) -> None:
    said = headstart("models", "--license", "commercial", "--family", "resnet")
    assert said.code == 0
    assert "CC-BY-NC" not in said.out
    assert said.err.splitlines()[-1].endswith(
        "hidden: whether their licence permits commercial use is unknown"
    )
    hidden = int(said.err.splitlines()[-1].split()[0])
    assert hidden == len(headstart("models", "--license", "unknown", "--family", "resnet").out.splitlines())
    assert "hidden" not in headstart("models", "--license", "MIT").err


def test_csv_has_one_row_a_model_and_a_column_a_fact(headstart: Callable) -> None:
    said = headstart("models", "--pretrained-on", "in22k", "--csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert len(rows) > 200
    assert all("imagenet-2" in row["pretrained_on"] for row in rows)
    first = next(row for row in rows if row["top1"])
    assert 0 < float(first["top1"]) < 1
    assert int(first["num_params"]) > 0
    assert first["preprocessing_input_size"].split()
    assert {"name", "license", "commercial_use", "num_macs", "paper", "state"} <= set(first)
    assert None not in first, "a row has more cells than the header"


def test_csv_of_nothing_is_nothing(headstart: Callable) -> None:
    said = headstart("models", "nothing-like-it*", "--csv")
    assert (said.code, said.out) == (0, "")


@pytest.mark.parametrize("name", SEVEN)
def test_the_seven_say_that_they_have_no_living_source_and_how_to_load_them(
    headstart: Callable, name: str
) -> None:
    listed = headstart("models", f"pretrainedmodels/{name}*").out
    assert listed.rstrip().endswith("no source")
    card = headstart("models", f"pretrainedmodels/{name}").out
    line = next(line for line in card.splitlines() if line.startswith("weights "))
    assert "no living source" in line
    for way in (f"{name}.imagenet@FILE", "HEADSTART_MIRROR", "load-bundle"):
        assert way in line
    assert json.loads(headstart("models", f"pretrainedmodels/{name}", "--json").out)["state"] == "no source"


def test_card_shows_every_fact_with_its_source(headstart: Callable) -> None:
    lines = headstart("models", "timm/resnet50.a1_in1k").out.splitlines()
    card = {line[:16].strip(): line[17:] for line in lines}
    assert card["multiply-adds"] == "4.09 G"
    for data_set in ("ImageNet", "ImageNet-ReaL", "ImageNet-V2"):
        assert card[data_set].startswith("top-1 ")
        assert "results tables" in card[data_set]
    assert card["licence"] == "Apache-2.0"
    assert card["commercial use"].startswith("permitted")
    assert card["paper"] == "https://arxiv.org/abs/2110.00476"  # that of the recipe, which timm states
    unknown = headstart("models", "torchvision/resnet50").out
    assert "commercial use   unknown" in unknown
    assert "torchvision's weight records" in unknown
    assert "not permitted" in headstart("models", "torchvision/vit_b_16.IMAGENET1K_SWAG_E2E_V1").out


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--family", "resnett"], "family 'resnett'", "did you mean 'resnet'?"),
        (["--provider", "torchvison"], "provider 'torchvison'", "did you mean 'torchvision'?"),
        (["--license", "apache-3"], "licence 'apache-3'", "Apache-2.0"),
        (["--min-top1", "78"], "between 0 and 1", "write 0.78"),
        (["--min-v2", "high"], "'high' is not a number", "78%"),
        (["--max-macs", "1 Gig"], "'1 Gig' is not a number", "30M"),
        (["--max-params", "-3M"], "above 0", None),
        (["--max-resolution", "0"], "above 0", None),
        (["--sort", "speed"], "'speed'", "top1"),
        (["--pretrained-on", "in99k"], "'in99k'", "imagenet-22k"),
    ],
)
def test_bad_values_are_clear_errors(
    headstart: Callable, words: list[str], message: str, hint: str | None
) -> None:
    said = headstart("models", *words)
    assert (said.code, said.out) == (1, "")
    assert len(said.error_lines()) == 1
    assert message in said.error_lines()[0]
    assert hint is None or any(hint in line for line in said.hint_lines())
