"""One row of several: networks that see the same pictures, and whose features stand behind one another."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from headstart.catalog.entry import SIDE_BY_SIDE, ModelEntry, Preprocessing, WeightsEntry
from headstart.core.errors import InputError

SIGN = "+"
"""Stands between the names of networks side by side; some names of one network have it, too."""


def put_side_by_side(members: Sequence[ModelEntry]) -> ModelEntry:
    """Return the row of networks side by side.

    Pictures are resized and cut as the first one's weights ask for, at the first one's size, or at that of a
    member that takes no other. Multiply-adds are the sum of each network's at its own size. What is not known
    of one member is not known of all.

    Args:
        members: two rows or more, of one network each.

    Raises:
        InputError: two of them hold the same tensors, or take pictures of different sizes only.
    """
    for first, second in combinations(members, 2):
        if _share_tensors(first, second):
            raise InputError(
                f"{first.name} and {second.name} are the same weights; side by side they say nothing new",
                hint="name two different models",
            )
    return ModelEntry(
        name=SIGN.join(each.name for each in members),
        provider=SIDE_BY_SIDE,
        architecture=SIGN.join(each.architecture for each in members),
        family=SIGN.join(dict.fromkeys(each.family for each in members)),
        weights=_weights(members),
        num_params=_sum_known([each.num_params for each in members]),
        num_macs=_sum_known([each.num_macs for each in members]),
        feature_dim=_sum_known([each.feature_dim for each in members]),
        fixed_input_size=any(each.fixed_input_size for each in members),
        paper=_join_known([each.paper for each in members], " "),
        members=tuple(members),
    )


def _share_tensors(first: ModelEntry, second: ModelEntry) -> bool:
    shared = set(first.weights.sources) & set(second.weights.sources)
    return first.name == second.name or second.name in first.same_tensors_as or bool(shared)


def _weights(members: Sequence[ModelEntry]) -> WeightsEntry:
    weights = [each.weights for each in members]
    return WeightsEntry(
        tag=SIGN.join(each.tag for each in weights),
        sources=tuple(source for each in weights for source in each.sources),
        num_classes=0,
        pretrained_on=_join_known([each.pretrained_on for each in weights], "; "),
        license=_join_known([each.license for each in weights], " AND "),
        preprocessing=_preprocessing(members),
    )


def _preprocessing(members: Sequence[ModelEntry]) -> Preprocessing:
    """Return the first one's preprocessing, at a size that all take."""
    fixed = [each for each in members if each.fixed_input_size]
    for first, second in combinations(fixed, 2):
        sizes = [each.weights.preprocessing.input_size for each in (first, second)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{first.name} takes pictures of {sizes[0][0]} px only and {second.name} of {sizes[1][0]} px "
                "only; side by side they must see the same ones",
                hint="name models of one size; headstart models NAME says which a model takes",
            )
    size = (fixed or members)[0].weights.preprocessing.input_size
    return replace(members[0].weights.preprocessing, input_size=size)


def _sum_known(counts: Sequence[int]) -> int:
    return sum(counts) if all(counts) else 0


def _join_known(texts: Sequence[str], sign: str) -> str:
    """Return the different ones of some texts behind one another, "" where one is unknown."""
    return sign.join(dict.fromkeys(texts)) if all(texts) else ""
