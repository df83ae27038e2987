"""Who is beaten in accuracy and time at once, and what one costs instead of another."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.compare.metric import picture_weights
from headstart.compare.records import Cost, Row
from headstart.compare.trade_offs import (
    MAX_SENTENCES,
    TradeOff,
    instead_of,
    list_trade_offs,
    pareto,
    pareto_table,
)
from headstart.core.errors import InputError
from headstart.core.records import from_json, to_json
from headstart.evaluate import Estimate, Evaluation, PairedDifference, paired_difference
from headstart.report.trade_off_words import trade_off_sentence


def row(name: str, accuracy: float, latency_ms: float, num_params: int = 1000) -> Row:
    estimate = Estimate(value=accuracy, low=accuracy, high=accuracy, n=100, method="wilson")
    other = Estimate(value=1 - accuracy, low=0, high=1, n=100, method="bootstrap")
    return Row(
        name=name,
        model=name,
        entry=None,
        resolution=64,
        validation=Evaluation(
            accuracy=estimate,
            balanced_accuracy=other,
            macro_f1=estimate,
            log_loss=other,
            calibration_error=other,
            n=100,
        ),
        cost=Cost(latency_ms=latency_ms, pictures_per_second=None, num_params=num_params),
    )


def right(num: int, *, n: int = 100) -> np.ndarray:
    return (np.arange(n) < num).astype(float)


ROWS = (
    row("a", 0.95, 40.0, 4000),
    row("b", 0.94, 10.0, 4000),
    row("c", 0.9, 20.0, 1000),
    row("d", 0.8, 5.0, 900),
)
CORRECT = {"a": right(95), "b": right(94), "c": right(90), "d": right(80)}
FAILED = Row(name="failed", model="failed", entry=None, resolution=0, error="gone")


def test_front_is_what_nothing_beats_in_both() -> None:
    assert pareto((*ROWS, FAILED)) == ("d", "b", "a")
    assert pareto([FAILED]) == ()


def test_front_follows_the_metric() -> None:
    assert pareto(ROWS, metric="balanced_accuracy") == ("d",)


def test_of_two_alike_both_stay() -> None:
    assert set(pareto([row("x", 0.9, 10), row("y", 0.9, 10), row("z", 0.9, 11), row("w", 0.89, 10)])) == {
        "x",
        "y",
    }


@given(st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.7]), st.sampled_from([1.0, 2.0, 3.0])), max_size=7))
def test_everyone_off_the_front_is_beaten_by_one_on_it(points: list[tuple[float, float]]) -> None:
    rows = [row(str(index), *point) for index, point in enumerate(points)]
    front = set(pareto(rows))
    beats = {
        (one, other)
        for one, other in permutations(range(len(points)), 2)
        if points[one][0] >= points[other][0]
        and points[one][1] <= points[other][1]
        and points[one] != points[other]
    }
    for index in range(len(points)):
        beaten = any((other, index) in beats for other in range(len(points)) if str(other) in front)
        assert beaten == (str(index) not in front)


def test_table_says_whose_place_may_be_by_chance() -> None:
    table = {each.name: each for each in pareto_table((*ROWS, FAILED), CORRECT)}
    assert list(table) == ["a", "b", "c", "d"]
    assert table["a"].on_front
    assert table["a"].as_good == "b"  # one picture of a hundred is no difference, and b is 4 times as fast
    assert (table["b"].on_front, table["b"].as_good) == (True, "")  # d is surely worse
    assert not table["c"].on_front
    assert table["c"].license == ""


def test_instead_of_is_paired_and_signed() -> None:
    a, b = ROWS[:2]
    offer = instead_of(b, a, CORRECT)
    assert offer.difference == paired_difference(CORRECT["a"], CORRECT["b"])
    assert (offer.speed_ratio, offer.size_ratio) == (4.0, 1.0)
    assert offer.difference.value == pytest.approx(0.01)
    assert instead_of(a, b, CORRECT).difference.value == pytest.approx(-0.01)
    with pytest.raises(InputError, match="the same pictures"):
        instead_of(b, a, {**CORRECT, "b": right(5, n=50)})


def test_weights_make_the_difference_that_of_the_classes() -> None:
    labels = np.repeat([0, 1], [90, 10])
    correct = {"a": right(90), "b": np.ones(100) - (np.arange(100) < 9)}  # a never finds class 1
    offer = instead_of(ROWS[1], ROWS[0], correct, weights=picture_weights(labels, "balanced_accuracy"))
    assert offer.difference.value == pytest.approx(0.5 - 0.95)


def test_sentences_are_for_what_is_notably_faster_or_smaller() -> None:
    offers = list_trade_offs((*ROWS, row("e", 0.949, 35.0, 3900), FAILED), "a", {**CORRECT, "e": right(94)})
    assert [each.model for each in offers] == ["b", "c", "d"]  # c is slower than b, but the smallest as good
    assert all(each.instead_of == "a" for each in offers)
    assert list_trade_offs(ROWS, "nobody", CORRECT) == ()
    many = [row(str(index), 0.9 - index / 100, 100 / 2**index) for index in range(8)]
    correct = {each.name: right(90 - index) for index, each in enumerate(many)}
    assert len(list_trade_offs(many, "0", correct)) == MAX_SENTENCES


def offer(value: float, low: float, high: float, *, speed: float = 4.0, size: float = 1.0) -> TradeOff:
    difference = PairedDifference(value=value, low=low, high=high, confidence=0.95, n=300)
    return TradeOff(model="B", instead_of="A", difference=difference, speed_ratio=speed, size_ratio=size)


def test_sentence() -> None:
    assert trade_off_sentence(offer(0.003, -0.004, 0.01)) == (
        "B instead of A costs 0.3 points (−0.4 to 1.0) and is 4.0 times as fast. In accuracy these pictures "
        "cannot tell the two apart."
    )
    assert trade_off_sentence(offer(-0.02, -0.03, -0.01, speed=0.5, size=0.25)) == (
        "B instead of A gains 2.0 points (1.0 to 3.0) and takes 2.0 times as long, with 4.0 times the "
        "parameters."
    )
    assert "is as fast, with 50 % of the parameters" in trade_off_sentence(
        offer(0.1, 0.05, 0.2, speed=1, size=2)
    )
    assert "costs 0.0 points (−0.1 to 0.1)" in trade_off_sentence(offer(-0.0001, -0.001, 0.001))
    assert "is 12 times as fast" in trade_off_sentence(offer(0.1, 0.05, 0.2, speed=12.3))


def test_records_survive_json() -> None:
    found = pareto_table(ROWS, CORRECT)[0]
    assert from_json(type(found), to_json(found)) == found
    sentence = offer(0.003, -0.004, 0.01)
    assert from_json(TradeOff, to_json(sentence)) == sentence
