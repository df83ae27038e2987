"""Plots of measured points with the straight line through them, and of bars, as SVG text."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 420, 280
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 34, 16, 44
_BARS_WIDTH, _BARS_LEFT, _BARS_TOP, _BARS_BOTTOM, _BAR = 720, 180, 30, 14, 22
_STYLE = (
    "text{font:12px sans-serif;fill:#333}.rule{stroke:#ddd}.line{stroke:#888;stroke-dasharray:4 3}"
    ".span{stroke:#1f5fbf;stroke-width:2}.dot{fill:#1f5fbf}.bar{fill:#b9cdea}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One plot.

    Attributes:
        title: what it shows.
        unit: of the horizontal axis.
        points: size, median, lowest and highest.
        slope: of the straight line.
        intercept: of the straight line.
    """

    title: str
    unit: str
    points: Sequence[tuple[float, float, float, float]]
    slope: float
    intercept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: its name, its length, and what it was at least and at most."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BarPanel:
    """Bars of one scale, with a dashed line at the goal."""

    title: str
    bars: Sequence[Bar]
    goal: float


def draw(panels: Sequence[Panel]) -> str:
    """Return a picture of the plots, two in a row."""
    parts = [
        f'<g transform="translate({place % 2 * _WIDTH} {place // 2 * _HEIGHT})">{_plot(panel)}</g>'
        for place, panel in enumerate(panels)
    ]
    return _picture(parts, 2 * _WIDTH, (len(panels) + 1) // 2 * _HEIGHT)


def draw_bars(panels: Sequence[BarPanel]) -> str:
    """Return a picture of the panels, one below the other."""
    parts, top = [], 0
    for panel in panels:
        parts.append(f'<g transform="translate(0 {top})">{_bars(panel)}</g>')
        top += _BARS_TOP + len(panel.bars) * _BAR + _BARS_BOTTOM
    return _picture(parts, _BARS_WIDTH, top)


def _picture(parts: Sequence[str], width: int, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">'
        f'<style>{_STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _bars(panel: BarPanel) -> str:
    most = 1.1 * max([panel.goal, *(each.high for each in panel.bars)])
    bottom = _BARS_TOP + len(panel.bars) * _BAR

    def x(value: float) -> float:
        return _BARS_LEFT + value / most * (_BARS_WIDTH - _BARS_LEFT - _RIGHT)

    parts = [f'<text x="{_BARS_LEFT}" y="20">{escape(panel.title)}; goal {panel.goal:g}</text>']
    for place, each in enumerate(panel.bars):
        middle = _BARS_TOP + place * _BAR + _BAR / 2
        parts.append(
            f'<text x="{_BARS_LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(each.name)}</text>'
            f'<rect class="bar" x="{_BARS_LEFT}" y="{middle - 7}" width="{x(each.value) - _BARS_LEFT:.1f}" '
            f'height="14"/><path class="span" d="M{x(each.low):.1f} {middle}H{x(each.high):.1f}"/>'
            f'<text x="{x(each.high) + 6:.1f}" y="{middle + 4}">{each.value:.1f}</text>'
        )
    parts.append(f'<path class="line" d="M{x(panel.goal):.1f} {_BARS_TOP - 4}V{bottom + 4}"/>')
    return "".join(parts)


def _plot(panel: Panel) -> str:
    most_x = max(point[0] for point in panel.points)
    most_y = max(point[3] for point in panel.points) * 1.1 or 1.0

    def x(value: float) -> float:
        return _LEFT + value / most_x * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / most_y * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<text x="{_LEFT}" y="20">{escape(panel.title)}</text>']
    for tick in _ticks(most_y):
        parts.append(f'<path class="rule" d="M{_LEFT} {y(tick):.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(most_x):
        parts.append(f'<path class="rule" d="M{x(tick):.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
        parts.append(
            f'<text x="{x(tick):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{tick:,g}</text>'
        )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(panel.unit)}</text>'
    )
    if panel.slope == panel.slope:  # a single point has no line
        end = panel.intercept + panel.slope * most_x
        parts.append(
            f'<path class="line" d="M{x(0):.1f} {y(panel.intercept):.1f}L{x(most_x):.1f} {y(end):.1f}"/>'
        )
    for size, median, low, high in panel.points:
        parts.append(f'<path class="span" d="M{x(size):.1f} {y(low):.1f}V{y(high):.1f}"/>')
        parts.append(f'<circle class="dot" cx="{x(size):.1f}" cy="{y(median):.1f}" r="4"/>')
    return "".join(parts)


def _ticks(most: float) -> list[float]:
    """Return at most seven round values from 0."""
    step = next(
        digit * 10.0**power
        for power in range(-6, 12)
        for digit in (1, 2, 5)
        if most / (digit * 10.0**power) <= 6
    )
    return [index * step for index in range(int(most / step) + 1)]
