"""Who runs: a candidate is a model at a resolution."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headstart.catalog.entry import ModelEntry


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


def list_candidates(
    entries: Sequence[ModelEntry], resolutions: Sequence[int | Literal["native", "auto"]]
) -> list[Candidate]:
    """Return every model at every resolution, model by model."""
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
        wanted: a candidate's or model's name; "" takes the best published ImageNet accuracy, the first of
            equals, and "" again when none is published.
    """
    if wanted:
        bare = [
            each for each in candidates if wanted in (each.name, each.entry.name, each.entry.architecture)
        ]
        return bare[0].name if bare else ""
    published = [each for each in candidates if each.entry.weights.top1 is not None]
    return max(published, key=lambda each: each.entry.weights.top1 or 0.0).name if published else ""
