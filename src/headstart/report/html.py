"""From a comparison to its html file."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from headstart.compare.records import Comparison
from headstart.core.files import write_bytes
from headstart.preprocess import describe
from headstart.report import (
    charts,
    class_table,
    curve,
    galleries,
    numbers,
    plots,
    share_charts,
    tuned,
    view,
    words,
)
from headstart.report.script import script_sources, scripts
from headstart.report.things_to_know import next_steps, num_doubted, three_things
from headstart.report.trade_off_words import trade_off_sentence

# Letters that html has no place for; a file name may hold them.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def write_report(comparison: Comparison, path: Path | str, *, run_dir: Path | None = None) -> Path:
    """Write a comparison as one self-contained html file that makes no request to anywhere.

    Everything that comes from records (names of classes, files, models) is text in it, whatever it holds;
    absolute paths are cut down to their last part. The file is written atomically.

    Args:
        comparison: what to report.
        path: the file to write; its folder is made when it is missing.
        run_dir: the run's folder, for the thumbnails of mistakes and the next command; by default the
            comparison's own. Without either the report has text in place of the pictures.

    Returns:
        The path of the file.

    Raises:
        StorageError: the file cannot be written.
    """
    return write_page(Path(path), render(comparison, run_dir=run_dir or comparison.folder))


def render(comparison: Comparison, *, run_dir: Path | None = None) -> str:
    """Return the report's html; see `write_report`."""
    return render_page("report.html", comparison=comparison, **_shown(comparison, run_dir))


def render_page(template: str, **shown: object) -> str:
    """Return the html of a template of this room."""
    return _environment().get_template(template).render(**shown)


def write_page(path: Path, html: str) -> Path:
    """Write a page atomically, without letters that html has no place for, and return its path.

    Raises:
        StorageError: it cannot be written.
    """
    # File names that are not UTF-8 reach us as lone surrogates, which UTF-8 has no form for.
    write_bytes(path, _CONTROL.sub("\ufffd", html).encode("utf-8", errors="replace"))
    return path


def _shown(comparison: Comparison, run_dir: Path | None) -> dict[str, Any]:
    ranked, bar_range = view.ranking(comparison)
    failed = [row for row in comparison.rows if row.error]
    return {
        "chosen": words.row_named(comparison, comparison.chosen),
        "ranked": ranked,
        "bar_range": bar_range,
        "confidence": view.confidence(comparison),
        "failed": failed,
        "left": view.left(comparison),
        "alarms": view.alarms(comparison),
        "chart": view.cost_chart(comparison),
        "cost_plot": plots.cost_plot(view.cost_points(comparison)),
        "things": three_things(comparison),
        "steps": next_steps(comparison),
        "classes": class_table.class_table(
            comparison.confusion, comparison.class_names, comparison.class_counts
        ),
        "near_ties": galleries.near_ties(comparison, run_dir),
        "doubted_labels": galleries.doubted_labels(comparison, run_dir),
        "num_doubted": num_doubted(comparison),
        "alike": galleries.alike(comparison, run_dir),
        "has_heat_maps": any(each.heat_map for each in comparison.mistakes),
        "confusion": view.confusion_view(comparison.confusion, comparison.class_names),
        "tunings": tuned.shown_tunings(comparison, run_dir),
        "mistakes": view.mistakes(comparison, run_dir),
        "looks": view.looks(comparison),
        "next_command": words.next_command(run_dir),
        "guessing": words.guessing(comparison),
        "max_excluded": view.MAX_EXCLUDED,
    }


def _breakable(name: str) -> Markup:
    """Return a model's name that breaks where its parts meet rather than in the middle of a word."""
    return Markup("<wbr>").join(re.split(r"(?<=[/@._-])", name))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("headstart.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": _breakable,
        "count": numbers.count,
        "duration": numbers.duration,
        "parameters": numbers.parameters,
        "percent": numbers.percent,
        "shorten": numbers.shorten,
        "tidy": numbers.without_absolute_paths,
        "when": numbers.when,
        "zip": zip,
        "model_name": words.shown_name,
        "facts": view.candidate_facts,
        "share_words": class_table.share_words,
    }
    environment.globals |= {
        "words": words,
        "describe": describe,
        "gauge": charts.gauge,
        "curve_chart": curve.curve_chart,
        "curve_sentences": curve.curve_sentences,
        "class_rows": curve.class_rows,
        "trade_off_sentence": trade_off_sentence,
        "significant": numbers.significant,
        "scripts": scripts,
        "script_sources": script_sources,
        "reliability_chart": share_charts.reliability_chart,
        "reliability_plot": plots.reliability_plot,
        "coverage_chart": share_charts.coverage_chart,
        "coverage_plot": plots.coverage_plot,
    }
    return environment
