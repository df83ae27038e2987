"""`audit`: what is wrong with somebody's pictures and labels."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.audit.records import DeepAudit
from headstart.audit.words import deep_findings, picture_occurs, pictures, some
from headstart.core.progress import SILENT, Progress
from headstart.data.dataset import Exclusion, ImageDataset
from headstart.data.partition import (
    LOCKED_TEST_MIN_PER_CLASS,
    LOCKED_TEST_MIN_PICTURES,
    TRAIN_MIN_PER_CLASS,
)
from headstart.data.scan import Scan, scan

if TYPE_CHECKING:
    from headstart.embed import PixelStore, PlanOptions
    from headstart.models import Classifier

_IMBALANCED_FROM = 10.0  # a common rule of thumb for "severe"; below it stratified splits are enough
_SMALL_SIDE = 32  # most networks reduce their input 32 times, so that less than one position remains


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What an audit found.

    Attributes:
        dataset_name: short name of the data set.
        dataset_location: what it was opened from, as given.
        num_pictures: readable pictures.
        class_names: K names.
        class_counts: readable pictures a class, in the order of `class_names`.
        excluded: everything left out, with reasons: when opening, then as unreadable.
        num_unreadable: how many of `excluded` could not be read.
        unreadable_share: `num_unreadable` of all pictures that were to be read, in [0, 1].
        num_passed_over: files that are not pictures by their name.
        duplicates: groups of ids with the same content.
        conflicts: those of them whose pictures have different labels.
        across_splits: those of them whose pictures lie in different splits that the data set brings.
        smallest_side: shorter side of the smallest picture, in pixels; None without pictures.
        median_side: median of the shorter sides, in pixels; None without pictures.
        largest_side: longer side of the largest picture, in pixels; None without pictures.
        imbalance: pictures of the largest class for each one of the smallest; None when a class is empty.
        deep: what pixels and features show; None where no model was given.
        findings: what a person should know, one sentence each, the gravest first; empty when all is well.
    """

    dataset_name: str
    dataset_location: str
    num_pictures: int
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    excluded: tuple[Exclusion, ...]
    num_unreadable: int
    unreadable_share: float
    num_passed_over: int
    duplicates: tuple[tuple[str, ...], ...]
    conflicts: tuple[tuple[str, ...], ...]
    across_splits: tuple[tuple[str, ...], ...]
    smallest_side: int | None
    median_side: float | None
    largest_side: int | None
    imbalance: float | None
    deep: DeepAudit | None = None
    findings: tuple[str, ...]


