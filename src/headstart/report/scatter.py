"""The chart of cost against accuracy as SVG text."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

from headstart.evaluate.records import Estimate
from headstart.report.charts import Scale, accuracy_scale
from headstart.report.labels import Box, Label, place_labels
from headstart.report.numbers import percent, percent_span, shorten, significant

# Size and margins, in units of the viewBox.
_WIDTH, _HEIGHT = 760, 420
_PLOT = Box(58, 14, _WIDTH - 16, _HEIGHT - 46)
_RADIUS = 5
_LABEL_LIMIT = 34
# A screen reader gets this many models from the description; the table has all.
_MAX_DESCRIBED = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One model of the chart.

    Attributes:
        place: its place in the ranking, from 1.
        name: what to call it.
        latency_ms: time of one picture, above 0.
        accuracy: on the validation pictures.
        tone: "chosen", "tied" or "behind".
    """

    place: int
    name: str
    latency_ms: float
    accuracy: Estimate
    tone: str

    @property
    def figures(self) -> str:
        """Name, accuracy and latency in words."""
        accuracy = self.accuracy
        return (
            f"{self.place}. {self.name}: {percent(accuracy.value)} "
            f"({percent_span(accuracy.low, accuracy.high)}), {significant(self.latency_ms)} ms"
        )


def scatter(points: Sequence[Point]) -> Markup:
    """Return the chart: latency on a logarithmic axis, accuracy with its intervals.

    Labels never overlap. A model whose name finds no room is labelled with its place in the ranking, or
    not at all where even that finds none; every mark has name and figures as its title.

    Args:
        points: at least one.
    """
    axes = _Axes(
        accuracy=accuracy_scale([point.accuracy for point in points]),
        latency_ticks=latency_ticks([point.latency_ms for point in points]),
    )
    marks = [_placed(point, axes) for point in sorted(points, key=_drawing_order)]
    parts = [_frame(axes), *(_drawn(mark) for mark in marks), *_labels(marks)]
    return Markup(
        '<svg class="scatter" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="scatter-title scatter-desc">'
        '<title id="scatter-title">Accuracy against time for one picture</title>'
        '<desc id="scatter-desc">{description}</desc>{parts}</svg>'
    ).format(
        width=_WIDTH,
        height=_HEIGHT,
        description="; ".join(point.figures for point in points[:_MAX_DESCRIBED]),
        parts=Markup("").join(parts),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axes:
    accuracy: Scale
    latency_ticks: list[float]

    def x(self, latency_ms: float) -> float:
        first, last = self.latency_ticks[0], self.latency_ticks[-1]
        return _PLOT.left + log10(latency_ms / first) / log10(last / first) * (_PLOT.right - _PLOT.left)

    def y(self, accuracy: float) -> float:
        return _PLOT.bottom - self.accuracy.part(accuracy) * (_PLOT.bottom - _PLOT.top)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    point: Point
    x: float
    y: float
    top: float
    bottom: float


def latency_ticks(latencies: Sequence[float]) -> list[float]:
    """Return the 1-2-5 ticks of a logarithmic axis that holds all latencies with some air on both sides."""
    low, high = min(latencies) / 1.15, max(latencies) * 1.15
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    first = max(index for index, tick in enumerate(ticks) if tick <= low)
    last = min(index for index, tick in enumerate(ticks) if tick >= high)
    return ticks[first : last + 1]


def _drawing_order(point: Point) -> tuple[bool, int]:
    return point.tone == "chosen", -point.place  # what is drawn last lies on top


def _placed(point: Point, axes: _Axes) -> _Mark:
    accuracy = point.accuracy
    return _Mark(
        point=point,
        x=axes.x(point.latency_ms),
        y=axes.y(accuracy.value),
        top=axes.y(accuracy.high),
        bottom=axes.y(accuracy.low),
    )


def _frame(axes: _Axes) -> Markup:
    rule = Markup(
        '<path class="rule" d="{}"/><text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'
    )
    across = [
        rule.format(
            f"M{_PLOT.left} {y:.1f}H{_PLOT.right}", _PLOT.left - 8, y + 4, "end", axes.accuracy.label(value)
        )
        for value, y in ((value, axes.y(value)) for value in axes.accuracy.ticks())
    ]
    upright = [
        rule.format(f"M{x:.1f} {_PLOT.top}V{_PLOT.bottom}", x, _PLOT.bottom + 17, "middle", f"{latency_ms:g}")
        for latency_ms, x in ((latency_ms, axes.x(latency_ms)) for latency_ms in axes.latency_ticks)
    ]
    title = Markup('<text class="axis" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
        (_PLOT.left + _PLOT.right) / 2, _HEIGHT - 8, "milliseconds a picture (faster is left)"
    )
    return Markup("").join([*across, *upright, title])


def _drawn(mark: _Mark) -> Markup:
    return Markup(
        '<g class="mark {tone}"><title>{title}</title>'
        '<path class="span" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>{shape}</g>'
    ).format(
        tone=mark.point.tone,
        title=mark.point.figures,
        x=mark.x,
        top=mark.top,
        bottom=mark.bottom,
        shape=_shape(mark),
    )


def _shape(mark: _Mark) -> Markup:
    x, y = mark.x, mark.y
    if mark.point.tone != "chosen":
        return Markup('<circle class="shape" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(x, y, _RADIUS)
    reach = _RADIUS + 3  # another shape as well as another colour, for those who see no colours
    corners = (
        f"{x:.1f} {y - reach:.1f}L{x + reach:.1f} {y:.1f}L{x:.1f} {y + reach:.1f}L{x - reach:.1f} {y:.1f}"
    )
    return Markup('<path class="shape" d="M{}Z"/>').format(corners)


def _labels(marks: list[_Mark]) -> list[Markup]:
    taken = [Box(mark.x - 2, mark.top, mark.x + 2, mark.bottom) for mark in marks]
    taken += [Box(mark.x - 8, mark.y - 8, mark.x + 8, mark.y + 8) for mark in marks]
    wanted = [
        Label(
            x=mark.x,
            y=mark.y,
            top=mark.top,
            bottom=mark.bottom,
            text=shorten(mark.point.name, _LABEL_LIMIT),
            fallback=str(mark.point.place),
        )
        for mark in sorted(marks, key=lambda mark: (mark.point.tone != "chosen", mark.point.place))
    ]
    label_text = Markup('<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return [
        label_text.format(label.x, label.y, label.anchor, label.text)
        for label in place_labels(wanted, taken=taken, area=_PLOT)
    ]
