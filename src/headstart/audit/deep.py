"""The deep part of an audit: pixels, features, and probes that never saw the pictures they judge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from headstart.audit.groups import propose_groups
from headstart.audit.labels import count_groups, find_label_suspects, predict_out_of_fold
from headstart.audit.near_duplicates import find_groups, members_of
from headstart.audit.neighbours import Neighbours, find_neighbours, unit_rows
from headstart.audit.records import (
    DeepAudit,
    LabelSuspect,
    NearDuplicates,
    Outlier,
    Shortcut,
    Suspect,
)
from headstart.audit.shortcuts import camera_table, measure_shortcut, size_table
from headstart.audit.thumbnails import THUMBNAIL, Thumbnails, look_at
from headstart.core.errors import MissingExtraError
from headstart.core.progress import Progress
from headstart.data import ImageDataset
from headstart.data.headers import Header, read_headers
from headstart.data.partition import content_groups, inseparable, joined
from headstart.data.scan import Scan
from headstart.embed import PixelStore, PlanOptions, embed
from headstart.embed.decoding import Decoding
from headstart.embed.matrix import select_rows
from headstart.evaluate import Estimate, PairedDifference, paired_difference, wilson
from headstart.models import Classifier
from headstart.train import LinearProbe

Integers = npt.NDArray[np.int64]
Features = npt.NDArray[np.float32]

_NUM_NEIGHBOURS = 10
_FEWEST_PICTURES = 2 * _NUM_NEIGHBOURS
_EVEN_BELOW = 2.0  # grey levels: compression alone makes more of anything that was photographed
_SMALLEST_SIDE = 16  # pixels: an icon
_LONGEST_SHAPE = 5.0  # times as long as wide: a banner, of which a square crop shows a fifth
_OUTLIER_FENCES = 3.0
"""Interquartile ranges below the lower quartile. Source: Tukey 1977, "far out"."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Seen:
    """What the parts of the audit share: N pictures, no two of the same content.

    Attributes:
        dataset: the pictures.
        widths: int64 of shape (N,).
        heights: int64 of shape (N,).
        thumbnails: what their small pictures tell.
        headers: what their files tell.
        features: float32 of shape (N, D).
        vectors: the same with the mean taken off and of length 1.
        neighbours: of the vectors.
        groups: int64 of shape (N,): near duplicates have the same number.
        together: int64 of shape (N,): what the user says belongs together.
        skipped: what could not be looked for, and why.
    """

    dataset: ImageDataset
    widths: Integers
    heights: Integers
    thumbnails: Thumbnails
    headers: Sequence[Header]
    features: Features
    vectors: Features
    neighbours: Neighbours
    groups: Integers
    together: Integers
    skipped: list[str] = field(default_factory=list)

    @property
    def apart(self) -> Integers:
        """int64 of shape (N,): what must stay on one side so that the other is new."""
        return joined(self.groups, self.together)

    def ids(self, rows: Integers) -> tuple[str, ...]:
        return tuple(self.dataset.ids[int(row)] for row in rows)