def audit(
    dataset: ImageDataset,
    *,
    classifier: "Classifier | None" = None,
    options: "PlanOptions | None" = None,
    max_unreadable: float = 0.1,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Audit:
    """Read every picture once and say what is wrong.

    Args:
        dataset: the pictures, of however few classes.
        classifier: whose features show near duplicates, wrong labels, outliers, shortcuts and groups; without
            it only what the files themselves show is reported.
        options: how its network is run.
        max_unreadable: the share of unreadable pictures that a comparison would accept, in [0, 1].
        seed: of folds and trees.
        progress: is told of each picture.

    Returns:
        The record; unreadable pictures are reported in it, however many.
    """
    deep = None
    with _open_store(classifier, options) as store:
        seen = scan(dataset, max_unreadable=1.0, keeper=store, progress=progress)
        if classifier is not None and store is not None:
            deep = _look_deeper(seen, classifier, store, options, seed=seed, progress=progress)
    kept = seen.dataset
    counts = [int(count) for count in kept.class_counts()]
    share = len(seen.excluded) / max(1, len(dataset))
    across = _across_splits(seen)
    shorter = np.minimum(seen.widths, seen.heights)
    fewest = min(counts, default=0)
    imbalance = max(counts) / fewest if fewest else None
    findings = [
        *_unreadable_findings(seen, share, max_unreadable),
        *_label_findings(kept, counts, imbalance),
        *_duplicate_findings(seen, across),
        *_other_findings(dataset, shorter),
        *(deep_findings(deep) if deep is not None else ()),
    ]
    return Audit(
        dataset_name=dataset.name,
        dataset_location=dataset.location,
        num_pictures=len(kept),
        class_names=kept.class_names,
        class_counts=tuple(counts),
        excluded=kept.excluded,
        num_unreadable=len(seen.excluded),
        unreadable_share=share,
        num_passed_over=dataset.num_passed_over,
        duplicates=seen.duplicates,
        conflicts=seen.conflicts,
        across_splits=across,
        smallest_side=int(shorter.min()) if len(kept) else None,
        median_side=float(np.median(shorter)) if len(kept) else None,
        largest_side=int(max(seen.widths.max(), seen.heights.max())) if len(kept) else None,
        imbalance=imbalance,
        deep=deep,
        findings=tuple(findings),
    )


def _open_store(
    classifier: "Classifier | None", options: "PlanOptions | None"
) -> "PixelStore | nullcontext[None]":
    """Return room for the pixels that the deep part will want."""
    if classifier is None:
        return nullcontext()
    from headstart.audit.thumbnails import THUMBNAIL  # what needs torch waits until it is wanted
    from headstart.embed import PixelStore

    exact = options is not None and options.plan == "exact"
    return PixelStore((classifier.preprocessing, THUMBNAIL), decoder="exact" if exact else "fast")


def _look_deeper(
    seen: Scan,
    classifier: "Classifier",
    store: "PixelStore",
    options: "PlanOptions | None",
    *,
    seed: int,
    progress: Progress,
) -> DeepAudit:
    from headstart.audit.deep import look_deeper
    from headstart.embed import PlanOptions

    return look_deeper(
        seen, classifier, store=store, options=options or PlanOptions(), seed=seed, progress=progress
    )


def _across_splits(seen: Scan) -> tuple[tuple[str, ...], ...]:
    given = seen.dataset.given_splits
    if given is None:
        return ()
    split_of = dict(zip(seen.dataset.ids, given, strict=True))
    return tuple(group for group in seen.duplicates if len({split_of[each] for each in group}) > 1)


def _unreadable_findings(seen: Scan, share: float, limit: float) -> list[str]:
    if not seen.excluded:
        return []
    listed = some([f"{each.id} ({each.reason})" for each in seen.excluded])
    verdict = f", more than the {limit:.0%} that a comparison accepts" if share > limit else ""
    return [f"{pictures(len(seen.excluded))} ({share:.1%}) cannot be read{verdict}: {listed}."]


def _label_findings(kept: ImageDataset, counts: Sequence[int], imbalance: float | None) -> list[str]:
    findings = []
    named = [f"{name} ({count})" for name, count in zip(kept.class_names, counts, strict=True)]
    if len(counts) < 2:
        findings.append(f"There is only one class, {some(named)}: a classifier needs two or more.")
    scarce = [text for text, count in zip(named, counts, strict=True) if count < TRAIN_MIN_PER_CLASS]
    if scarce:
        findings.append(
            f"{_classes(len(scarce))} with fewer than {TRAIN_MIN_PER_CLASS} pictures, too few to train on: "
            f"{some(scarce)}."
        )
    if len(kept) < LOCKED_TEST_MIN_PICTURES or min(counts, default=0) < LOCKED_TEST_MIN_PER_CLASS:
        findings.append(
            f"There are {pictures(len(kept))}, {min(counts, default=0)} in the smallest class: under "
            f"{LOCKED_TEST_MIN_PICTURES}, or {LOCKED_TEST_MIN_PER_CLASS} a class, a test set drawn from them "
            "would be too small, and cross-validation takes its place."
        )
    if imbalance is not None and imbalance >= _IMBALANCED_FROM:
        findings.append(
            f"The largest class has {imbalance:.0f} times as many pictures as the smallest: "
            "look at balanced accuracy rather than accuracy."
        )
    return findings


def _duplicate_findings(seen: Scan, across: Sequence[Sequence[str]]) -> list[str]:
    findings = []
    if seen.conflicts:
        findings.append(
            f"{picture_occurs(len(seen.conflicts))} under different labels, so that one of them is wrong: "
            f"{some([' = '.join(group[:3]) for group in seen.conflicts])}."
        )
    if across:
        findings.append(
            f"{picture_occurs(len(across))} in more than one of the given splits; a comparison leaves the "
            f"copies out of training: {some([' = '.join(group[:3]) for group in across])}."
        )
    if seen.duplicates:
        copies = sum(len(group) - 1 for group in seen.duplicates)
        findings.append(
            f"{pictures(copies)} exactly the same as another one: "
            f"{some([' = '.join(group[:3]) for group in seen.duplicates])}."
        )
    return findings


def _other_findings(dataset: ImageDataset, shorter: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[str]:
    findings = []
    tiny = int((shorter < _SMALL_SIDE).sum())
    if tiny:
        findings.append(
            f"{pictures(tiny)} under {_SMALL_SIDE} pixels on the shorter side: "
            "they must be enlarged for most models."
        )
    if dataset.excluded:
        listed = some([f"{each.id} ({each.reason})" for each in dataset.excluded])
        findings.append(f"{pictures(len(dataset.excluded))} left out when the data set was opened: {listed}.")
    if dataset.num_passed_over:
        files = "file" if dataset.num_passed_over == 1 else "files"
        findings.append(f"{dataset.num_passed_over} {files} without a picture's suffix passed over.")
    return findings


def _classes(count: int) -> str:
    return f"{count} {'class' if count == 1 else 'classes'}"
