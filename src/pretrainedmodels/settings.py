"""The settings of all weight sets from headstart's catalogue, in the form of the original library."""

from typing import Any

from headstart.catalog.entry import ModelEntry
from headstart.catalog.rows import builtin_rows, to_entry

Settings = dict[str, Any]

_PROVIDER = "pretrainedmodels"
_ORIGINAL_HOST = "//data.lip6.fr/"
# The one network whose settings also said how large the crop is; the original never read it.
_WITH_SCALE = "xception"


def entry_of(name: str, tag: str) -> ModelEntry:
    """Return the catalogue's row of a weight set. Raises KeyError where there is none."""
    return to_entry(builtin_rows().by_name[f"{_PROVIDER}/{name}.{tag}"])


def settings_of(*names: str) -> dict[str, dict[str, Settings]]:
    """Return the settings of these models alone."""
    return {name: pretrained_settings[name] for name in names}


def _read() -> dict[str, dict[str, Settings]]:
    settings: dict[str, dict[str, Settings]] = {}
    for row in builtin_rows().by_name.values():
        if row["provider"] == _PROVIDER:
            settings.setdefault(row["architecture"], {})[row["tag"]] = _of(to_entry(row))
    return settings


def _of(entry: ModelEntry) -> Settings:
    preprocessing = entry.weights.preprocessing
    settings: Settings = {
        "url": _address(entry),
        "input_space": preprocessing.input_space,
        "input_size": [3, *preprocessing.input_size],
        "input_range": _numbers(preprocessing.input_range),
        "mean": _numbers(preprocessing.mean),
        "std": _numbers(preprocessing.std),
        "num_classes": entry.weights.num_classes,
    }
    if entry.architecture == _WITH_SCALE:
        settings["scale"] = preprocessing.crop_fraction
    return settings


def _address(entry: ModelEntry) -> str:
    """Return the best address of the very file that the original named.

    Others hold the same tensors under other names, which code that loads the address by itself cannot use.
    """
    addresses = [source.location for source in entry.weights.sources if source.kind == "url"]
    original = next((address for address in addresses if _ORIGINAL_HOST in address), addresses[0])
    name = original.rpartition("/")[2]
    return next(address for address in addresses if address.endswith(f"/{name}"))


def _numbers(values: tuple[float, ...]) -> list[float]:
    return [int(value) if value == int(value) else value for value in values]


pretrained_settings = _read()
"""From model to weight set to settings: address, colour space, size (C, H, W), range, mean, std, classes."""

model_names = list(pretrained_settings)
"""The 45 names in the original's order."""
