"""The small bars of the report as SVG text: numbers in, markup out, colours left to the style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from markupsafe import Markup

from headstart.evaluate.records import Estimate
from headstart.report.numbers import percent

_TICK_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_MAX_STEPS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A stretch of the accuracy axis.

    Attributes:
        low: lower end, in [0, 1].
        high: upper end, above `low`.
        step: distance between ticks.
    """

    low: float
    high: float
    step: float

    def part(self, value: float) -> float:
        """Return where `value` lies on the stretch, 0 for its lower and 1 for its upper end."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return the values of the ticks, ascending, both ends included."""
        steps = round((self.high - self.low) / self.step)
        return [self.low + index * self.step for index in range(steps + 1)]

    def label(self, value: float) -> str:
        """Return `value` in percent with as many digits as the ticks need."""
        return percent(value, digits=0 if self.step >= 0.01 else 1)


def accuracy_scale(estimates: Sequence[Estimate]) -> Scale:
    """Return a stretch with round ends that holds all intervals, at least two steps wide.

    Args:
        estimates: at least one.
    """
    low, high = min(each.low for each in estimates), max(each.high for each in estimates)
    step = next((step for step in _TICK_STEPS if (high - low) / step <= _MAX_STEPS), _TICK_STEPS[-1])
    # Rounding away the last digits first keeps 0.94 / 0.01 from being floored to 93.
    start, end = floor(round(low / step, 6)), ceil(round(high / step, 6))
    if end - start < 2:
        start, end = max(start - 1, 0), max(start - 1, 0) + 2
    return Scale(low=start * step, high=end * step, step=step)


def whisker(estimate: Estimate, scale: Scale, *, tone: str) -> Markup:
    """Return the small bar of one row of a table: the interval as a line, the value as a dot.

    It is hidden from screen readers: the numbers stand beside it.

    Args:
        estimate: what to draw, inside `scale`.
        scale: the same for all rows of the table.
        tone: class for the style sheet: "chosen", "tied", "behind".
    """
    low, middle, high = (4 + 112 * scale.part(each) for each in (estimate.low, estimate.value, estimate.high))
    return Markup(
        '<svg class="whisker {tone}" viewBox="0 0 120 14" aria-hidden="true" focusable="false">'
        '<path class="track" d="M4 7H116"/><path class="span" d="M{low:.1f} 7H{high:.1f}"/>'
        '<path class="ends" d="M{low:.1f} 3.5v7M{high:.1f} 3.5v7"/>'
        '<circle class="dot" cx="{middle:.1f}" cy="7" r="3.6"/></svg>'
    ).format(tone=tone, low=low, middle=middle, high=high)


def gauge(accuracy: Estimate, *, guessing: float | None) -> Markup:
    """Return the bar of the first screen, from none to all pictures right; it stretches to any width.

    Args:
        accuracy: value and interval.
        guessing: accuracy of always naming the most common class, drawn as a line; None for no line.
    """
    return Markup(
        '<svg class="gauge" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" '
        'focusable="false"><rect class="rest" width="100" height="10"/>'
        '<rect class="value" width="{value:.2f}" height="10"/>'
        '<rect class="sure" x="{low:.2f}" width="{width:.2f}" height="10"/>{middle}{guess}</svg>'
    ).format(
        value=100 * accuracy.value,
        low=100 * accuracy.low,
        width=max(100 * (accuracy.high - accuracy.low), 0.2),
        middle=_upright("middle", accuracy.value),
        guess="" if guessing is None else _upright("halo", guessing) + _upright("guess", guessing),
    )


def _upright(tone: str, value: float) -> Markup:
    path = Markup('<path class="{}" d="M{:.2f} 0V10" vector-effect="non-scaling-stroke"/>')
    return path.format(tone, 100 * value)
