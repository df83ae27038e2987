"""Groups of pictures that are evident: pictures of one are more alike than others of their class."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headstart.audit.neighbours import Neighbours
from headstart.audit.records import GroupProposal
from headstart.data.grouping import burst_groups, folder_groups, name_groups
from headstart.data.headers import Header

Integers = npt.NDArray[np.int64]

# A third of the pictures must have their nearest one in the group, and three times what chance would give.
_LEAST_SHARE = 1 / 3
_LEAST_LIFT = 3.0


def propose_groups(
    ids: Sequence[str], labels: Integers, headers: Sequence[Header], neighbours: Neighbours
) -> tuple[GroupProposal, ...]:
    """Return the ways to group pictures that their likeness bears out, the most evident first.

    Args:
        ids: of N pictures, no two of the same content.
        labels: int64 of shape (N,).
        headers: N headers.
        neighbours: of the N pictures' features.
    """
    ways = {"folder": folder_groups(ids), "name": name_groups(ids), "burst": burst_groups(headers)}
    proposals = [
        _proposal(by, np.array(names, dtype=np.str_), labels, neighbours.indices[:, 0])
        for by, names in ways.items()
    ]
    evident = [each for each in proposals if each is not None]
    return tuple(sorted(evident, key=lambda each: -each.nearest_inside))


def _proposal(
    by: str, names: npt.NDArray[np.str_], labels: Integers, nearest: Integers
) -> GroupProposal | None:
    """Return the proposal where a way of grouping is evident."""
    unique, group, sizes = np.unique(names, return_inverse=True, return_counts=True)
    # Groups that are whole classes, or "", say nothing that the labels do not.
    class_sizes = np.bincount(labels)
    is_grouped = (sizes[group] > 1) & (names != "") & (sizes[group] < 0.9 * class_sizes[labels])
    if not is_grouped.any():
        return None
    inside = group[nearest] == group
    share = float(inside[is_grouped].mean())
    expected = float(((sizes[group] - 1) / np.maximum(class_sizes[labels] - 1, 1))[is_grouped].mean())
    if share < _LEAST_SHARE or share < _LEAST_LIFT * expected:
        return None
    largest = unique[int(np.argmax(np.where(np.isin(unique, names[is_grouped]), sizes, 0)))]
    return GroupProposal(
        by=by,
        num_groups=len(np.unique(names[is_grouped])),
        example=str(largest),
        nearest_inside=share,
        by_chance=min(1.0, expected),
    )
