"""The pictures of a comparison: every one read once before anything rests on it, in parts that share none."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from headstart.catalog.entry import Preprocessing
from headstart.compare.candidates import Candidate, candidate_preprocessing
from headstart.compare.records import CompareOptions
from headstart.core.errors import InputError
from headstart.core.progress import Progress
from headstart.core.runner import Runner, SerialRunner
from headstart.data import ImageDataset, Split, Splits
from headstart.data.dataset import concatenate
from headstart.data.scan import Keeper, scan
from headstart.data.sources import ArraySource
from headstart.data.split import Sample
from headstart.embed import PixelStore, sample_sides

SMALL = Preprocessing(input_size=(32, 32), fit="squash", interpolation="bilinear")
"""How pictures are read for the baseline on pixels; `open_store` keeps them, so none is read twice."""


def open_store(
    candidates: Sequence[Candidate], pictures: ImageDataset, options: CompareOptions
) -> PixelStore:
    """Return room for the pixels that the candidates will need, as far as the catalogue knows them."""
    sides = sample_sides(pictures)
    kinds = []
    for candidate in candidates:
        with suppress(InputError):  # a resolution that this one does not take: told when it runs
            native = candidate.entry.weights.preprocessing
            kinds.append(candidate_preprocessing(candidate, sides, native=native))
    return PixelStore([*kinds, SMALL], decoder="exact" if options.plan == "exact" else "fast")


def list_parts(splits: Splits) -> list[ImageDataset]:
    """Return the parts that there are: train, val, test."""
    return [part for part in (splits.train, splits.val, splits.test) if part is not None]


def all_pictures(pictures: Splits | ImageDataset | Sample) -> ImageDataset:
    """Return all pictures as one data set, scanned or not."""
    if isinstance(pictures, Sample):
        return pictures.dataset
    return pictures if isinstance(pictures, ImageDataset) else concatenate(list_parts(pictures))


def without_pictures(dataset: ImageDataset) -> ImageDataset:
    """Return the names and labels of pictures, for a worker that needs to read none."""
    return replace(dataset, source=ArraySource(pictures={}), excluded=())


def prepare_splits(
    pictures: Splits | ImageDataset | Sample,
    *,
    seed: int,
    progress: Progress,
    keeper: Keeper | None = None,
    runner: Runner = SerialRunner(),
    max_unreadable: float = 0.1,
    meanwhile: Callable[[], None] | None = None,
) -> Splits:
    """Return splits whose pictures can all be read and of which no two parts share a content.

    What was scanned before is not read again. The parts of splits that were drawn without a scan are kept,
    less the pictures that cannot be read and those of train or val that lie in test (or val) too.

    Args:
        pictures: splits, or a data set or sample that is split here.
        seed: of the draw.
        progress: told about the reading.
        keeper: decodes the pictures and may keep their pixels, as in `scan`.
        runner: who reads them.
        max_unreadable: share of unreadable pictures above which to stop, in [0, 1].
        meanwhile: as in `scan`.

    Raises:
        DataError: too many pictures cannot be read, or too few are left to train on.
    """

    def read(dataset: ImageDataset) -> ImageDataset:
        return scan(
            dataset,
            max_unreadable=max_unreadable,
            keeper=keeper,
            runner=runner,
            meanwhile=meanwhile,
            progress=progress,
        ).dataset

    if isinstance(pictures, Sample):
        return read(pictures.dataset).split(test=pictures.test_share, seed=seed)
    if isinstance(pictures, ImageDataset):
        if pictures.digests is None:
            pictures = read(pictures)
        return pictures.split(seed=seed)
    if all(part.digests is not None for part in list_parts(pictures)):
        return pictures
    again = read(_joined(pictures)).split(test=0, val=0, seed=pictures.seed)
    excluded = tuple(dict.fromkeys((*pictures.excluded, *again.excluded)))
    own = _given_splits(pictures)
    return replace(
        again,
        train=_with_given(again.train, own),
        val=again.val and _with_given(again.val, own),
        test=again.test and _with_given(again.test, own),
        given_test=pictures.given_test,
        excluded=excluded,
    )


def _given_splits(splits: Splits) -> dict[str, str]:
    """Return the split that the data set itself brought for each picture, nothing where it brought none."""
    return {
        each: split
        for part in list_parts(splits)
        for each, split in zip(part.ids, part.given_splits or (), strict=part.given_splits is not None)
    }


def _with_given(part: ImageDataset, own: dict[str, str]) -> ImageDataset:
    """Give a part its data set's own splits again: the fingerprint is then that of pictures read before."""
    return replace(part, given_splits=tuple(own[each] for each in part.ids) if own else None)


def _joined(splits: Splits) -> ImageDataset:
    """Return all parts as one data set whose given splits are these parts."""
    named: list[tuple[Split, ImageDataset | None]] = [
        ("train", splits.train),
        ("val", splits.val),
        ("test", splits.test),
    ]
    given = tuple(name for name, part in named if part is not None for _ in range(len(part)))
    return replace(concatenate(list_parts(splits)), given_splits=given)