def look_deeper(
    seen: Scan,
    classifier: Classifier,
    *,
    store: PixelStore,
    options: PlanOptions,
    seed: int,
    progress: Progress,
) -> DeepAudit:
    """Return what pixels, features and out-of-fold predictions show of scanned pictures.

    Args:
        seen: of the pictures.
        classifier: whose features are used.
        store: the pixels that the scan kept, `THUMBNAIL` among them.
        options: how the network is run.
        seed: of folds and trees.
        progress: told about everything that takes time.
    """
    first = np.unique(content_groups(seen.dataset), return_index=True)[1]
    if len(first) < _FEWEST_PICTURES:
        return _nothing(classifier, f"there are fewer than {_FEWEST_PICTURES} different pictures")
    shown = _see(seen, np.sort(first), classifier, store, options, seed, progress)
    progress.start("predicting pictures that the probe did not see")
    labels, reason = shown.dataset.labels, _why_no_probe(shown)
    if reason:
        shown.skipped.append(f"wrong labels, shortcuts and inflation: {reason}")
        probabilities, accuracy, inflation = None, None, None
    else:
        probabilities = predict_out_of_fold(shown.features, labels, shown.apart, seed=seed)
        right = probabilities.argmax(1) == labels
        accuracy = wilson(int(right.sum()), len(right))
        inflation = _inflation(shown, right, seed=seed)
    return DeepAudit(
        model=classifier.name,
        suspects=_suspects(shown),
        near_duplicates=_near_duplicates(shown, inflation),
        label_suspects=_label_suspects(shown, probabilities),
        outliers=_outliers(shown),
        shortcuts=_shortcuts(shown, accuracy, seed=seed),
        groups=propose_groups(shown.dataset.ids, labels, shown.headers, shown.neighbours),
        accuracy=accuracy,
        skipped=tuple(shown.skipped),
    )


def _nothing(classifier: Classifier, reason: str) -> DeepAudit:
    return DeepAudit(
        model=classifier.name,
        suspects=(),
        near_duplicates=NearDuplicates(groups=(), across_splits=(), conflicts=(), inflation=None),
        label_suspects=(),
        outliers=(),
        shortcuts=(),
        groups=(),
        accuracy=None,
        skipped=(f"everything that needs features: {reason}",),
    )


def _see(
    seen: Scan,
    rows: Integers,
    classifier: Classifier,
    store: PixelStore,
    options: PlanOptions,
    seed: int,
    progress: Progress,
) -> _Seen:
    embeddings = embed(classifier, seen.dataset.select(rows), options=options, store=store, progress=progress)
    place = {each: index for index, each in enumerate(seen.dataset.ids)}
    rows = np.array([place[each] for each in embeddings.ids], np.int64)
    dataset = seen.dataset.select(rows)
    progress.start("comparing the pictures with each other")
    decoding = Decoding(
        source=dataset.source,
        preprocessing=THUMBNAIL,
        decoder=store.decoder,
        store=store,
        digests=dict(zip(dataset.ids, dataset.digests or (), strict=True)),
    )
    thumbnails = look_at(decoding, dataset.ids)
    vectors = unit_rows(embeddings.features)
    neighbours = find_neighbours(vectors, k=_NUM_NEIGHBOURS, seed=seed)
    return _Seen(
        dataset=dataset,
        widths=seen.widths[rows],
        heights=seen.heights[rows],
        thumbnails=thumbnails,
        headers=read_headers(dataset, progress=progress),
        features=embeddings.features,
        vectors=vectors,
        neighbours=neighbours,
        groups=find_groups(thumbnails.hashes, vectors, neighbours),
        together=inseparable(dataset),
    )


def _why_no_probe(shown: _Seen) -> str:
    """Return why no probe can be fitted out of fold, "" where one can."""
    if shown.dataset.num_classes < 2:
        return "there is only one class"
    if shown.dataset.class_counts().min() == 0 or count_groups(shown.dataset.labels, shown.apart) < 2:
        return "a class has fewer than two different pictures"
    return ""


def _suspects(shown: _Seen) -> tuple[Suspect, ...]:
    suspects = []
    for row, picture_id in enumerate(shown.dataset.ids):
        width, height = int(shown.widths[row]), int(shown.heights[row])
        shorter, longer = sorted((width, height))
        if shorter < _SMALLEST_SIDE:
            suspects.append(Suspect(id=picture_id, reason=f"tiny: {width} x {height} pixels"))
        elif longer > _LONGEST_SHAPE * shorter:
            suspects.append(Suspect(id=picture_id, reason=f"a strip: {width} x {height} pixels"))
        elif shown.thumbnails.is_known[row] and shown.thumbnails.spreads[row] < _EVEN_BELOW:
            suspects.append(Suspect(id=picture_id, reason="one colour"))
    return tuple(suspects)


