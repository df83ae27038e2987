"""What the report's script draws so that values can be read off: plain lists, in the units that are shown."""

from collections.abc import Sequence
from typing import Any

from headstart.compare.records import Calibration
from headstart.evaluate.records import Rejection
from headstart.report.numbers import percent_span, shorten, significant
from headstart.report.scatter import Point, latency_ticks

_NAME_LIMIT = 34

Plot = dict[str, Any]
"""`x`, ascending; words of each x; `series`, each with label, tone, what to draw, and values or None."""


def cost_plot(points: Sequence[Point]) -> Plot:
    """Return accuracy against latency, a series a tone; {} without points."""
    found = sorted(points, key=lambda point: point.latency_ms)
    if not found:
        return {}
    ticks = latency_ticks([point.latency_ms for point in found])
    names = {"chosen": "chosen", "tied": "tied with the best", "behind": "behind"}
    return {
        "x": [point.latency_ms for point in found],
        "xTitle": "milliseconds a picture",
        "ticks": ticks,
        "range": [ticks[0], ticks[-1]],
        "names": [shorten(point.name, _NAME_LIMIT) for point in found],
        "low": [100 * point.accuracy.low for point in found],
        "high": [100 * point.accuracy.high for point in found],
        "words": [
            f"{point.name}: {100 * point.accuracy.value:.1f} % "
            f"({percent_span(point.accuracy.low, point.accuracy.high)}), {significant(point.latency_ms)} ms"
            for point in found
        ],
        "series": [
            _series(
                label,
                tone,
                "diamond" if tone == "chosen" else "points",
                [100 * point.accuracy.value if point.tone == tone else None for point in found],
            )
            for tone, label in names.items()
            if any(point.tone == tone for point in found)
        ],
    }


def reliability_plot(calibration: Calibration) -> Plot:
    """Return how often the model is right against how sure it says it is."""
    marks = [(each, "before") for each in calibration.before] + [
        (each, "after") for each in calibration.after
    ]
    marks.sort(key=lambda mark: mark[0].confidence)
    x = [100 * each.confidence for each, _ in marks]
    return {
        "x": x,
        "xTitle": "how sure it says it is, %",
        "low": [100 * each.accuracy.low for each, _ in marks],
        "high": [100 * each.accuracy.high for each, _ in marks],
        "range": [0, 100],
        "words": [
            f"{when}: {100 * each.confidence:.0f} % sure, {100 * each.accuracy.value:.0f} % right "
            f"({percent_span(each.accuracy.low, each.accuracy.high)}), {each.accuracy.n} pictures"
            for each, when in marks
        ],
        "series": [
            _series("as sure as right", "rule", "line", x),
            *(
                _series(
                    label,
                    tone,
                    "points",
                    [100 * each.accuracy.value if own == when else None for each, own in marks],
                )
                for when, label, tone in (
                    ("before", "before", "behind"),
                    ("after", "with its temperature", "chosen"),
                )
            ),
        ],
    }


def coverage_plot(rejection: Rejection) -> Plot:
    """Return the accuracy of kept answers against their share."""
    curve = sorted(rejection.curve, key=lambda each: (each.coverage.value, -each.threshold))
    return {
        "x": [100 * each.coverage.value for each in curve],
        "xTitle": "pictures that get an answer, %",
        "range": [0, 100],
        "words": [
            f"From {100 * each.threshold:.1f} % sure, {100 * each.coverage.value:.0f} % of the pictures get "
            f"an answer, {100 * each.accuracy.value:.1f} % of these right "
            f"({percent_span(each.accuracy.low, each.accuracy.high)})."
            for each in curve
        ],
        "chosen": _index_of(curve, rejection),
        "series": [
            _series("interval", "band", "line", [100 * each.accuracy.high for each in curve]),
            _series("interval", "band", "line", [100 * each.accuracy.low for each in curve]),
            _series("right", "chosen", "line", [100 * each.accuracy.value for each in curve]),
        ],
    }


def _index_of(curve: Sequence[Any], rejection: Rejection) -> int:
    """Return the place of the chosen threshold in a curve, the whole of it where none was chosen."""
    threshold = rejection.threshold
    if threshold is None:
        return len(curve) - 1
    return min(range(len(curve)), key=lambda index: abs(curve[index].threshold - threshold))


def _series(label: str, tone: str, drawn: str, values: list[float | None] | list[float]) -> dict[str, Any]:
    return {"label": label, "tone": tone, "drawn": drawn, "values": values}
