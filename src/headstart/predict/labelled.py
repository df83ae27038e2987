"""From what a user names to pictures whose labels are a classifier's own classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import cast

from headstart.core.errors import DataError, InputError
from headstart.core.progress import SILENT, Progress
from headstart.data import ImageDataset, Split, open_dataset
from headstart.data.open import open_by_file_names
from headstart.data.scan import scan
from headstart.data.split import sample as draw_sample
from headstart.models import Classifier
from headstart.predict.matching import Attempt, attempt, first_complete, rules_for


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledPictures:
    """Pictures to measure a classifier on.

    Attributes:
        dataset: the pictures that can be read; `class_names` are the classifier's, in its order, though many
            may have no pictures.
        matched_by: what says which class is meant: "name", "wordnet id".
        part: "test" or "val" where the data set brings such a part and `dataset` is of it; else None.
    """

    dataset: ImageDataset
    matched_by: str
    part: Split | None


def open_labelled(
    classifier: Classifier,
    location: str,
    *,
    sample: Mapping[str, int] = MappingProxyType({}),
    seed: int = 0,
    max_unreadable: float = 0.1,
    progress: Progress = SILENT,
) -> LabelledPictures:
    """Open the pictures to measure a classifier on, match their classes with its own, and read them once.

    A classifier of ImageNet's classes understands their names, wordnet ids and indices, as class folders, as
    labels of a CSV, and the latter two in the files' own names. Others know their classes by name.

    Args:
        classifier: whose classes are meant.
        location: as `open_dataset` takes it; with ImageNet's classes there need not be class folders.
        sample: number of pictures to draw, by "test", the same share of each class; {} takes all. A number
            by "train" has no effect beside it.
        seed: of the draw.
        max_unreadable: share of unreadable pictures above which to stop, in [0, 1].
        progress: told about the reading.

    Raises:
        DataError: there is nothing to open, a class is unknown to the classifier, or too many pictures
            cannot be read.
        InputError: the name or the numbers cannot be used.
        ModelError: the network has no classifier.
    """
    classifier.with_logits_as_features()  # a network without classes fails here, before any picture is blamed
    if "train" in sample and "test" not in sample:
        raise InputError(
            f"a sample of train={sample['train']} was asked for, but models are measured on test pictures",
            hint="for example --sample test=500",
        )
    matched, matched_by = first_complete(classifier, _attempts(classifier, location))
    part = cast(Split, matched.given_splits[0]) if matched.given_splits else None
    test: Split = "test"  # whatever it was called: a number of test pictures is drawn from it
    tests = replace(matched, given_splits=(test,) * len(matched))
    drawn = draw_sample(tests, test=sample.get("test"), seed=seed).dataset
    pictures = scan(drawn, max_unreadable=max_unreadable, progress=progress).dataset
    return LabelledPictures(dataset=pictures, matched_by=matched_by, part=part)


def held_out(dataset: ImageDataset) -> ImageDataset:
    """Return the part of a data set that models are measured on: its own test or val part, else all of it."""
    given = dataset.given_splits or ()
    for part in ("test", "val"):
        if part in given:
            return dataset.select([index for index, name in enumerate(given) if name == part])
    return dataset


def _attempts(classifier: Classifier, location: str) -> Iterator[Attempt]:
    """Yield what each rule makes of the pictures; files' names are looked at only when it is their turn."""
    rules = rules_for(classifier.class_names)

    @cache
    def by_file_names() -> ImageDataset | None:
        dataset = open_by_file_names(location)
        return None if dataset is None else held_out(dataset)

    by_classes: ImageDataset | None = None
    try:
        by_classes = held_out(open_dataset(location))
    except DataError:  # no class folders, for one; anything worse happens again below
        if not any(rule.in_file_names for rule in rules) or by_file_names() is None:
            raise
    for rule in rules:
        dataset = by_file_names() if rule.in_file_names else by_classes
        if dataset is not None:
            yield attempt(rule, dataset)
