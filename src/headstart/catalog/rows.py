"""The rows that come with headstart, read from the JSON files in ``catalog/data``.

A file holds one provider's rows: ``{"format", "provider", "made_from", "preprocessings", "rows"}``, made by
``tools/make_catalog.py`` from the versions of the packages that it names. A row leaves out what has its
default, names its preprocessing by position in ``preprocessings``, and lists its sources as
``[kind, location, filename, sha256, size_bytes]``, cut after the last that is known. The first row of an
architecture is the default weight set. Rows stay plain dictionaries until somebody needs the record: reading
all of them takes a few milliseconds that way.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from headstart.catalog.entry import ModelEntry, Preprocessing, WeightsEntry, WeightsSource
from headstart.core.formats import CATALOG_FORMAT, check_format

PROVIDERS = ("starter", "pretrainedmodels", "torchvision", "timm")
"""The providers with rows of their own, in the order in which bare names are looked up."""

RawRow: TypeAlias = dict[str, Any]

_SOURCE_FIELDS = ("kind", "location", "filename", "sha256", "size_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """All rows that come with headstart.

    Attributes:
        by_name: from full name to row, in the order of `PROVIDERS`.
        defaults: from "provider/architecture" to the full name of its default weight set.
    """

    by_name: dict[str, RawRow]
    defaults: dict[str, str]


@cache
def builtin_rows() -> Rows:
    """Return the rows that come with headstart; they are read once.

    Raises:
        StorageError: the data files were written by another version of headstart.
    """
    by_name: dict[str, RawRow] = {}
    defaults: dict[str, str] = {}
    for provider in PROVIDERS:
        resource = files("headstart.catalog").joinpath("data", f"{provider}.json")
        content = json.loads(resource.read_bytes())
        check_format(content["format"], CATALOG_FORMAT, f"the catalogue file {provider}.json")
        records = [_preprocessing(value) for value in content["preprocessings"]]
        for row in content["rows"]:
            base = f"{provider}/{row['architecture']}"
            name = f"{base}.{row['tag']}"
            row["name"], row["provider"] = name, provider
            row["preprocessing"] = records[row["preprocessing"]]
            row["resolution"] = max(row["preprocessing"].input_size)
            by_name[name] = row
            defaults.setdefault(base, name)
    return Rows(by_name=by_name, defaults=defaults)


def resolve(name: str) -> RawRow | None:
    """Return the row that `name` stands for, None where there is none.

    Args:
        name: "provider/architecture.tag", or without the provider, or without the tag, or without both.
            What is left out is taken from the first provider that has it, and from the default weights.
    """
    rows = builtin_rows()
    for full in [name] if "/" in name else [f"{provider}/{name}" for provider in PROVIDERS]:
        row = rows.by_name.get(rows.defaults.get(full, full))
        if row is not None:
            return row
    return None


def to_entry(row: RawRow) -> ModelEntry:
    """Return the record of a row."""
    weights = WeightsEntry(
        tag=row["tag"],
        sources=tuple(
            WeightsSource(**dict(zip(_SOURCE_FIELDS, source, strict=False))) for source in row["sources"]
        ),
        num_classes=row.get("num_classes", 1000),
        pretrained_on=row.get("pretrained_on", ""),
        license=row.get("license", ""),
        top1=row.get("top1"),
        top5=row.get("top5"),
        accuracy_source=row.get("accuracy_source", ""),
        real_top1=row.get("real_top1"),
        real_top5=row.get("real_top5"),
        v2_top1=row.get("v2_top1"),
        v2_top5=row.get("v2_top5"),
        preprocessing=row["preprocessing"],
    )
    return ModelEntry(
        name=row["name"],
        provider=row["provider"],
        architecture=row["architecture"],
        family=row["family"],
        weights=weights,
        num_params=row.get("num_params", 0),
        num_macs=row.get("num_macs", 0),
        feature_dim=row.get("feature_dim", 0),
        fixed_input_size=row.get("fixed_input_size", False),
        paper=row.get("paper", ""),
        same_tensors_as=tuple(row.get("same_tensors_as", ())),
    )


def to_facts(entry: ModelEntry) -> RawRow:
    """Return a record as a row, with the facts that rows are chosen by."""
    weights = entry.weights
    return {
        "name": entry.name,
        "provider": entry.provider,
        "family": entry.family,
        "num_params": entry.num_params,
        "num_macs": entry.num_macs,
        "feature_dim": entry.feature_dim,
        "resolution": max(weights.preprocessing.input_size),
        "num_classes": weights.num_classes,
        "pretrained_on": weights.pretrained_on,
        "license": weights.license,
        "top1": weights.top1,
        "real_top1": weights.real_top1,
        "v2_top1": weights.v2_top1,
    }


def _preprocessing(row: RawRow) -> Preprocessing:
    values: dict[str, Any] = {
        key: tuple(item) if isinstance(item, list) else item for key, item in row.items()
    }
    return Preprocessing(**values)
