"""Networks side by side at the command: their card, their files, and what a pair without a head says."""

from collections.abc import Callable

PAIR = "efficientnet_lite0+efficientnet_lite1"
NAMES = ["starter/efficientnet_lite0.in1k", "starter/efficientnet_lite1.in1k"]


def test_the_card_says_what_both_are(headstart: Callable) -> None:
    said = headstart("models", PAIR)
    assert said.code == 0
    for fact in ("2560", "10.1 M", "40.8 MB", "Apache-2.0", "permitted", "source 2"):
        assert fact in said.out
    assert " ".join(NAMES) in headstart("models", PAIR, "--csv").out


def test_the_files_of_both_are_fetched(headstart: Callable) -> None:
    said = headstart("fetch", PAIR)
    assert said.code == 0
    assert [line.partition(":")[0] for line in said.out.splitlines()] == NAMES


def test_without_a_head_it_classifies_nothing(headstart: Callable, shapes: object) -> None:
    said = headstart("predict", PAIR, shapes)
    assert said.code == 1
    assert "no classifier of its own" in said.err
    assert f"headstart probe DATA --models {'+'.join(NAMES)}" in said.hint_lines()[0]


def test_a_mistyped_part_is_told_at_once(headstart: Callable, shapes: object) -> None:
    said = headstart("probe", shapes, "--models", "efficientnet_lite0+efficientnet_lit1")
    assert said.code != 0
    assert "no model is called 'efficientnet_lit1'" in said.error_lines()[0]
    assert "did you mean 'efficientnet_lite1'" in said.hint_lines()[0]
