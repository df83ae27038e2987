"""Numbers and sentences, one by one."""

from dataclasses import replace
from pathlib import Path

import pytest

from headstart.compare.records import Comparison
from headstart.evaluate.records import Estimate
from headstart.report import numbers, words


def estimate(value: float, n: int = 360) -> Estimate:
    return Estimate(value=value, low=value, high=value, n=n, method="wilson")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.953, "about 95 of 100 new pictures"),
        (0.996, "more than 99 of 100 new pictures"),
        (1.0, "all of the 360 pictures it was tried on"),
        (0.004, "fewer than 1 of 100 new pictures"),
        (0.0, "fewer than 1 of 100 new pictures"),
    ],
)
def test_how_often(value: float, said: str) -> None:
    assert words.how_often(estimate(value)) == said


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.936, 0.964, "94 to 96"),
        (0.9921, 0.9984, "99.2 to 99.8"),
        (0.985, 1.0, "98.5 to 100"),
        (0, 1, "0 to 100"),
    ],
)
def test_percent_span(low: float, high: float, said: str) -> None:
    assert numbers.percent_span(low, high) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "unknown"),
        (812, "812"),
        (812_400, "812 k"),
        (4_652_008, "4.7 M"),
        (304_000_000, "304 M"),
        (1.2e9, "1.2 B"),
    ],
)
def test_parameters(number: float, said: str) -> None:
    assert numbers.parameters(int(number)).replace("\u00a0", " ") == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.84, "0.8 s"), (41.2, "41 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (4329, "1 h 12 min")],
)
def test_duration(seconds: float, said: str) -> None:
    assert numbers.duration(seconds).replace("\u00a0", " ") == said


def test_points_have_a_true_minus_and_no_negative_zero() -> None:
    assert numbers.points(-0.0131) == "\u22121.3"
    assert numbers.points(-0.0001) == "0.0"


@pytest.mark.parametrize("limit", [3, 4, 10, 11])
def test_shorten_keeps_both_ends_within_the_limit(limit: int) -> None:
    short = numbers.shorten("abcdefghijklmnopqrstuvwxyz", limit)
    assert len(short) == limit
    assert short[0] == "a"
    assert short[-1] == "z"
    assert numbers.shorten("abc", limit) == "abc"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("compare /home/ann/flowers --seed 0", "compare flowers --seed 0"),
        ("compare '/home/ann/my flowers/' --x", "compare 'my flowers' --x"),
        ("--out=/srv/runs/x", "--out=x"),
        ("timm/resnet50@/home/ann/w.safetensors@224", "timm/resnet50@w.safetensors@224"),
        (r"C:\Users\ann\flowers", "flowers"),
        ("D:/Users/ann/flowers", "flowers"),
        ("cannot read:/home/ann/x.jpg, truncated", "cannot read:x.jpg, truncated"),
        ("file:///home/ann/x.jpg", "x.jpg"),
        ("https://host.org/a/b/c.pth", "https://host.org/a/b/c.pth"),
        ("starter/efficientnet_lite0 and a/b/c.jpg", "starter/efficientnet_lite0 and a/b/c.jpg"),
        ("~/flowers/a", "~/flowers/a"),
        ("132 pictures/s", "132 pictures/s"),
    ],
)
def test_absolute_paths_are_cut_down_and_nothing_else(text: str, said: str) -> None:
    assert numbers.without_absolute_paths(text) == said


def test_next_command_is_relative_and_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert words.next_command(None) == "headstart predict RUN/model YOUR-PICTURES"
    assert words.next_command(tmp_path / "runs" / "a") == "headstart predict runs/a/model YOUR-PICTURES"
    assert words.next_command(Path("my runs/a")) == "headstart predict 'my runs/a/model' YOUR-PICTURES"
    assert words.next_command(tmp_path.parent / "b") == "headstart predict b/model YOUR-PICTURES"


def test_how_good_is_one_sentence_with_its_evidence(flowers: Comparison) -> None:
    assert words.how_good(flowers).replace("\u00a0", " ") == (
        "It is right on about 94 of 100 new pictures "
        "(95 % interval 92 to 97, measured on 360 pictures never used before)."
    )


def test_ties_name_a_faster_model_only_where_there_is_one(flowers: Comparison) -> None:
    assert words.ties(flowers).startswith("3 other models do just as well")
    assert "prefer it where speed counts" in words.ties(flowers)
    fastest = replace(flowers, chosen="starter/efficientnet_lite0@128")
    assert words.ties(fastest).endswith("None of them is notably faster.")
    alone = replace(flowers, rows=flowers.rows[:1], chosen=flowers.rows[0].name)
    assert words.ties(alone) == ""


def test_guessing_is_the_share_of_the_most_common_class(flowers: Comparison, all_failed: Comparison) -> None:
    assert words.guessing(replace(flowers, confusion=((3, 1), (0, 6)))) == 0.6
    assert words.guessing(all_failed) is None
