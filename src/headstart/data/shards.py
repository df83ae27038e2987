"""A data set in pieces, each small enough to be sent to a worker and done there by itself."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Protocol, runtime_checkable

from headstart.core.errors import InputError
from headstart.data.dataset import ImageDataset, PictureSource


@runtime_checkable
class Divisible(Protocol):
    """A source that holds where each picture lies, and can be had with a part of that alone."""

    def containers(self, picture_ids: Iterable[str]) -> Iterator[str]:
        """Yield what each picture is read together with: the same text for all pictures that lie in it."""
        ...

    def only(self, picture_ids: Iterable[str]) -> PictureSource:
        """Return the source of these pictures, which holds nothing of others."""
        ...


def shards(dataset: ImageDataset, num_pictures: int) -> Iterator[ImageDataset]:
    """Cut a data set into pieces of at most so many pictures.

    Where it is cut depends on the pictures and what they lie in alone, never on who works on them. What lies
    in one tar or one row group of a Parquet file stays together where it fits into a piece, and is else cut
    into pieces of like size.

    Args:
        dataset: the pictures.
        num_pictures: in a piece, at most.

    Yields:
        Pieces with all classes and the pictures in their order, which together are the whole; the source of
        each holds where its own pictures lie and no more, and what was excluded stands in none.

    Raises:
        InputError: `num_pictures` is below 1.
    """
    if num_pictures < 1:
        raise InputError(f"num_pictures={num_pictures}", hint="give 1 or more")
    for piece in _ranges(dataset, num_pictures):
        chosen = replace(dataset.select(piece), excluded=(), num_passed_over=0)
        source = dataset.source
        yield replace(chosen, source=source.only(chosen.ids) if isinstance(source, Divisible) else source)


def _ranges(dataset: ImageDataset, num_pictures: int) -> Iterator[range]:
    """Yield which pictures come into each piece."""
    begin = end = 0
    for size in _sizes(dataset):
        if end + size - begin > num_pictures and end > begin:
            yield range(begin, end)
            begin = end
        end += size
        if size > num_pictures:
            num_pieces = -(-size // num_pictures)
            cuts = [begin + size * piece // num_pieces for piece in range(num_pieces + 1)]
            yield from map(range, cuts, cuts[1:])
            begin = end
    if end > begin:
        yield range(begin, end)


def _sizes(dataset: ImageDataset) -> Iterator[int]:
    """Yield the numbers of pictures that lie in one container and follow each other."""
    source = dataset.source
    if not isinstance(source, Divisible):
        yield from (1 for _ in dataset.ids)
        return
    for _, run in groupby(source.containers(dataset.ids)):
        yield sum(1 for _ in run)
