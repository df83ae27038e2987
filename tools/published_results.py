"""ImageNet accuracies as others published them, and which rows they are true of."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Results = dict[tuple[str, int], Row]

# timm's tables of results, and the prefix of the fields that they fill.
TABLES = {
    "timm-results-imagenet.csv": "",
    "timm-results-imagenet-real.csv": "real_",
    "timm-results-imagenetv2-matched-frequency.csv": "v2_",
}
REAL_AND_V2 = ("real_top1", "real_top5", "v2_top1", "v2_top5")
ALL = ("top1", "top5", "accuracy_source", *REAL_AND_V2)

# Two crops that differ by less cut out the same pixels: torchvision writes 224/256, timm 0.875.
SAME_CROP = 0.001


def share(percent: object) -> float:
    """Return a figure in percent as one in [0, 1]."""
    return round(float(str(percent)) / 100, 5)


def read_results(facts: Path | None) -> Results:
    """Return timm's figures by (timm's name, side of the picture); none where there is no folder of facts."""
    results: Results = {}
    for file, prefix in TABLES.items() if facts is not None else ():
        with (facts / file).open(encoding="utf-8", newline="") as table:
            for line in csv.DictReader(table):
                figures = results.setdefault((line["model"], int(line["img_size"])), {})
                figures[f"{prefix}top1"] = share(line["top1"])
                figures[f"{prefix}top5"] = share(line["top5"])
                if not prefix:
                    figures["accuracy_source"] = "timm"
    return results


def figures_of(row: Row, results: Results, *, timm_name: str) -> Row:
    """Return what timm published for a name at the row's own resolution."""
    return results.get((timm_name, max(row["preprocessing"].input_size)), {})


def copy_figures(row: Row, twins: Iterable[Row], *, of: tuple[str, ...]) -> None:
    """Fill in figures that were measured on the same tensors with the same preprocessing and classes.

    Args:
        row: the row to fill.
        twins: timm's rows with the same tensors.
        of: which figures.
    """
    for twin in twins:
        if evaluated_alike(row, twin) and twin.get("top1") is not None:
            row |= {field: twin[field] for field in of if twin.get(field) is not None}


def evaluated_alike(row: Row, other: Row) -> bool:
    """Return whether two rows with the same tensors give the same predictions for the same pictures."""
    ours, theirs = row["preprocessing"], other["preprocessing"]
    same_crop = abs(ours.crop_fraction - theirs.crop_fraction) < SAME_CROP
    same_rest = all(
        getattr(ours, field) == getattr(theirs, field)
        for field in ("input_size", "fit", "interpolation", "input_space", "input_range", "mean", "std")
    )
    return same_crop and same_rest and row.get("num_classes", 1000) == other.get("num_classes", 1000)
