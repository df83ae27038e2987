"""Charts with a share on both axes as SVG text: reliability, and accuracy of what a threshold keeps."""

from collections.abc import Sequence

from markupsafe import Markup

from headstart.compare.records import Calibration, ReliabilityBin
from headstart.evaluate.records import KeptShare, Rejection
from headstart.report.charts import Scale
from headstart.report.labels import Box
from headstart.report.numbers import percent, percent_span

# Size and margins, in units of the viewBox.
_WIDTH, _HEIGHT = 560, 380
_PLOT = Box(56, 14, _WIDTH - 20, _HEIGHT - 46)
_WHOLE = Scale(low=0.0, high=1.0, step=0.2)


def reliability_chart(calibration: Calibration) -> Markup:
    """Return how often the model is right against how sure it is, before and after its temperature."""
    described = "; ".join(_told(each) for each in calibration.after)
    parts = [
        _frame(_WHOLE, x_title="how sure it says it is", y_title="right"),
        Markup('<path class="ideal" d="M{}L{}"/>').format(_at(0.0, 0.0, _WHOLE), _at(1.0, 1.0, _WHOLE)),
        *(_bin(each, tone="behind") for each in calibration.before),
        *(_bin(each, tone="chosen") for each in calibration.after),
    ]
    return _chart("reliability", "How often it is right, against how sure it says it is", described, parts)


def coverage_chart(rejection: Rejection) -> Markup:
    """Return how often the answers given are right, against how many are given; the threshold is marked."""
    curve = rejection.curve
    lowest = min(each.accuracy.low for each in curve)
    scale = Scale(low=min(0.8, int(lowest * 5) / 5), high=1.0, step=0.2 if lowest < 0.6 else 0.05)
    line = "L".join(_at(each.coverage.value, each.accuracy.value, scale) for each in curve)
    upper = [_at(each.coverage.value, each.accuracy.high, scale) for each in curve]
    lower = [_at(each.coverage.value, each.accuracy.low, scale) for each in reversed(curve)]
    parts = [
        _frame(scale, x_title="pictures that get an answer", y_title="right"),
        Markup('<path class="band" d="M{}Z"/>').format("L".join([*upper, *lower])),
        Markup('<path class="curve" d="M{}"/>').format(line),
    ]
    if rejection.kept is not None:
        parts.append(_kept(rejection.kept, scale))
    described = "; ".join(kept_words(each) for each in curve[:: max(1, len(curve) // 10)])
    return _chart("coverage", "Accuracy of the answers given, against how many are given", described, parts)


def kept_words(kept: KeptShare) -> str:
    """Return what a threshold does, in words."""
    return (
        f"from {percent(kept.threshold)} sure: {percent(kept.coverage.value, digits=0)} of the pictures get "
        f"an answer, {percent(kept.accuracy.value)} of these right "
        f"({percent_span(kept.accuracy.low, kept.accuracy.high)})"
    )


def _told(each: ReliabilityBin) -> str:
    return f"{percent(each.confidence, digits=0)} sure: {percent(each.accuracy.value, digits=0)} right"


def _bin(each: ReliabilityBin, *, tone: str) -> Markup:
    x, y = _xy(each.confidence, each.accuracy.value, _WHOLE)
    top, bottom = (_xy(0, end, _WHOLE)[1] for end in (each.accuracy.high, each.accuracy.low))
    return Markup(
        '<g class="mark {tone}"><title>{title}</title>'
        '<path class="span" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>'
        '<circle class="shape" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/></g>'
    ).format(tone=tone, title=f"{_told(each)}, {each.accuracy.n} pictures", x=x, y=y, top=top, bottom=bottom)


def _kept(kept: KeptShare, scale: Scale) -> Markup:
    x, y = _xy(kept.coverage.value, kept.accuracy.value, scale)
    return Markup(
        '<g class="mark chosen"><title>{}</title><path class="shape" d="M{:.1f} {:.1f}l8 8l-8 8l-8 -8Z"/></g>'
    ).format(f"the chosen threshold: {kept_words(kept)}", x, y - 8)


def _chart(name: str, title: str, described: str, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="scatter shares" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="{name}-svg-title {name}-svg-desc"><title id="{name}-svg-title">{title}</title>'
        '<desc id="{name}-svg-desc">{described}</desc>{parts}</svg>'
    ).format(
        width=_WIDTH,
        height=_HEIGHT,
        name=name,
        title=title,
        described=described,
        parts=Markup("").join(parts),
    )


def _frame(scale: Scale, *, x_title: str, y_title: str) -> Markup:
    text = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    rule = Markup('<path class="rule" d="M{} {:.1f}H{}"/>')
    parts = []
    for value in scale.ticks():
        _, y = _xy(0, value, scale)
        parts += [rule.format(_PLOT.left, y, _PLOT.right)]
        parts += [text.format("tick", _PLOT.left - 8, y + 4, "end", scale.label(value))]
    for value in _WHOLE.ticks():
        x, _ = _xy(value, scale.low, scale)
        parts += [text.format("tick", x, _PLOT.bottom + 17, "middle", _WHOLE.label(value))]
    parts += [text.format("axis", (_PLOT.left + _PLOT.right) / 2, _HEIGHT - 8, "middle", x_title)]
    parts += [text.format("axis", _PLOT.left + 6, _PLOT.top + 12, "start", y_title)]
    return Markup("").join(parts)


def _at(x: float, y: float, scale: Scale) -> str:
    return "{:.1f} {:.1f}".format(*_xy(x, y, scale))


def _xy(x: float, y: float, scale: Scale) -> tuple[float, float]:
    return (
        _PLOT.left + x * (_PLOT.right - _PLOT.left),
        _PLOT.bottom - scale.part(y) * (_PLOT.bottom - _PLOT.top),
    )
