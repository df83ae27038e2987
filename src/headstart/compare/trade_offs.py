"""What one candidate costs and gives instead of another: accuracy, time and size, on the same pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from headstart.compare.advice_records import ParetoRow, TradeOff
from headstart.compare.metric import Metric
from headstart.compare.records import Row
from headstart.core.errors import InputError
from headstart.evaluate import Estimate, PairedDifference
from headstart.evaluate.weighted import weighted_difference

NOTABLE = 1.25
"""A candidate is notably faster, or smaller, from this ratio on: `choice` says so from the same one."""

MAX_SENTENCES = 4
"""More alternatives than this are not read; the table has all."""

Credits = Mapping[str, npt.ArrayLike]
Weights = npt.NDArray[np.float64]


def pareto(rows: Sequence[Row], *, metric: Metric = "accuracy") -> tuple[str, ...]:
    """Return the names of the candidates that none beats in accuracy and latency at once, fastest first.

    One beats another that is better in one of the two and not worse in the other; of two that are alike in
    both, both stay. It goes by the measured values: `ParetoRow.as_good` says where a tie makes a place
    doubtful.

    Args:
        rows: those without evidence or cost are passed over.
        metric: the field of the evaluation to go by.
    """
    points = [(_latency(row), _accuracy(row, metric).value, row.name) for row in _scored(rows)]
    return tuple(
        name
        for latency_ms, accuracy, name in sorted(points, key=lambda point: (point[0], -point[1]))
        if not any(
            other_ms <= latency_ms and other >= accuracy and (other_ms, other) != (latency_ms, accuracy)
            for other_ms, other, _ in points
        )
    )


def pareto_table(
    rows: Sequence[Row],
    correct: Credits,
    *,
    weights: Weights | None = None,
    metric: Metric = "accuracy",
) -> tuple[ParetoRow, ...]:
    """Return what each candidate gives and takes, in the order of the rows.

    Args:
        rows: those without evidence or cost are passed over.
        correct: by a row's name: of shape (N,), how right it was on each validation picture, in [0, 1].
        weights: of shape (N,), `metric.picture_weights`; None counts all alike.
        metric: the field of the evaluation that those weights make.
    """
    front, scored = set(pareto(rows, metric=metric)), _scored(rows)
    return tuple(
        ParetoRow(
            name=row.name,
            accuracy=_accuracy(row, metric),
            latency_ms=_latency(row),
            pictures_per_second=row.cost.pictures_per_second if row.cost else None,
            num_params=_num_params(row),
            license=row.entry.weights.license if row.entry else "",
            on_front=row.name in front,
            as_good=_faster_and_as_good(row, scored, correct, weights),
        )
        for row in scored
    )


def instead_of(model: Row, replaced: Row, correct: Credits, *, weights: Weights | None = None) -> TradeOff:
    """Return what it costs to take `model` instead of `replaced`.

    Args:
        model: a row with a measured cost.
        replaced: another.
        correct: by a row's name, as in `pareto_table`.
        weights: as in `pareto_table`.

    Raises:
        InputError: the two are of different numbers of pictures.
    """
    return TradeOff(
        model=model.name,
        instead_of=replaced.name,
        difference=_difference(replaced, model, correct, weights),
        speed_ratio=_latency(replaced) / _latency(model),
        size_ratio=_num_params(replaced) / max(1, _num_params(model)),
    )


def list_trade_offs(
    rows: Sequence[Row],
    chosen: str,
    correct: Credits,
    *,
    weights: Weights | None = None,
    metric: Metric = "accuracy",
) -> tuple[TradeOff, ...]:
    """Return the alternatives to the chosen candidate that are worth a sentence, the most accurate first.

    They are on the front of accuracy against latency and notably faster, or on that of accuracy against size
    and notably smaller; at most `MAX_SENTENCES`.

    Args:
        rows: those without evidence or cost are passed over.
        chosen: name of the row to replace.
        correct: by a row's name, as in `pareto_table`.
        weights: as in `pareto_table`.
        metric: as in `pareto_table`.
    """
    scored = _scored(rows)
    best = next((row for row in scored if row.name == chosen), None)
    if best is None:
        return ()
    fast = set(pareto(scored, metric=metric))
    found = []
    for row in sorted(scored, key=lambda row: -_accuracy(row, metric).value):
        if row.name == chosen:
            continue
        offer = instead_of(row, best, correct, weights=weights)
        is_faster = row.name in fast and offer.speed_ratio >= NOTABLE
        is_smaller = offer.size_ratio >= NOTABLE and _is_smallest_as_good(row, scored, metric)
        if is_faster or is_smaller:
            found.append(offer)
    return tuple(found[:MAX_SENTENCES])


def _scored(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.validation is not None and row.cost is not None and _latency(row) > 0]


def _latency(row: Row) -> float:
    return row.cost.latency_ms if row.cost else 0.0


def _num_params(row: Row) -> int:
    return row.cost.num_params if row.cost else 0


def _accuracy(row: Row, metric: Metric) -> Estimate:
    if row.validation is None:
        raise ValueError(f"{row.name} has no evidence")
    estimate: Estimate = getattr(row.validation, metric)
    return estimate


def _difference(first: Row, second: Row, correct: Credits, weights: Weights | None) -> PairedDifference:
    """Return the accuracy of the first minus that of the second."""
    a, b = (np.asarray(correct[row.name], np.float64) for row in (first, second))
    if a.shape != b.shape:
        raise InputError(
            f"{len(a)} and {len(b)} pictures were given, expected the same pictures for both models"
        )
    return weighted_difference(a - b, np.ones(a.shape) if weights is None else weights)


def _faster_and_as_good(row: Row, scored: Sequence[Row], correct: Credits, weights: Weights | None) -> str:
    faster = [other for other in scored if _latency(other) * NOTABLE <= _latency(row)]
    for other in sorted(faster, key=_latency):
        if _difference(row, other, correct, weights).low <= 0:
            return other.name
    return ""


def _is_smallest_as_good(row: Row, scored: Sequence[Row], metric: Metric) -> bool:
    """Return whether no other candidate is as accurate and smaller."""
    return not any(
        _num_params(other) < _num_params(row)
        and _accuracy(other, metric).value >= _accuracy(row, metric).value
        for other in scored
    )
