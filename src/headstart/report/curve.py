"""The learning curve as SVG text, and what it says in sentences."""

from collections.abc import Sequence
from math import log2

from markupsafe import Markup

from headstart.compare.advice_records import ClassOutlook, LearningCurve, Prediction
from headstart.evaluate.records import Estimate
from headstart.report.charts import Scale, accuracy_scale
from headstart.report.labels import Box
from headstart.report.numbers import NBSP, count, percent, percent_span, points

_WIDTH, _HEIGHT = 760, 340
_PLOT = Box(58, 14, _WIDTH - 24, _HEIGHT - 46)
_RADIUS = 5
MAX_CLASSES = 10
_NAMED = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}


def curve_chart(curve: LearningCurve) -> Markup:
    """Return the chart: training pictures on a logarithmic axis, accuracy with its intervals.

    What was measured is filled, what is predicted hollow and joined by dashes. Numbers alone go into it, so
    that nothing in it can be anything but text.
    """
    known = list(zip(curve.sizes, curve.accuracies, strict=True))
    expected = [(each.num_train, each.accuracy) for each in curve.predictions]
    scale = accuracy_scale([estimate for _, estimate in (*known, *expected)])
    ends = (known[0][0], (expected or known)[-1][0])
    solid, dashed = (
        [(_x(size, ends), _y(estimate.value, scale)) for size, estimate in points_]
        for points_ in (known, [known[-1], *expected])
    )
    marks = [_mark(size, estimate, ends, scale, tone="chosen", word="measured") for size, estimate in known]
    marks += [
        _mark(size, estimate, ends, scale, tone="behind", word="predicted") for size, estimate in expected
    ]
    return Markup(
        '<svg class="scatter curve mark chosen" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="curve-title curve-desc"><title id="curve-title">{title}</title>'
        '<desc id="curve-desc">{description}</desc>{frame}'
        '<path class="line" fill="none" stroke="currentColor" d="{solid}"/>'
        '<path class="line" fill="none" stroke="currentColor" stroke-dasharray="5 4" d="{dashed}"/>'
        "{marks}</svg>"
    ).format(
        width=_WIDTH,
        height=_HEIGHT,
        title=f"{_NAMED[curve.metric].capitalize()} by the number of training pictures",
        description="; ".join(_figures(size, estimate) for size, estimate in (*known, *expected)),
        frame=_frame([size for size, _ in (*known, *expected)], ends, scale),
        solid=_path(solid),
        dashed=_path(dashed),
        marks=Markup("").join(marks),
    )


def curve_sentences(curve: LearningCurve) -> tuple[str, ...]:
    """Return what more pictures would do, a sentence each."""
    sentences = [prediction_sentence(each, curve) for each in curve.predictions]
    sentences.append(
        "These are extrapolations: for pictures like those there are, every class in its share, and for a "
        "linear probe on the same features."
    )
    return tuple(sentences)


def class_rows(
    outlooks: Sequence[ClassOutlook], class_names: Sequence[str]
) -> tuple[tuple[str, str, str, str, str], ...]:
    """Return the classes that would gain most by twice the pictures, at most `MAX_CLASSES`.

    Returns:
        Name, training pictures, share found now, gain in points and its interval, as text.
    """
    most = sorted(outlooks, key=lambda each: (-each.gain.value, each.label))[:MAX_CLASSES]
    return tuple(
        (
            class_names[each.label],
            count(each.num_train),
            percent(each.accuracy.value, digits=0),
            points(each.gain.value),
            f"{points(each.gain.low)} to {points(each.gain.high)}",
        )
        for each in most
    )


def prediction_sentence(prediction: Prediction, curve: LearningCurve) -> str:
    """Return what one growth of the pictures would do."""
    gain, accuracy = prediction.gain, prediction.accuracy
    times = {2: "Twice", 4: "Four times"}.get(prediction.growth, f"{prediction.growth} times")
    text = (
        f"{times} the pictures ({count(prediction.num_train)} to train on) would gain about "
        f"{points(gain.value)} points (95{NBSP}% interval {points(gain.low)} to {points(gain.high)}): "
        f"{_NAMED[curve.metric]} of about {percent(accuracy.value)} "
        f"({percent_span(accuracy.low, accuracy.high)})."
    )
    return f"{text} It may be nothing." if gain.low <= 0 else text


def _x(size: float, ends: tuple[int, int]) -> float:
    whole = max(log2(ends[1] / ends[0]), 1e-9)
    return _PLOT.left + 12 + log2(size / ends[0]) / whole * (_PLOT.right - _PLOT.left - 24)


def _y(value: float, scale: Scale) -> float:
    return _PLOT.bottom - scale.part(value) * (_PLOT.bottom - _PLOT.top)


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _figures(size: int, estimate: Estimate) -> str:
    return f"{count(size)} pictures: {percent(estimate.value)} ({percent_span(estimate.low, estimate.high)})"


def _mark(
    size: int, estimate: Estimate, ends: tuple[int, int], scale: Scale, *, tone: str, word: str
) -> Markup:
    return Markup(
        '<g class="mark {tone}"><title>{title}</title>'
        '<path class="span" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>'
        '<circle class="shape" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/></g>'
    ).format(
        tone=tone,
        title=f"{word}: {_figures(size, estimate)}",
        x=_x(size, ends),
        y=_y(estimate.value, scale),
        top=_y(estimate.high, scale),
        bottom=_y(estimate.low, scale),
        radius=_RADIUS,
    )


def _frame(sizes: Sequence[int], ends: tuple[int, int], scale: Scale) -> Markup:
    text = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    rule = Markup('<path class="rule" d="M{} {:.1f}H{}"/>')
    parts = []
    for value in scale.ticks():
        y = _y(value, scale)
        parts.append(rule.format(_PLOT.left, y, _PLOT.right))
        parts.append(text.format("tick", _PLOT.left - 8, y + 4, "end", scale.label(value)))
    parts += [text.format("tick", _x(size, ends), _PLOT.bottom + 17, "middle", count(size)) for size in sizes]
    middle = (_PLOT.left + _PLOT.right) / 2
    parts.append(text.format("axis", middle, _HEIGHT - 8, "middle", "pictures to train on"))
    return Markup("").join(parts)
