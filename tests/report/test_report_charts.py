"""What is drawn, in numbers: nothing outside, nothing on top of another, nothing lost."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.evaluate.records import Estimate
from headstart.report.charts import accuracy_scale, gauge, whisker
from headstart.report.confusion import (
    MAX_TABLE_CLASSES,
    confused_pairs,
    grid_picture,
    hardest_classes,
    heat_rows,
)
from headstart.report.labels import Box, Label, extent, place_labels
from headstart.report.scatter import Point, scatter

SHARES = st.tuples(*[st.floats(0, 1)] * 3).map(sorted)


def estimate(low: float, value: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=100, method="wilson")


@given(st.lists(SHARES, min_size=1, max_size=6))
def test_scale_holds_every_interval_with_few_round_ticks(shares: list[list[float]]) -> None:
    scale = accuracy_scale([estimate(*each) for each in shares])
    assert all(-1e-9 <= scale.part(value) <= 1 + 1e-9 for each in shares for value in each)
    assert 3 <= len(scale.ticks()) <= 10
    assert scale.low >= 0


@given(
    st.lists(
        st.tuples(st.floats(60, 740), st.floats(20, 370), st.floats(0, 60), st.integers(1, 34)),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=60)
def test_labels_never_overlap_and_stay_inside(marks: list[tuple[float, float, float, int]]) -> None:
    area = Box(58, 14, 744, 374)
    taken = [Box(x - 8, y - 8, x + 8, y + 8) for x, y, _, _ in marks]
    wanted = [Label(x, y, y - reach, y + reach, "m" * length, "7") for x, y, reach, length in marks]
    boxes = [extent(label) for label in place_labels(wanted, taken=taken, area=area)]
    assert all(box.inside(area) for box in boxes)
    everything = boxes + taken
    assert not any(
        box.overlaps(other) for index, box in enumerate(boxes) for other in everything[index + 1 :]
    )


def test_a_lone_label_gets_its_full_text() -> None:
    area = Box(0, 0, 760, 420)
    placed = place_labels([Label(300, 200, 150, 250, "resnet50", "1")], taken=[], area=area)
    assert [each.text for each in placed] == ["resnet50"]


@pytest.mark.parametrize("latencies", [(8.0,), (0.4, 900.0), (10.0, 10.0), (1.0, 100.0)])
def test_scatter_puts_every_mark_into_the_frame(latencies: tuple[float, ...]) -> None:
    points = [
        Point(
            place=place, name=f"<m{place}>", latency_ms=latency, accuracy=estimate(0.8, 0.9, 1.0), tone="tied"
        )
        for place, latency in enumerate(latencies, start=1)
    ]
    root = ElementTree.fromstring(scatter(points))
    circles = root.findall(".//circle")
    assert len(circles) == len(latencies)
    assert all(58 < float(circle.attrib["cx"]) < 744 for circle in circles)
    assert all(14 <= float(circle.attrib["cy"]) <= 374 for circle in circles)
    assert root.findtext("desc", "").startswith("1. <m1>: 90.0")


def test_faster_is_left_and_better_is_up() -> None:
    points = [
        Point(place=1, name="slow", latency_ms=80.0, accuracy=estimate(0.93, 0.95, 0.97), tone="tied"),
        Point(place=2, name="fast", latency_ms=8.0, accuracy=estimate(0.86, 0.89, 0.92), tone="behind"),
    ]
    circles = {
        group.attrib["class"]: group.find("circle")
        for group in ElementTree.fromstring(scatter(points)).iter("g")
    }
    slow, fast = circles["mark tied"], circles["mark behind"]
    assert slow is not None
    assert fast is not None
    assert float(fast.attrib["cx"]) < float(slow.attrib["cx"])
    assert float(slow.attrib["cy"]) < float(fast.attrib["cy"])


def test_bars_are_well_formed_and_true_to_scale() -> None:
    middle = estimate(0.2, 0.5, 0.8)
    scale = accuracy_scale([estimate(0, 0.5, 1)])
    root = ElementTree.fromstring(whisker(middle, scale, tone="tied"))
    dot = root.find("circle")
    assert dot is not None
    assert float(dot.attrib["cx"]) == 60
    bar = ElementTree.fromstring(gauge(middle, guessing=0.1))
    assert [float(each.attrib.get("x", 0)) for each in bar.findall("rect")] == [0, 0, 20]


def test_heat_table_has_counts_shares_and_tones() -> None:
    first, empty = heat_rows(((9, 1), (0, 0)), ("a", "b"))
    assert (first.total, first.found) == (10, 0.9)
    assert [(cell.count, cell.share, cell.tone) for cell in first.cells] == [
        (9, 0.9, "right6"),
        (1, 0.1, "wrong2"),
    ]
    assert (empty.total, empty.found) == (0, 0.0)
    assert {cell.tone for cell in empty.cells} == {""}


def test_confused_pairs_and_hardest_classes_are_the_worst_first() -> None:
    confusion, names = ((5, 3, 2), (0, 9, 1), (0, 0, 4)), ("a", "b", "c")
    pairs = confused_pairs(confusion, names, limit=2)
    assert [(pair.true_class, pair.predicted_class, pair.count, pair.share) for pair in pairs] == [
        ("a", "b", 3, 0.3),
        ("a", "c", 2, 0.2),
    ]
    assert [row.name for row in hardest_classes(confusion, names, limit=9)] == ["a", "b"]


def drawn_cells(svg: str) -> set[tuple[int, int]]:
    cells = set()
    for column, row, length in re.findall(r"M(\d+) (\d+)h(\d+)", svg):
        cells |= {(int(row), int(column) + step) for step in range(int(length))}
    return cells


def test_grid_draws_exactly_the_cells_that_have_pictures() -> None:
    matrix = np.random.default_rng(0).integers(0, 4, (40, 40)) * np.random.default_rng(1).integers(
        0, 2, (40, 40)
    )
    svg = grid_picture(matrix.tolist(), title="a & b")
    ElementTree.fromstring(svg)
    assert len(matrix) > MAX_TABLE_CLASSES
    assert drawn_cells(svg) == {(int(row), int(column)) for row, column in np.argwhere(matrix)}


def test_grid_of_a_thousand_classes_is_binned_and_loses_none() -> None:
    matrix = [[0] * 1000 for _ in range(1000)]
    matrix[999][0] = 3
    matrix[500][500] = 1
    assert drawn_cells(grid_picture(matrix, title="")) == {(199, 0), (100, 100)}


def test_grid_joins_neighbours_of_one_tone() -> None:
    strokes = re.findall(r"M\d+ \d+h\d+", grid_picture([[1] * 40] * 40, title=""))
    assert len(strokes) == 40 * 3 - 2  # left of the diagonal, on it, right of it; nothing beyond the corners