def _near_duplicates(shown: _Seen, inflation: PairedDifference | None) -> NearDuplicates:
    members = members_of(shown.groups)
    given = shown.dataset.given_splits

    def differ(value_of: Callable[[int], object]) -> tuple[tuple[str, ...], ...]:
        return tuple(shown.ids(group) for group in members if len({value_of(int(row)) for row in group}) > 1)

    return NearDuplicates(
        groups=tuple(shown.ids(group) for group in members),
        across_splits=() if given is None else differ(lambda row: given[row]),
        conflicts=differ(lambda row: int(shown.dataset.labels[row])),
        inflation=inflation,
    )


def _inflation(shown: _Seen, right_apart: npt.NDArray[np.bool_], *, seed: int) -> PairedDifference | None:
    """Return accuracy with near duplicates of the judged pictures in training, minus accuracy without.

    With splits that the data set brings, on its test part; else on all pictures, out of fold.

    Args:
        shown: the pictures.
        right_apart: bool of shape (N,): whether each was predicted right with its near duplicates kept out.
        seed: of the folds.
    """
    if not members_of(shown.groups):
        return None
    labels, given = shown.dataset.labels, shown.dataset.given_splits
    if given is None:
        together = predict_out_of_fold(shown.features, labels, shown.together, seed=seed)
        return paired_difference(together.argmax(1) == labels, right_apart)
    is_test = np.array([split == "test" for split in given])
    leaks = ~is_test & np.isin(shown.groups, shown.groups[is_test])
    if not is_test.any() or not leaks.any() or len(np.unique(labels[~is_test & ~leaks])) < 2:
        return None
    with_leaks, without = (
        LinearProbe(seed=seed)
        .fit(select_rows(shown.features, np.flatnonzero(part)), labels[part])
        .predict(select_rows(shown.features, np.flatnonzero(is_test)))
        == labels[is_test]
        for part in (~is_test, ~is_test & ~leaks)
    )
    return paired_difference(with_leaks, without)


def _label_suspects(shown: _Seen, probabilities: Features | None) -> tuple[LabelSuspect, ...]:
    if probabilities is None:
        return ()
    labels, names = shown.dataset.labels, shown.dataset.class_names
    try:
        rows = find_label_suspects(labels, probabilities)
    except MissingExtraError as error:
        shown.skipped.append(f"wrong labels: {error} ({error.hint})")
        return ()
    best = probabilities.argmax(1)
    return tuple(
        LabelSuspect(
            id=shown.dataset.ids[row],
            label=names[labels[row]],
            suggested=names[best[row]],
            probability=float(probabilities[row, labels[row]]),
            suggested_probability=float(probabilities[row, best[row]]),
        )
        for row in rows.tolist()
    )


def _outliers(shown: _Seen) -> tuple[Outlier, ...]:
    similarity = shown.neighbours.similarities.mean(axis=1)
    lower, upper = np.quantile(similarity, [0.25, 0.75])
    far = np.flatnonzero(similarity < lower - _OUTLIER_FENCES * (upper - lower))
    far = far[np.argsort(similarity[far], kind="stable")]
    return tuple(
        Outlier(id=shown.dataset.ids[row], similarity=float(similarity[row])) for row in far.tolist()
    )


def _shortcuts(shown: _Seen, accuracy: Estimate | None, *, seed: int) -> tuple[Shortcut, ...]:
    if accuracy is None:
        return ()
    tables = {
        "size and file format": (size_table(shown.widths, shown.heights, shown.headers), None),
        "camera data": (camera_table(shown.headers), None),
        "border pixels": (shown.thumbnails.borders.astype(np.float64), accuracy.value),
    }
    measured = [
        measure_shortcut(
            source, table, shown.dataset.labels, shown.apart, network_accuracy=network, seed=seed
        )
        for source, (table, network) in tables.items()
    ]
    return tuple(each for each in measured if each is not None)
