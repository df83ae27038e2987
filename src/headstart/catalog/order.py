"""The order to show rows in."""

from collections.abc import Callable, Sequence

from headstart.catalog.entry import ModelEntry
from headstart.core.errors import InputError

_SMALLEST_FIRST: dict[str, Callable[[ModelEntry], float | None]] = {
    "params": lambda entry: entry.num_params or None,
    "macs": lambda entry: entry.num_macs or None,
    "size": lambda entry: max(entry.weights.preprocessing.input_size),
}
_HIGHEST_FIRST: dict[str, Callable[[ModelEntry], float | None]] = {
    "top1": lambda entry: entry.weights.top1,
    "real": lambda entry: entry.weights.real_top1,
    "v2": lambda entry: entry.weights.v2_top1,
}
SORT_KEYS = ("name", *_SMALLEST_FIRST, *_HIGHEST_FIRST)
"""What rows can be sorted by."""


def sort_entries(entries: Sequence[ModelEntry], sort: str) -> list[ModelEntry]:
    """Return `entries` in the order that `sort` asks for, ties by name.

    Args:
        entries: the rows.
        sort: one of `SORT_KEYS`: sizes the smallest first, accuracies the highest first, names with the
            starter models first; with "-" in front the other way round. What is unknown comes last.

    Raises:
        InputError: there is no such order.
    """
    key, turned = sort.removeprefix("-"), sort.startswith("-")
    if key not in SORT_KEYS:
        raise InputError(
            f"models cannot be sorted by {sort!r}",
            hint=f"by one of {', '.join(SORT_KEYS)}, with '-' in front the other way round",
        )
    named = sorted(entries, key=lambda entry: (entry.provider != "starter", entry.name.lower()))
    if key == "name":
        return named[::-1] if turned else named
    value = (_SMALLEST_FIRST | _HIGHEST_FIRST)[key]
    known = [entry for entry in named if value(entry) is not None]
    known.sort(key=lambda entry: value(entry) or 0.0, reverse=(key in _HIGHEST_FIRST) != turned)
    return known + [entry for entry in named if value(entry) is None]
