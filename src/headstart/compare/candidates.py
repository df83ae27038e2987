"""Who runs: a candidate is a model at a resolution."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headstart.catalog import expand
from headstart.catalog.entry import ModelEntry
from headstart.catalog.search import Expansion
from headstart.models import resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model at a resolution.

    Attributes:
        name: the model's name, with "@RESOLUTION" behind it where the models run at several.
        entry: the catalogue's row.
        resolution: side of the input in pixels, "native" or "auto".
    """

    name: str
    entry: ModelEntry
    resolution: int | Literal["native", "auto"]


def find_entries(models: Sequence[ModelEntry | str]) -> Expansion:
    """Return the rows that run, each set of tensors once, and a note on each that does not.

    Args:
        models: rows of the catalogue, names or patterns, in any mixture.

    Raises:
        UnknownModelError: a name is unknown or a pattern fits nothing.
        InputError: there are no models.
    """
    names = [each.name if isinstance(each, ModelEntry) else each for each in models]
    rows = {each.name: each for each in models if isinstance(each, ModelEntry)}
    return expand(names, find=lambda name: rows[name] if name in rows else resolve(name))


def list_candidates(
    entries: Sequence[ModelEntry], resolutions: Sequence[int | Literal["native", "auto"]]
) -> list[Candidate]:
    """Return every model at every resolution, model by model; a resolution that is given twice runs once."""
    resolutions = tuple(dict.fromkeys(resolutions))
    several = len(resolutions) > 1
    return [
        Candidate(
            name=f"{entry.name}@{resolution}" if several else entry.name, entry=entry, resolution=resolution
        )
        for entry in entries
        for resolution in resolutions
    ]


def name_reference(candidates: Sequence[Candidate], wanted: str) -> str:
    """Return the candidate that the chosen one is shown against, named before any evidence is seen.

    Args:
        candidates: in the order they were given.
        wanted: a candidate's name, or a model's with or without provider and tag: of several that it fits,
            the one it is the fuller name of, then the first. "" takes the best published ImageNet accuracy,
            the first of equals, and "" again when none is published.

    Returns:
        The candidate's name; "" where there is none.
    """
    if wanted:
        fitting = [each for each in candidates if wanted in _names(each)]
        return min(fitting, key=lambda each: _names(each).index(wanted)).name if fitting else ""
    published = [each for each in candidates if each.entry.weights.top1 is not None]
    return max(published, key=lambda each: each.entry.weights.top1 or 0.0).name if published else ""


def _names(candidate: Candidate) -> list[str]:
    """Return what a candidate may be called, the fullest name first."""
    entry = candidate.entry
    bare = entry.name.partition("/")[2]
    untagged = f"{entry.provider}/{entry.architecture}"
    return [candidate.name, entry.name, bare, untagged, entry.architecture]
