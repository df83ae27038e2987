"""The confusion matrix for reading: a table while it fits a page, a picture and lists beyond."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

from markupsafe import Markup

from headstart.report.numbers import shorten

Matrix = Sequence[Sequence[int]]

MAX_TABLE_CLASSES = 30
_LEVELS = 6
# A side of the picture has at most this many cells; beyond, several classes share one.
_MAX_CELLS = 200
_NAME_LIMIT = 60
_MAX_FILLED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the table.

    Attributes:
        count: pictures.
        share: of the row's pictures, in [0, 1].
        tone: "" for none, else "right" or "wrong" and the level from 1 to 6: "wrong3".
    """

    count: int
    share: float
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatRow:
    """One true class of the table.

    Attributes:
        name: the class.
        total: its pictures.
        found: share of them that was classified right, in [0, 1].
        cells: one for each predicted class.
    """

    name: str
    total: int
    found: float
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusedPair:
    """Pictures of one class that were taken for another.

    Attributes:
        true_class: what they are.
        predicted_class: what they were taken for.
        count: how many.
        share: of the true class, in [0, 1].
    """

    true_class: str
    predicted_class: str
    count: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPair:
    """Pictures of one class that were taken for another, by two models.

    Attributes:
        true_class: what they are.
        predicted_class: what they were taken for.
        before: how many, by the first model.
        after: by the second.
    """

    true_class: str
    predicted_class: str
    before: int
    after: int


def heat_rows(confusion: Matrix, class_names: Sequence[str]) -> tuple[HeatRow, ...]:
    """Return the table's rows.

    Args:
        confusion: K rows of K counts, row = true class, column = predicted.
        class_names: K names.
    """
    rows = []
    for index, (name, counts) in enumerate(zip(class_names, confusion, strict=True)):
        total = sum(counts)
        shares = [number / total if total else 0.0 for number in counts]
        cells = tuple(
            Cell(count=number, share=share, tone=_tone(share, right=column == index))
            for column, (number, share) in enumerate(zip(counts, shares, strict=True))
        )
        rows.append(HeatRow(name=name, total=total, found=shares[index], cells=cells))
    return tuple(rows)


def _tone(share: float, *, right: bool) -> str:
    if share <= 0:
        return ""
    # The square root lets a single mistake among many show.
    level = ceil(share * _LEVELS) if right else ceil(sqrt(share) * _LEVELS)
    return f"{'right' if right else 'wrong'}{min(level, _LEVELS)}"


def confused_pairs(confusion: Matrix, class_names: Sequence[str], *, limit: int) -> tuple[ConfusedPair, ...]:
    """Return the pairs of classes that are mixed up most often, at most `limit`, the worst first."""
    found = [
        (number, true, predicted)
        for true, counts in enumerate(confusion)
        for predicted, number in enumerate(counts)
        if number and true != predicted
    ]
    found.sort(key=lambda each: (-each[0], each[1], each[2]))
    return tuple(
        ConfusedPair(
            true_class=class_names[true],
            predicted_class=class_names[predicted],
            count=number,
            share=number / sum(confusion[true]),
        )
        for number, true, predicted in found[:limit]
    )


def changed_pairs(
    before: Matrix, after: Matrix, class_names: Sequence[str], *, limit: int
) -> tuple[ChangedPair, ...]:
    """Return the pairs of classes that two models mix up, at most `limit`, those with most pictures first.

    Args:
        before: K rows of K counts of one model, row = true class, column = predicted.
        after: the same of another, on the same pictures.
        class_names: K names.
        limit: how many.
    """
    found = [
        (max(number, after[true][predicted]), true, predicted)
        for true, counts in enumerate(before)
        for predicted, number in enumerate(counts)
        if true != predicted and (number or after[true][predicted])
    ]
    found.sort(key=lambda each: (-each[0], each[1], each[2]))
    return tuple(
        ChangedPair(
            true_class=class_names[true],
            predicted_class=class_names[predicted],
            before=before[true][predicted],
            after=after[true][predicted],
        )
        for _, true, predicted in found[:limit]
    )


def hardest_classes(confusion: Matrix, class_names: Sequence[str], *, limit: int) -> tuple[HeatRow, ...]:
    """Return the classes that are found least often, without their cells, the worst first.

    Classes that are always found, and those without pictures, are left out.
    """
    rows = [
        HeatRow(name=name, total=sum(counts), found=counts[index] / sum(counts), cells=())
        for index, (name, counts) in enumerate(zip(class_names, confusion, strict=True))
        if sum(counts)
    ]
    rows = [row for row in rows if row.found < 1]
    return tuple(sorted(rows, key=lambda row: (row.found, row.name))[:limit])


def grid_picture(confusion: Matrix, *, title: str) -> Markup:
    """Return an SVG picture of a big matrix, true classes downwards and predicted ones to the right.

    Neighbouring cells of one tone are one stroke and empty cells none, so its size stays bounded.
    """
    block = ceil(len(confusion) / _MAX_CELLS)
    binned = _binned(confusion, block) if block > 1 else confusion
    size, strokes = len(binned), _strokes(binned)
    path = Markup('<path class="{}" d="{}"/>')
    paths = Markup("").join(path.format(tone, "".join(parts)) for tone, parts in sorted(strokes.items()))
    return Markup(
        '<svg class="grid" viewBox="-0.5 -0.5 {0} {0}" role="img" aria-label="{1}">'
        '<rect class="frame" x="-0.5" y="-0.5" width="{0}" height="{0}"/>'
        '<g transform="translate(0 0.5)" shape-rendering="crispEdges">{2}</g></svg>'
    ).format(size + 1, title, paths)


def filled_cells(confusion: Matrix, class_names: Sequence[str]) -> dict[str, Any]:
    """Return what it takes to read a big matrix: names, totals, filled cells, classes that share a row.

    The fullest cells are there; a matrix with more is too full for a person to read.
    """
    filled = [
        [true, predicted, number]
        for true, counts in enumerate(confusion)
        for predicted, number in enumerate(counts)
        if number
    ]
    return {
        "names": [shorten(name, _NAME_LIMIT) for name in class_names],
        "totals": [sum(counts) for counts in confusion],
        "cells": sorted(filled, key=lambda cell: -cell[2])[:_MAX_FILLED],
        "block": ceil(len(confusion) / _MAX_CELLS),
    }


def _binned(confusion: Matrix, block: int) -> list[list[int]]:
    size = ceil(len(confusion) / block)
    binned = [[0] * size for _ in range(size)]
    for true, counts in enumerate(confusion):
        for predicted, number in enumerate(counts):
            if number:
                binned[true // block][predicted // block] += number
    return binned


def _strokes(confusion: Matrix) -> dict[str, list[str]]:
    strokes: dict[str, list[str]] = {}
    for true, counts in enumerate(confusion):
        total, column = sum(counts), 0
        while column < len(counts):
            tone = _tone(counts[column] / total if total else 0.0, right=column == true)
            start = column
            while column < len(counts) and tone == _tone(counts[column] / (total or 1), right=column == true):
                column += 1
            if tone:
                strokes.setdefault(tone, []).append(f"M{start} {true}h{column - start}")
    return strokes
