"""Who runs: a candidate is a model, and how pictures get into it and features out of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt

from headstart.catalog import expand, find_model, list_models
from headstart.catalog.entry import Fit, ModelEntry, Preprocessing
from headstart.catalog.places import is_available
from headstart.catalog.search import Expansion
from headstart.catalog.side_by_side import SIGN
from headstart.compare.records import BatchNorm, CompareOptions
from headstart.embed import PlanOptions, choose_resolution
from headstart.models import resolve
from headstart.weights import is_reachable

DEFAULT_MODELS = (
    "timm/mobilenetv3_large_100.ra_in1k",
    "timm/efficientnet_b0.ra_in1k",
    "timm/mobilenetv4_conv_medium.e500_r256_in1k",
    "timm/tiny_vit_5m_224.dist_in22k_ft_in1k",
    "timm/resnet18.a1_in1k",
    "timm/resnet50.a1_in1k",
    "pretrainedmodels/se_resnet50",
    "timm/densenet121.tv_in1k",
    "timm/regnety_032.ra_in1k",
    "timm/convnext_tiny.fb_in22k_ft_in1k",
    "timm/caformer_s18.sail_in22k_ft_in1k",
    "timm/tiny_vit_21m_224.dist_in22k_ft_in1k",
    "timm/deit3_small_patch16_224.fb_in22k_ft_in1k",
    "timm/vit_small_patch16_224.dino",
    "timm/vit_base_patch16_clip_224.laion2b",
)
"""What is compared where nobody names models, beside the weights that are on this machine already: from 0.2
to 18 billion multiply-adds a picture; convolutions, transformers and mixtures of both; trained with labels on
ImageNet-1k or -22k, without labels, and on captions. All under licences that permit commercial use."""


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
        tuned_from: name of the candidate that it was fine-tuned from; "" where its weights are as they came.
    """

    name: str
    entry: ModelEntry
    resolution: int | Literal["native", "auto"]
    fit: Fit | None = None
    feature_point: str = "pooled"
    batch_norm: BatchNorm = "pretrained"
    tuned_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What is compared where nobody names models.

    Attributes:
        names: full names of models.
        left_out: those of `DEFAULT_MODELS` that no host can be asked for.
    """

    names: tuple[str, ...]
    left_out: tuple[str, ...]


def default_models() -> Defaults:
    """Return the models whose weights are here, and those of `DEFAULT_MODELS` that can be fetched."""
    here = [entry.name for entry in list_models(available=True)]
    missing = [find_model(name) for name in DEFAULT_MODELS if name not in here]
    by_host = {entry.weights.sources[0].kind: entry for entry in missing}
    answering = {kind for kind, entry in by_host.items() if is_reachable(entry)}
    fetched = [each.name for each in missing if each.weights.sources[0].kind in answering]
    return Defaults(
        names=(*here, *fetched),
        left_out=tuple(each.name for each in missing if each.name not in fetched),
    )


def missing_rows(candidate: Candidate) -> tuple[ModelEntry, ...]:
    """Return the rows whose weights are to be fetched before a candidate can be loaded."""
    rows = candidate.entry.singles
    return tuple(each for each in rows if each.provider != "folder" and not is_available(each))


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
            of equals the one nearest to the weights' own resolution, then the first; and "" again when none
            is published.

    Returns:
        The candidate's name; "" where there is none.
    """
    if wanted:
        fitting = [each for each in candidates if wanted in _names(each)]
        return min(fitting, key=lambda each: _names(each).index(wanted)).name if fitting else ""
    published = [each for each in candidates if each.entry.weights.top1 is not None]
    return max(published, key=lambda each: prior(each) or 0.0).name if published else ""


def prior(candidate: Candidate) -> float | None:
    """Return what is to be expected of a candidate by what was published: its ImageNet accuracy, in [0, 1].

    It is a little less, not enough to change the order of models, the farther its resolution is from that the
    accuracy was measured at. None where nothing was published.
    """
    weights, side = candidate.entry.weights, candidate.resolution
    if weights.top1 is None:
        return None
    native = weights.preprocessing.input_size[0]
    return weights.top1 - (1e-8 * abs(side - native) if isinstance(side, int) else 0.0)


def _names(candidate: Candidate) -> list[str]:
    """Return what a candidate may be called, the fullest name first."""
    forms = zip(*map(_row_names, candidate.entry.singles), strict=True)
    return [candidate.name, *map(SIGN.join, forms)]


def _row_names(entry: ModelEntry) -> tuple[str, ...]:
    bare = entry.name.partition("/")[2]
    return entry.name, bare, f"{entry.provider}/{entry.architecture}", entry.architecture


def plan_options(options: CompareOptions) -> PlanOptions:
    """Return what a comparison's user asks for of plans."""
    return PlanOptions(device=options.device, precision=options.precision, plan=options.plan)


def candidate_preprocessing(
    candidate: Candidate, sides: npt.NDArray[np.int64], *, native: Preprocessing
) -> Preprocessing:
    """Return what pictures go through for a candidate.

    Args:
        candidate: its resolution and fit.
        sides: int64 of shape (N,): shorter sides of the pictures.
        native: what its weights came with.

    Raises:
        InputError: the network does not take that resolution.
    """
    return choose_resolution(
        native,
        sides,
        resolution=candidate.resolution,
        fit=candidate.fit,
        fixed=candidate.entry.fixed_input_size,
    )
