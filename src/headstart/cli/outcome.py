"""The end of a run: table, choice, where everything is, what to do next."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.table import Table

from headstart.cli.console import stdout_console
from headstart.compare.records import MODEL_FOLDER, Comparison, Row
from headstart.compare.rejection_words import rejection_sentence
from headstart.core.errors import ModelError
from headstart.core.records import dumps
from headstart.report import write_report

REPORT_FILE = "report.html"
_OUTLOOKS = {
    "likely": "likely to pay",
    "unlikely": "unlikely to pay",
    "unclear": "it is unclear whether it would pay",
}


def finish_run(comparison: Comparison, *, json: bool) -> None:
    """Write the report and print the outcome; raise when every candidate failed.

    Raises:
        ModelError: no candidate could be trained; the first one's error is named.
    """
    folder = comparison.folder or Path()
    report = write_report(comparison, folder / REPORT_FILE, run_dir=folder)
    if json:
        typer.echo(dumps(comparison), nl=False)
    else:
        _print(comparison, folder, report)
    if not comparison.chosen:
        first = comparison.rows[0]
        raise ModelError(f"no candidate could be trained; {first.name}: {first.error}", hint=first.hint)


def print_ranking(comparison: Comparison) -> None:
    """Print the ranking, and who is not in it and why."""
    console = stdout_console()
    if any(row.validation is not None or row.error for row in comparison.rows):
        console.print(ranking_table(comparison))
    left = [row for row in comparison.rows if row.screening is not None]
    if left:
        console.print(left_table(left))
    for row in (row for row in comparison.rows if row.error):
        console.print(f"failed: {row.name}: {row.error}", soft_wrap=True)
        if row.hint:
            console.print(f"  hint: {row.hint}", soft_wrap=True)


def _print(comparison: Comparison, folder: Path, report: Path) -> None:
    console = stdout_console()
    print_ranking(comparison)
    if comparison.final is not None:
        accuracy = comparison.final.accuracy
        console.print(f"chosen: {comparison.chosen}", soft_wrap=True)
        console.print(f"why: {comparison.reason}", soft_wrap=True)
        console.print(
            f"how good: right on {accuracy.value:.1%} of {accuracy.n} pictures "
            f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%}; {comparison.protocol.estimate})"
        )
        if comparison.rejection is not None:
            console.print(f"unknown: {rejection_sentence(comparison.rejection)}", soft_wrap=True)
        for line in advice_lines(comparison):
            console.print(line, soft_wrap=True)
        console.print(f"model: {folder / MODEL_FOLDER}", soft_wrap=True)
    console.print(f"report: {report}", soft_wrap=True)
    if comparison.excluded:
        console.print(f"left out: {len(comparison.excluded)} pictures, named in the report")
    if comparison.chosen:
        console.print(
            f"next: headstart predict {shlex.quote(str(folder / MODEL_FOLDER))} YOUR-PICTURES", soft_wrap=True
        )


def advice_lines(comparison: Comparison) -> list[str]:
    """Return what else could be had, and what more pictures or fine-tuning would do, a line each."""
    from headstart.report.curve import prediction_sentence
    from headstart.report.trade_off_words import trade_off_sentence

    advice = comparison.advice
    if advice is None:
        return []
    lines = [f"or: {trade_off_sentence(offer)}" for offer in advice.trade_offs]
    curve = advice.learning_curve
    if curve is not None and curve.predictions:
        lines.append(f"more pictures: {prediction_sentence(curve.predictions[0], curve)}")
    if advice.fine_tuning is not None:
        lines.append(f"fine-tuning: {_OUTLOOKS[advice.fine_tuning.verdict]}; the reasons are in the report")
    return [line.replace("\u00a0", " ") for line in lines]


def ranking_table(comparison: Comparison) -> Table:
    """Return the ranking as a table that fits 80 columns; log loss, size and the rest are in the report."""
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("px", justify="right", no_wrap=True)
    for heading in ("accuracy (95 % interval)", "behind"):
        table.add_column(heading, no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    ranked = [row for row in comparison.rows if row.screening is None]
    for place, row in enumerate(ranked, start=1):
        table.add_row(*_cells(row, place))
    return table


def left_table(rows: Sequence[Row]) -> Table:
    """Return those that left a race before its end, the most promising first, as a table of 80 columns."""
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    table.add_column("not in the final", overflow="fold")
    for heading in ("px", "pictures"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("accuracy", no_wrap=True)
    table.add_column("why", overflow="fold")
    for row in rows:
        seen = row.screening
        if seen is None:
            continue
        accuracy = f"{seen.accuracy.value:.3f}" if seen.accuracy is not None else "-"
        num_pictures = seen.num_train + seen.num_val
        table.add_row(row.name, str(row.resolution or ""), f"{num_pictures:,}", accuracy, seen.exit)
    return table


def _cells(row: Row, place: int) -> list[str]:
    if row.validation is None or row.cost is None:
        return ["-", row.name, "", "failed, see below"]
    accuracy = row.validation.accuracy
    tied = " tied" if row.tied else ""
    behind = "best" if row.behind_best is None else f"{row.behind_best.value:.3f}{tied}"
    interval = f"{accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f})"
    return [str(place), row.name, str(row.resolution), interval, behind, f"{row.cost.latency_ms:.0f}"]
