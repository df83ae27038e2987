"""The parts of a comparison that the templates show, worked out and put into words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headstart.catalog.side_by_side import SIGN
from headstart.compare.records import Alarm, Comparison, Row
from headstart.evaluate.records import PairedDifference
from headstart.report import charts, confusion, words
from headstart.report.galleries import probability_words
from headstart.report.numbers import (
    NBSP,
    count,
    parameters,
    percent,
    points,
    significant,
    without_absolute_paths,
)
from headstart.report.pictures import picture_address
from headstart.report.scatter import Point, scatter

MAX_EXCLUDED = 100
MAX_MISTAKES = 60
_MAX_PAIRS = 20
_MAX_HARDEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedRow:
    """A candidate with evidence, as the ranking shows it.

    Attributes:
        place: from 1.
        name: the model, as shown.
        is_chosen: whether it is the chosen one.
        badges: what is special about it: (class for the style sheet, words) each.
        resolution: of the input, in words.
        accuracy: on the validation pictures, in percent.
        interval: of the accuracy, in percent.
        bar: the same, drawn.
        behind: how far it is behind the best one, in points; "" for the best.
        behind_interval: of that difference.
        log_loss: on the validation pictures.
        parameters: their number.
        latency: milliseconds a picture.
        license: of the weights.
    """

    place: int
    name: str
    is_chosen: bool
    badges: tuple[tuple[str, str], ...]
    resolution: str
    accuracy: str
    interval: str
    bar: Markup
    behind: str
    behind_interval: str
    log_loss: str
    parameters: str
    latency: str
    license: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMistake:
    """A mistake with its picture.

    Attributes:
        id: the picture's id.
        true_class: what it is.
        predicted_class: what it was taken for.
        probability: of the predicted class, in percent.
        true_probability: of the true class, in percent.
        address: the picture as a data: address; "" where there is none.
        heat_address: the same of its heat map.
    """

    id: str
    true_class: str
    predicted_class: str
    probability: str
    true_probability: str
    address: str
    heat_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """The confusion matrix in the form that fits the number of classes.

    Attributes:
        rows: the table; () for many classes.
        picture: the picture of the matrix for many classes; "" for few.
        pairs: what is mixed up most often.
        hardest: the classes found least often; () for few classes, where the table says it.
        cells: what the script needs to read the picture: names, pictures of each class, cells that are not
            empty as true class, predicted class and number, and classes in a row; {} for few classes.
    """

    rows: tuple[confusion.HeatRow, ...]
    picture: Markup
    pairs: tuple[confusion.ConfusedPair, ...]
    hardest: tuple[confusion.HeatRow, ...]
    cells: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftRow:
    """A candidate that left a race before its end, all as text."""

    name: str
    num_pictures: str
    accuracy: str
    interval: str
    exit: str
    reason: str


def scored(comparison: Comparison) -> list[Row]:
    """Return the candidates that have evidence, in the order of the ranking."""
    return [row for row in comparison.rows if row.validation is not None]


def left(comparison: Comparison) -> tuple[LeftRow, ...]:
    """Return those that left a race before its end, the most promising first."""
    return tuple(
        LeftRow(
            name=words.shown_name(row.name),
            num_pictures=count(row.screening.num_train + row.screening.num_val),
            accuracy=percent(accuracy.value) if accuracy else "unknown",
            interval=f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}" if accuracy else "",
            exit=row.screening.exit,
            reason=row.screening.reason,
        )
        for row in comparison.rows
        if row.screening is not None
        for accuracy in (row.screening.accuracy,)
    )


def alarms(comparison: Comparison) -> tuple[tuple[str, tuple[Alarm, ...]], ...]:
    """Return name and alarms of every candidate that has any, in the order of the ranking."""
    return tuple((words.shown_name(row.name), row.alarms) for row in comparison.rows if row.alarms)


def ranking(comparison: Comparison) -> tuple[tuple[RankedRow, ...], str]:
    """Return the rows of the ranking, and in words what the bars reach from and to; ((), "") without any."""
    rows = scored(comparison)
    if not rows:
        return (), ""
    scale = charts.accuracy_scale([row.validation.accuracy for row in rows if row.validation])
    ranked = tuple(_ranked(place, row, comparison, scale) for place, row in enumerate(rows, start=1))
    return ranked, f"{scale.label(scale.low)} to {scale.label(scale.high)}"


def _ranked(place: int, row: Row, comparison: Comparison, scale: charts.Scale) -> RankedRow:
    if row.validation is None:
        raise ValueError(f"{row.name} has no evidence to rank it by")
    accuracy, cost = row.validation.accuracy, row.cost
    behind, behind_interval = _behind(row.behind_best)
    return RankedRow(
        place=place,
        name=words.shown_name(row.name),
        is_chosen=row.name == comparison.chosen,
        badges=_badges(place, row, comparison),
        resolution=f"{row.resolution}{NBSP}px" if row.resolution else "unknown",
        accuracy=percent(accuracy.value),
        interval=f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}",
        bar=charts.whisker(accuracy, scale, tone=_tone(row, comparison)),
        behind=behind,
        behind_interval=behind_interval,
        log_loss=f"{row.validation.log_loss.value:.3f}",
        parameters=parameters(cost.num_params if cost else row.entry.num_params if row.entry else 0),
        latency=f"{significant(cost.latency_ms)}{NBSP}ms" if cost else "unknown",
        license=(row.entry.weights.license if row.entry else "") or "unknown",
    )


def _behind(difference: PairedDifference | None) -> tuple[str, str]:
    if difference is None:
        return "", ""
    return points(difference.value), f"{points(difference.low)} to {points(difference.high)}"


def _tone(row: Row, comparison: Comparison) -> str:
    if row.name == comparison.chosen:
        return "chosen"
    return "tied" if row.tied else "behind"


def _badges(place: int, row: Row, comparison: Comparison) -> tuple[tuple[str, str], ...]:
    badges = []
    if row.name == comparison.chosen:
        badges.append(("chosen", "chosen"))
    if row.tied and place > 1:
        badges.append(("tied", "tied with the best"))
    if row.name == comparison.reference:
        badges.append(("reference", "reference"))
    return tuple(badges)


def confidence(comparison: Comparison) -> str:
    """Return the confidence of the paired intervals, "98.8 %"; "" where there are none."""
    for row in comparison.rows:
        if row.behind_best is not None:
            return f"{100 * row.behind_best.confidence:.3g}{NBSP}%"
    return ""


def cost_chart(comparison: Comparison) -> Markup:
    """Return the chart of cost against accuracy; "" where fewer than two candidates have a measured cost."""
    found = cost_points(comparison)
    return scatter(found) if len(found) > 1 else Markup("")


def cost_points(comparison: Comparison) -> list[Point]:
    """Return the candidates with a measured cost as points of the chart."""
    names = _short_names([row.name for row in comparison.rows])
    return [
        Point(
            place=place,
            name=names[row.name],
            latency_ms=row.cost.latency_ms,
            accuracy=row.validation.accuracy,
            tone=_tone(row, comparison),
        )
        for place, row in enumerate(scored(comparison), start=1)
        if row.validation is not None and row.cost is not None and row.cost.latency_ms > 0
    ]


def _short_names(names: list[str]) -> dict[str, str]:
    """Return a short form of each name, without the provider where that leaves it unique."""
    short = {name: _without_providers(words.shown_name(name)) for name in names}
    shared = Counter(short.values())
    return {name: text if shared[text] == 1 else words.shown_name(name) for name, text in short.items()}


def _without_providers(name: str) -> str:
    """Return a name without "timm/" at its beginning, and before each of several names side by side."""
    return SIGN.join(each.partition("/")[2] or each for each in name.split(SIGN))


def confusion_view(matrix: confusion.Matrix, names: Sequence[str]) -> Confusion | None:
    """Return a confusion matrix for reading; None where there is none.

    Args:
        matrix: K rows of K counts, row = true class, column = predicted; () for none.
        names: of the K classes.
    """
    if not matrix:
        return None
    small = len(matrix) <= confusion.MAX_TABLE_CLASSES
    title = (
        f"Confusion matrix of {len(matrix)} classes, true classes downwards, predicted classes to the right"
    )
    return Confusion(
        rows=confusion.heat_rows(matrix, names) if small else (),
        picture=Markup("") if small else confusion.grid_picture(matrix, title=title),
        pairs=confusion.confused_pairs(matrix, names, limit=5 if small else _MAX_PAIRS),
        hardest=() if small else confusion.hardest_classes(matrix, names, limit=_MAX_HARDEST),
        cells={} if small else confusion.filled_cells(matrix, names),
    )


def mistakes(comparison: Comparison, run_dir: Path | None) -> tuple[ShownMistake, ...]:
    """Return the first mistakes, with their pictures where `run_dir` holds them."""
    return tuple(
        ShownMistake(
            id=mistake.id,
            true_class=mistake.true_class,
            predicted_class=mistake.predicted_class,
            probability=probability_words(mistake.probability),
            true_probability=probability_words(mistake.true_probability),
            address=picture_address(run_dir, mistake.thumbnail),
            heat_address=picture_address(run_dir, mistake.heat_map),
        )
        for mistake in comparison.mistakes[:MAX_MISTAKES]
    )


def looks(comparison: Comparison) -> tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...]:
    """Return name, role and metrics of every look at the locked test set."""
    return tuple(
        (words.shown_name(look.model), look.role, words.metric_values(look.evaluation))
        for look in comparison.looks
    )


def candidate_facts(row: Row) -> tuple[tuple[str, str], ...]:
    """Return what else is known about a candidate: title and text each, without those that are unknown."""
    facts = []
    if row.entry is not None:
        weights = row.entry.weights
        digests = [each.weights.sources[0].sha256 for each in row.entry.singles]
        trained_on = f" (trained on {weights.pretrained_on})" if weights.pretrained_on else ""
        facts += [
            ("weights", f"{weights.tag}{trained_on}"),
            ("weights sha256", ", ".join(filter(None, digests))),
            ("licence of the weights", weights.license),
        ]
    facts += [
        ("features", f"{row.feature_dim} numbers a picture" if row.feature_dim else ""),
        ("computed", without_absolute_paths(row.plan)),
        ("regularisation", "" if row.regularization is None else f"{row.regularization:.3g}"),
        ("embedding rate", _rate(row)),
    ]
    return tuple((title, text) for title, text in facts if text)


def _rate(row: Row) -> str:
    if row.cost is None or not row.cost.pictures_per_second:
        return ""
    return f"{significant(row.cost.pictures_per_second)} pictures a second, decoding included"
