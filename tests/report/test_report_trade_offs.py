"""The partials of learning curve and trade-offs: whole html, names as text, numbers inside the chart."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from markupsafe import Markup

from headstart.compare.advice_records import LearningCurve
from headstart.compare.extrapolation import Measured, describe_curve
from headstart.compare.fine_tuning import FineTuningOutlook
from headstart.compare.metric import choose_metric
from headstart.compare.trade_offs import ParetoRow, TradeOff
from headstart.evaluate.records import Estimate, PairedDifference
from headstart.report.curve import MAX_CLASSES, class_rows, curve_chart
from headstart.report.html import render_page

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "🦄 & 'élan'",
    "x" * 250,
)


class Tags(HTMLParser):
    """Collects tags and text, and refuses tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(not name.startswith("on") for name, _ in attrs)
        self.seen.append(tag)
        if tag not in ("br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def curve_of(num_classes: int, *, num_val: int = 300) -> LearningCurve:
    rng = np.random.default_rng(0)
    labels = np.arange(num_val) % num_classes
    measured = [
        Measured(size=size, errors=(rng.random((draws, num_val)) < error).astype(float))
        for size, error, draws in ((50, 0.4, 4), (100, 0.3, 2), (200, 0.22, 2), (400, 0.16, 1))
    ]
    return describe_curve(measured, labels, np.full(num_classes, 400 // num_classes), seed=0)


OUTLOOK = FineTuningOutlook(verdict="likely", reasons=("The probe is right on 60 % only.",))


def render(template: str, class_names: tuple[str, ...] = (), **advice: object) -> str:
    """Return a section of the report for a comparison with this advice."""
    comparison = SimpleNamespace(advice=SimpleNamespace(**advice), class_names=class_names)
    return render_page(template, comparison=comparison)


def render_curve(curve: LearningCurve, class_names: tuple[str, ...]) -> str:
    return render("learning_curve.html", class_names=class_names, learning_curve=curve, fine_tuning=OUTLOOK)


def test_learning_curve_with_hostile_names() -> None:
    html = render_curve(curve_of(5), HOSTILE)
    page = Tags(html)
    assert "script" not in page.seen
    assert "img" not in page.seen
    assert all(name[:20] in page.text for name in HOSTILE)
    assert "49" not in re.findall(r">(\d+)<", html)
    assert "Twice the pictures (800 to train on) would gain about" in page.text
    assert "Four times the pictures (1,600" in page.text


@pytest.mark.parametrize("num_classes", [2, 300])
def test_as_many_classes_as_can_be_read(num_classes: int) -> None:
    curve = curve_of(num_classes)
    page = Tags(render_curve(curve, tuple(f"class {index}" for index in range(num_classes))))
    assert page.seen.count("tr") == 1 + min(num_classes, MAX_CLASSES)
    assert ("the first 10 of 300" in page.text) == (num_classes == 300)
    gains = {each.label: each.gain.value for each in curve.per_class}
    shown = [int(name.split()[1]) for name, *_ in class_rows(curve.per_class, [f"c {i}" for i in gains])]
    assert shown[0] == max(gains, key=lambda label: (gains[label], -label))


def test_chart_holds_every_mark_and_no_more() -> None:
    curve = curve_of(2)
    chart = ElementTree.fromstring(str(curve_chart(curve)))
    width, height = (float(each) for each in chart.attrib["viewBox"].split()[2:])
    circles = list(chart.iter("circle"))
    assert len(circles) == len(curve.sizes) + len(curve.predictions)
    places = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in circles]
    assert all(0 < x < width and 0 < y < height for x, y in places)
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert places[0][1] > places[3][1] > places[5][1]  # upwards
    tones = [each.attrib["class"] for each in chart.iter("g")]
    assert tones == ["mark chosen"] * 4 + ["mark behind"] * 2
    assert isinstance(curve_chart(curve), Markup)


def table_row(name: str, *, on_front: bool, as_good: str = "", rate: float | None = 120.0) -> ParetoRow:
    accuracy = Estimate(value=0.934, low=0.91, high=0.953, n=300, method="wilson")
    return ParetoRow(
        name=name,
        accuracy=accuracy,
        latency_ms=8.24,
        pictures_per_second=rate,
        num_params=4_652_008,
        license="" if rate is None else "Apache-2.0",
        on_front=on_front,
        as_good=as_good,
    )


def test_trade_offs_with_hostile_names() -> None:
    difference = PairedDifference(value=0.003, low=-0.004, high=0.01, confidence=0.95, n=300)
    offer = TradeOff(
        model=HOSTILE[0], instead_of=HOSTILE[1], difference=difference, speed_ratio=4.0, size_ratio=1.0
    )
    rows = (
        table_row(HOSTILE[0], on_front=True),
        table_row(HOSTILE[1], on_front=True, as_good=HOSTILE[0]),
        table_row(HOSTILE[2], on_front=False, rate=None),
    )
    page = Tags(
        render(
            "trade_offs.html",
            pareto=rows,
            trade_offs=(offer,),
            metric=choose_metric([100, 100]),
            corrected=Estimate(value=0.93, low=0.9, high=0.95, n=300, method="corrected"),
        )
    )
    text = " ".join(page.text.replace("\u00a0", " ").split())
    assert "script" not in page.seen
    assert "img" not in page.seen
    assert page.seen.count("tr") == 4
    assert "costs 0.3 points (−0.4 to 1.0) and is 4.0 times as fast" in text
    assert "93.4 % 91.0 to 95.3" in text
    assert text.count("on the front") == 2
    assert text.count("not measurably better than") == 1
    assert text.count("beaten") == 1
    assert "not measured" in text
    assert "unknown" in text
    assert "8.2 ms" in text
    assert "4.7 M" in text
    assert "without it its validation accuracy is 93.0 %" in text
