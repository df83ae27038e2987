"""Make the catalogue's data, src/headstart/catalog/data/*.json, from the installed torchvision and timm.

    .venv/bin/python tools/make_catalog.py --facts ../shared/facts     # write
    .venv/bin/python tools/make_catalog.py --check                     # say whether it is up to date

The folder of facts holds timm's result tables and the original library's settings. What only it knows, and
what takes long to measure (sizes and costs of networks), is kept from the committed data when it is not given
or already there, so that a second run is quick and `--check` needs nothing but the packages.
"""

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import timm
import torchvision
from measure_network import measure
from pretrainedmodels_rows import pretrainedmodels_rows
from published_results import ALL, REAL_AND_V2, copy_figures, figures_of, read_results
from timm_rows import starter_rows, timm_rows
from torchvision_rows import torchvision_rows
from weights_digests import complete_sources

from headstart.catalog.entry import Preprocessing
from headstart.catalog.rows import PROVIDERS
from headstart.core.formats import CATALOG_FORMAT

DATA = Path(__file__).resolve().parents[1] / "src/headstart/catalog/data"
Row = dict[str, Any]
Rows = dict[str, list[Row]]

MEASURED = ("num_params", "feature_dim", "num_macs")
# A row's fields in the order in which they are written, and what is left out because readers assume it.
FIELDS: Row = {"architecture": "", "tag": "", "family": "", "sources": []}
FIELDS |= {"num_classes": 1000, "pretrained_on": "", "license": "", "preprocessing": None}
FIELDS |= dict.fromkeys(ALL)
FIELDS |= {"num_params": 0, "num_macs": 0, "feature_dim": 0, "fixed_input_size": False, "paper": ""}
FIELDS |= {"same_tensors_as": []}


def make(facts: Path | None, committed: Rows) -> Rows:
    """Return all rows; what cannot be known or measured quickly is taken from the committed ones."""
    results = read_results(facts)
    rows = {
        "starter": starter_rows(),
        "pretrainedmodels": pretrainedmodels_rows(facts, committed.get("pretrainedmodels", [])),
        "torchvision": torchvision_rows(),
        "timm": timm_rows(),
    }
    link_twins(rows)
    for provider in ("timm", "starter"):  # starter rows are timm's tensors, and timm measured them
        for row in rows[provider]:
            row |= figures_of(row, results, timm_name=row.pop("timm_name"))
    for provider, each in rows.items():
        known = {name_of(provider, row): row for row in committed.get(provider, [])}
        for row in each:
            complete_sources(row)
            keep(row, known.get(name_of(provider, row)))
    timm = {name_of("timm", row): row for row in rows["timm"]}
    for provider in ("pretrainedmodels", "torchvision"):
        for row in rows[provider]:
            twins = [timm[name] for name in row["same_tensors_as"] if name in timm]
            copy_figures(row, twins, of=ALL if provider == "pretrainedmodels" else REAL_AND_V2)
    for provider, each in rows.items():
        for row in each:
            if any(field not in row for field in MEASURED):
                row |= measure(provider, row) | {key: value for key, value in row.items() if value}
    return rows


def keep(row: Row, old: Row | None) -> None:
    """Take over from the committed row of the same name what is not known or measured anew."""
    if old is None:
        return
    # Another size of picture costs other multiply-adds, and gives other accuracies.
    same_size = old["preprocessing"].input_size == row["preprocessing"].input_size
    for field in (*MEASURED, *ALL) if same_size else ():
        if row.get(field) is None and field in old:
            row[field] = old[field]


def name_of(provider: str, row: Row) -> str:
    """Return a row's full name."""
    return f"{provider}/{row['architecture']}.{row['tag']}"


def link_twins(rows: Rows) -> None:
    """Let all rows with the same tensors name each other.

    Some name their twins; the others are torchvision's and timm's rows of one file.
    """
    by_name = {name_of(provider, row): row for provider, each in rows.items() for row in each}
    torchvision_files = {file_name(row): name_of("torchvision", row) for row in rows["torchvision"]}
    groups = {name: {name} for name in by_name}
    for name, row in by_name.items():
        twins = set(row.get("same_tensors_as", ()))
        file = row.pop("file_of_origin", "")
        if file in torchvision_files:
            twins.add(torchvision_files[file])
        for twin in twins:
            merged = groups[name] | groups[twin]
            groups |= dict.fromkeys(merged, merged)
    for name, row in by_name.items():
        row["same_tensors_as"] = sorted(groups[name] - {name})


def file_name(row: Row) -> str:
    """Return the name of the file that a row's first source is."""
    return str(row["sources"][0][1]).rpartition("/")[2]


def read_committed() -> Rows:
    """Return the rows that are in the repository now, each with its preprocessing."""
    rows: Rows = defaultdict(list)
    for path in (DATA / f"{provider}.json" for provider in PROVIDERS):
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            for row in content["rows"]:
                values = content["preprocessings"][row["preprocessing"]]
                row["preprocessing"] = Preprocessing(
                    **{key: tuple(item) if isinstance(item, list) else item for key, item in values.items()}
                )
                rows[path.stem].append(row)
    return rows


def render(provider: str, rows: list[Row]) -> str:
    """Return a data file's text, one row a line."""
    preprocessings: list[str] = []
    lines = []
    default = asdict(Preprocessing())
    for row in rows:
        values = asdict(row["preprocessing"])
        text = to_line({key: value for key, value in values.items() if value != default[key]})
        if text not in preprocessings:
            preprocessings.append(text)
        values = row | {"preprocessing": preprocessings.index(text)}
        lines.append(
            to_line({key: values[key] for key in FIELDS if values.get(key, FIELDS[key]) != FIELDS[key]})
        )
    return (
        f'{{"format":{CATALOG_FORMAT},"provider":"{provider}","made_from":"{made_from()}",\n"preprocessings":[\n'
        + ",\n".join(preprocessings)
        + '\n],\n"rows":[\n'
        + ",\n".join(lines)
        + "\n]}\n"
    )


def made_from() -> str:
    """Return the versions of the packages that rows are made from, without their builds."""
    return f"timm {timm.__version__}, torchvision {torchvision.__version__.partition('+')[0]}"


def to_line(value: Row) -> str:
    """Return JSON without spaces, on one line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def main() -> int:
    """Write or check the data files; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--facts", type=Path, help="folder with timm's result tables and the settings")
    parser.add_argument("--measure", action="store_true", help="measure all networks again (15 minutes)")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 where the data differ"
    )
    options = parser.parse_args()
    committed = read_committed()
    if options.measure:
        for row in (row for rows in committed.values() for row in rows):
            for field in MEASURED:
                row.pop(field, None)
    differing = []
    for provider, rows in make(options.facts, committed).items():
        path, text = DATA / f"{provider}.json", render(provider, rows)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(path.name)
            if not options.check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
        print(f"{provider}: {len(rows)} rows", file=sys.stderr)
    print("differing: " + ", ".join(differing) if differing else "up to date", file=sys.stderr)
    return 1 if options.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
