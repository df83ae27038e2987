"""Who runs: a candidate is a model, and how pictures get into it and features out of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from headstart.catalog import expand
from headstart.catalog.entry import Fit, ModelEntry
from headstart.catalog.search import Expansion
from headstart.compare.records import BatchNorm, CompareOptions
from headstart.models import resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model, and how it is used.

    Attributes:
        name: the model's name, with "@" and what differs behind it where the models run in several ways:
            "timm/resnet50.a1_in1k@128,pad".
        entry: the catalogue's row.
        resolution: side of the input in pixels, "native" or "auto".
        fit: how a picture gets to the input's shape; None as the weights came.
        feature_point: where in the network the features are taken.
        batch_norm: whose statistics its batch norms use.
    """

    name: str
    entry: ModelEntry
    resolution: int | Literal["native", "auto"]
    fit: Fit | None = None
    feature_point: str = "pooled"
    batch_norm: BatchNorm = "pretrained"


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


def list_candidates(entries: Sequence[ModelEntry], options: CompareOptions) -> list[Candidate]:
    """Return every model in every way that the options name; what is given twice runs once."""
    resolutions = tuple(dict.fromkeys(options.resolutions))
    fits = tuple(dict.fromkeys(options.fits))
    points = tuple(dict.fromkeys(options.feature_points))
    norms = tuple(dict.fromkeys(options.batch_norms))
    candidates = []
    for entry, resolution, fit, point, norm in product(entries, resolutions, fits, points, norms):
        ways = ((resolutions, resolution), (fits, fit or "as-trained"), (points, point), (norms, norm))
        differing = ",".join(str(way) for several, way in ways if len(several) > 1)
        candidates.append(
            Candidate(
                name=f"{entry.name}@{differing}" if differing else entry.name,
                entry=entry,
                resolution=resolution,
                fit=fit,
                feature_point=point,
                batch_norm=norm,
            )
        )
    return candidates


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
