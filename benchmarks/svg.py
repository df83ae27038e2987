"""Plots of measured points with the straight line through them, as SVG text."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 420, 280
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 34, 16, 44
_STYLE = (
    "text{font:12px sans-serif;fill:#333}.rule{stroke:#ddd}.line{stroke:#888;stroke-dasharray:4 3}"
    ".span{stroke:#1f5fbf;stroke-width:2}.dot{fill:#1f5fbf}"
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


def draw(panels: Sequence[Panel]) -> str:
    """Return a picture of the plots, two in a row."""
    width, height = 2 * _WIDTH, (len(panels) + 1) // 2 * _HEIGHT
    parts = [
        f'<g transform="translate({place % 2 * _WIDTH} {place // 2 * _HEIGHT})">{_plot(panel)}</g>'
        for place, panel in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">'
        f'<style>{_STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


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
