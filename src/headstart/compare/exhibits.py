"""Pictures worth a look besides mistakes: near ties, labels in doubt, and pictures that show the same."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.audit import Audit
from headstart.audit.labels import find_label_suspects
from headstart.compare.final import FinalPredictions
from headstart.compare.records import AlikeGroup, DoubtedLabel, NearTie
from headstart.compare.shown_pictures import save_thumbnail
from headstart.core.errors import MissingExtraError
from headstart.data import ImageDataset
from headstart.data.partition import repeated_contents

MAX_NEAR_TIES = 12
MAX_DOUBTED_LABELS = 24
MAX_GROUPS, MAX_IN_GROUP = 12, 4
_NEAR = 0.2
"""What the most probable class may be ahead of the next, in probability, to be called a near tie."""


def near_ties(final: FinalPredictions, run: Path) -> tuple[NearTie, ...]:
    """Return the pictures whose two most probable classes are closest, first repeat, at most 12.

    Writes a thumbnail of each into the run's folder, as the other functions here do.
    """
    dataset, probabilities = final.dataset, final.probabilities[0]
    if probabilities.shape[1] < 2:
        return ()
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]  # (N, 2)
    best = np.take_along_axis(probabilities, order, axis=1)
    ahead = best[:, 0] - best[:, 1]
    closest = np.argsort(ahead, kind="stable")[:MAX_NEAR_TIES]
    names = dataset.class_names
    return tuple(
        NearTie(
            id=dataset.ids[index],
            true_class=names[dataset.labels[index]],
            classes=(names[order[index, 0]], names[order[index, 1]]),
            probabilities=(float(best[index, 0]), float(best[index, 1])),
            thumbnail=save_thumbnail(dataset.source, dataset.ids[index], run),
        )
        for index in closest
        if ahead[index] <= _NEAR
    )


def doubted_labels(
    judged: Sequence[tuple[ImageDataset, npt.NDArray[np.float32]]], run: Path
) -> tuple[DoubtedLabel, ...]:
    """Return labels that predictions doubt, the likeliest to be wrong first, at most 24.

    Args:
        judged: parts of a data set, each with probabilities, float32 of shape (N, K), by models that did not
            see its pictures.
        run: the run's folder.

    Returns:
        () also where cleanlab, which the extra `audit` brings, is not installed.
    """
    labels = np.concatenate([dataset.labels for dataset, _ in judged])
    probabilities = np.concatenate([each for _, each in judged])
    if len(np.unique(labels)) < probabilities.shape[1]:  # confident learning needs pictures of every class
        return ()
    try:
        suspects = find_label_suspects(labels, probabilities)
    except MissingExtraError:
        return ()
    places = [(dataset, index) for dataset, _ in judged for index in range(len(dataset))]
    names = judged[0][0].class_names
    found = []
    for row in suspects[:MAX_DOUBTED_LABELS]:
        dataset, index = places[row]
        suggested = int(probabilities[row].argmax())
        found.append(
            DoubtedLabel(
                id=dataset.ids[index],
                label=names[labels[row]],
                suggested=names[suggested],
                probability=float(probabilities[row, labels[row]]),
                suggested_probability=float(probabilities[row, suggested]),
                thumbnail=save_thumbnail(dataset.source, dataset.ids[index], run),
            )
        )
    return tuple(found)


def audited_labels(audit: Audit, dataset: ImageDataset, run: Path) -> tuple[DoubtedLabel, ...]:
    """Return the labels that an audit of all pictures doubts, at most 24."""
    suspects = audit.deep.label_suspects[:MAX_DOUBTED_LABELS] if audit.deep else ()
    return tuple(
        DoubtedLabel(
            id=each.id,
            label=each.label,
            suggested=each.suggested,
            probability=each.probability,
            suggested_probability=each.suggested_probability,
            thumbnail=save_thumbnail(dataset.source, each.id, run),
        )
        for each in suspects
    )


def same_content(dataset: ImageDataset, run: Path) -> tuple[AlikeGroup, ...]:
    """Return groups of pictures whose files have the same content, those with different labels first."""
    return _shown(repeated_contents(dataset), dataset, run, is_exact=True)


def nearly_the_same(audit: Audit, dataset: ImageDataset, run: Path) -> tuple[AlikeGroup, ...]:
    """Return groups of pictures that an audit found to show the same, those with different labels first."""
    groups = audit.deep.near_duplicates.groups if audit.deep else ()
    wanted = {each for group in groups for each in group}
    rows = {each: row for row, each in enumerate(dataset.ids) if each in wanted}
    known = [[rows[each] for each in group if each in rows] for group in groups]
    return _shown(known, dataset, run, is_exact=False)


def _shown(
    groups: Sequence[Sequence[int]], dataset: ImageDataset, run: Path, *, is_exact: bool
) -> tuple[AlikeGroup, ...]:
    """Return groups of rows as they are shown, those with different labels first."""
    conflicts_first = sorted(groups, key=lambda rows: len({int(dataset.labels[row]) for row in rows}) < 2)
    return tuple(
        AlikeGroup(
            ids=tuple(dataset.ids[row] for row in rows),
            classes=tuple(dataset.class_names[dataset.labels[row]] for row in rows),
            is_exact=is_exact,
            thumbnails=tuple(
                save_thumbnail(dataset.source, dataset.ids[row], run) for row in rows[:MAX_IN_GROUP]
            ),
        )
        for rows in conflicts_first[:MAX_GROUPS]
        if len(rows) > 1
    )
