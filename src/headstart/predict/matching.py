"""Which of a classifier's classes a data set means: by name, by ImageNet's wordnet id, or by index.

A rule must recognise every picture; no two rules are mixed. A number is the weakest sign, so indices come
last, and in files' names only where nothing else could be meant.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headstart.core.errors import DataError
from headstart.data import ImageDataset
from headstart.models import Classifier
from headstart.models.imagenet import wordnet_ids

Integers = npt.NDArray[np.int64]

_UNKNOWN = -1
_SHOWN = 3
_IMAGENET_HINT = (
    "; all class folders, or labels of a CSV, may be names, wordnet ids (n01440764) or indices (0), or every "
    "file's name may hold a wordnet id, or begin with an index (0_a.jpg; but 0001.jpg is no class)"
)
_WORDNET_ID = re.compile(r"(?<![0-9A-Za-z])n[0-9]{8}(?![0-9A-Za-z])")  # noun, and its place in WordNet 3.0
_INDEX = re.compile(r"[0-9]{1,9}")
_LEADING_INDEX = re.compile(r"([0-9]{1,9})_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One way to say which class is meant.

    Attributes:
        words: how, to go after "by".
        in_file_names: whether it reads the names of files, instead of what the data set calls its classes.
        in_one_folder: whether it says nothing where the pictures lie in several folders.
        keys: finds in each text what says the class; "" where there is nothing of the kind.
        places: from such a key to the index in the classifier's `class_names`.
    """

    words: str
    in_file_names: bool = False
    in_one_folder: bool = False
    keys: Callable[[Sequence[str]], Sequence[str]]
    places: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt:
    """What one rule makes of a data set.

    Attributes:
        rule: the rule.
        dataset: the pictures; every class has some.
        places: int64 of shape (number of its classes,), indices into the classifier's `class_names`, -1 where
            the rule finds none.
    """

    rule: Rule
    dataset: ImageDataset
    places: Integers

    @property
    def num_unknown(self) -> int:
        """Number of pictures whose class was not found."""
        return int(np.count_nonzero(self.places[self.dataset.labels] == _UNKNOWN))

    @property
    def unknown(self) -> list[str]:
        """Names of the classes that were not found."""
        names = zip(self.dataset.class_names, self.places.tolist(), strict=True)
        return [name for name, place in names if place == _UNKNOWN]


def rules_for(class_names: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules for a classifier's classes, the surest first; more than names for ImageNet's alone."""
    names = {name: place for place, name in enumerate(class_names)}
    ids = wordnet_ids(class_names)
    if not ids:
        return (Rule(words="name", keys=list, places=names),)
    by_id = {each: place for place, each in enumerate(ids) if each}
    by_index = {str(index): place for index, place in enumerate(by_id.values())}
    return (
        Rule(words="name", keys=lambda texts: [each.replace("_", " ") for each in texts], places=names),
        Rule(words="wordnet id", keys=list, places=by_id),
        Rule(words="the wordnet id in file names", in_file_names=True, keys=_ids_in, places=by_id),
        Rule(words="class index", keys=_indices, places=by_index),
        Rule(
            words="the index before file names",
            in_file_names=True,
            in_one_folder=True,  # else the folders are the classes, and the files in them are numbered
            keys=_leading_indices,
            places=by_index,
        ),
    )


def attempt(rule: Rule, dataset: ImageDataset) -> Attempt:
    """Return what a rule makes of a data set's pictures; classes without any do not count."""
    used, labels = np.unique(dataset.labels, return_inverse=True)
    names = tuple(dataset.class_names[label] for label in used)
    found = [rule.places.get(key, _UNKNOWN) for key in rule.keys(names)]
    if rule.in_one_folder and len({each.rpartition("/")[0] for each in dataset.ids}) > 1:
        found = [_UNKNOWN] * len(names)
    return Attempt(
        rule=rule,
        dataset=replace(dataset, class_names=names, labels=labels.astype(np.int64)),
        places=np.array(found, np.int64),
    )


def first_complete(classifier: Classifier, attempts: Iterable[Attempt]) -> tuple[ImageDataset, str]:
    """Return the pictures with the classifier's own classes and labels, and by what they were told, in words.

    Args:
        classifier: whose classes are meant.
        attempts: one or more, taken in order until one has found every class.

    Raises:
        DataError: none has; the message is about the one that found most.
    """
    tried: list[Attempt] = []
    for each in attempts:
        if not each.num_unknown:
            labels = each.places[each.dataset.labels]
            return replace(each.dataset, class_names=classifier.class_names, labels=labels), each.rule.words
        tried.append(each)
    raise _unmatched(classifier, min(tried, key=lambda each: each.num_unknown))


def _ids_in(texts: Sequence[str]) -> list[str]:
    """Return the wordnet id in each text, "" where there is none or more than one."""
    found = [set(_WORDNET_ID.findall(text)) for text in texts]
    return [each.pop() if len(each) == 1 else "" for each in found]


def _indices(texts: Sequence[str]) -> list[str]:
    return [str(int(text)) if _INDEX.fullmatch(text) else "" for text in texts]


def _leading_indices(texts: Sequence[str]) -> list[str]:
    """Return the number and underscore that each text begins with, "" for all where they merely count."""
    found = [_LEADING_INDEX.match(text) for text in texts]
    numbers = [int(each[1]) for each in found if each]
    counting = len(numbers) > 1 and sorted(numbers) == list(range(min(numbers), min(numbers) + len(numbers)))
    return [str(int(each[1])) if each and not counting else "" for each in found]


def _unmatched(classifier: Classifier, best: Attempt) -> DataError:
    unknown, total = best.unknown, len(best.dataset)
    count = f"{best.num_unknown} of {total} pictures"
    shown = ", ".join(repr(name) for name in unknown[1:_SHOWN])
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    others = f", nor {shown}{more}" if shown else ""
    names = classifier.class_names
    if best.rule.in_file_names:
        said = (
            f"{classifier.name} finds no class of its own in the file name {unknown[0]!r}{others} ({count})"
        )
    else:
        said = f"{classifier.name} does not know the class {unknown[0]!r}{others} ({count})"
    known = ", ".join(repr(name) for name in names[:5])
    hint = f"it knows {len(names)} classes: {known}, ..."
    return DataError(said, hint=hint + (_IMAGENET_HINT if wordnet_ids(names) else ""))
