"""Reading every picture once: which can be used, and which are the same."""

import hashlib
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from headstart.core.digest import digest_bytes
from headstart.core.errors import DataError, InputError, PictureError
from headstart.core.machine import num_cores
from headstart.core.progress import SILENT, Progress
from headstart.core.runner import Runner, SerialRunner
from headstart.data.columns import ColumnWriter, DigestsWriter
from headstart.data.dataset import Exclusion, ImageDataset, RawPicture
from headstart.data.partition import repeated_contents
from headstart.data.shards import shards
from headstart.data.workers import do_for_each

# A worker elsewhere reads so many at a time: a second's work, or a few.
_PICTURES_PER_PIECE = 512


@dataclass(frozen=True, slots=True)
class Measured:
    """One picture that was decoded.

    Attributes:
        width: upright, in pixels.
        height: upright, in pixels.
        is_kept: whether something made of it was kept in the row that was offered.
    """

    width: int
    height: int
    is_kept: bool = False


class Keeper(Protocol):
    """Decodes pictures for a scan, and may keep what it makes of them."""

    def reserve(self, num_rows: int) -> int:
        """Return the first of so many rows that are for what is made of pictures."""
        ...

    def measure(self, raw: RawPicture, row: int) -> Measured:
        """Decode a picture, and keep in `row` what is made of it; may be called in a forked process.

        Raises:
            PictureError: it cannot be read whole.
        """
        ...

    def register(self, digest: str, row: int) -> None:
        """Remember whose row it is; called where the scan was."""
        ...


class _Measurer:
    """Keeps nothing."""

    def reserve(self, num_rows: int) -> int:
        return 0

    def measure(self, raw: RawPicture, row: int) -> Measured:
        from headstart.data.decode import measure  # Pillow is needed here first

        return Measured(*measure(raw))

    def register(self, digest: str, row: int) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scan:
    """What reading all pictures showed.

    Attributes:
        dataset: the N readable pictures, with digests, and `excluded` grown by the others.
        excluded: the pictures that this scan found unreadable, with reasons.
        widths: int64 of shape (N,), upright, in pixels.
        heights: int64 of shape (N,), upright, in pixels.
        duplicates: groups of two or more ids with the same content.
        conflicts: those of them whose pictures have different labels.
    """

    dataset: ImageDataset
    excluded: tuple[Exclusion, ...]
    widths: npt.NDArray[np.int64]
    heights: npt.NDArray[np.int64]
    duplicates: tuple[tuple[str, ...], ...]
    conflicts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Finding:
    """One picture: its digest and size, or the reason why it cannot be read."""

    digest: str = ""
    measured: Measured = Measured(0, 0)
    reason: str = ""


def scan(
    dataset: ImageDataset,
    *,
    max_unreadable: float = 0.1,
    keeper: Keeper | None = None,
    runner: Runner = SerialRunner(),
    meanwhile: Callable[[], None] | None = None,
    progress: Progress = SILENT,
    num_workers: int | None = None,
) -> Scan:
    """Read and decode every picture once; at no time are more than a few held in memory.

    Args:
        dataset: the pictures.
        max_unreadable: the largest share of them that may be unreadable, in [0, 1].
        keeper: decodes the pictures here; by default nothing is kept of what was decoded.
        runner: who reads them; elsewhere than here nothing is kept.
        meanwhile: called once while others read them, if they are read by others here.
        progress: is told of each picture.
        num_workers: number of threads or processes; by default the processor cores that this process may
            use.

    Returns:
        The readable pictures in their order, and what was found.

    Raises:
        DataError: more than `max_unreadable` of the pictures cannot be read.
        InputError: `max_unreadable` is outside [0, 1], or `num_workers` below 1.
    """
    if not 0 <= max_unreadable <= 1:
        raise InputError(
            f"max_unreadable={max_unreadable!r} is not a share", hint="give a number from 0 to 1"
        )
    if num_workers is not None and num_workers < 1:
        raise InputError(f"num_workers={num_workers}", hint="give 1 or more")
    what = "reading the pictures"
    progress.start(what, total=len(dataset), unit="pictures")
    found = _Found()
    if runner.is_local:
        examined = _examine_all(dataset, keeper or _Measurer(), num_workers or num_cores(), meanwhile)
    else:
        examined = runner.map(_examine_piece, shards(dataset, _PICTURES_PER_PIECE), what=what)
    with closing(examined):
        for chunk in examined:
            found.extend(chunk, dataset.ids)
            progress.advance(len(chunk))
    excluded = tuple(found.excluded)
    if len(excluded) > max_unreadable * len(dataset):
        raise _too_many_unreadable(excluded, len(dataset), max_unreadable)
    for exclusion in excluded:
        progress.note(f"left out {exclusion.id}: {exclusion.reason}")
    return found.summary(dataset)


class _Found:
    """What is found of pictures, packed as it comes."""

    def __init__(self) -> None:
        self.excluded: list[Exclusion] = []
        self._num_seen = 0
        self._rows, self._widths, self._heights = (ColumnWriter(np.int64) for _ in range(3))
        self._digests = DigestsWriter()

    def extend(self, findings: Sequence[_Finding], ids: Sequence[str]) -> None:
        """Add what was found of the next pictures of a data set with these ids."""
        rows = range(self._num_seen, self._num_seen + len(findings))
        self._num_seen = rows.stop
        readable = [(row, each) for row, each in zip(rows, findings, strict=True) if not each.reason]
        self.excluded += [
            Exclusion(id=ids[row], reason=each.reason)
            for row, each in zip(rows, findings, strict=True)
            if each.reason
        ]
        self._rows.write([row for row, _ in readable])
        self._widths.write([each.measured.width for _, each in readable])
        self._heights.write([each.measured.height for _, each in readable])
        self._digests.extend(each.digest for _, each in readable)

    def summary(self, dataset: ImageDataset) -> Scan:
        """Return what reading all pictures of a data set showed."""
        if self._num_seen != len(dataset):
            raise ValueError(f"{self._num_seen} findings of {len(dataset)} pictures")
        kept = replace(
            dataset.select(self._rows.finish()),
            digests=self._digests.finish(),
            excluded=(*dataset.excluded, *self.excluded),
        )
        repeated = repeated_contents(kept)
        return Scan(
            dataset=kept,
            excluded=tuple(self.excluded),
            widths=self._widths.finish(),
            heights=self._heights.finish(),
            duplicates=tuple(tuple(kept.ids[row] for row in rows) for rows in repeated),
            conflicts=tuple(
                tuple(kept.ids[row] for row in rows)
                for rows in repeated
                if len({int(kept.labels[row]) for row in rows}) > 1
            ),
        )


def digest_picture(raw: RawPicture) -> str:
    """Return the sha256 of a picture's raw content: a file's bytes, or an array's type, shape and values."""
    if isinstance(raw, bytes):
        return digest_bytes(raw)
    sha = hashlib.sha256(f"{raw.dtype.str} {raw.shape} ".encode("ascii"))
    sha.update(np.ascontiguousarray(raw).data)
    return sha.hexdigest()


def _examine_piece(piece: ImageDataset) -> Generator[list[_Finding], None, None]:
    """Yield the findings of a piece, in a worker elsewhere."""
    return _examine_all(piece, _Measurer(), num_cores())


def _examine_all(
    dataset: ImageDataset, keeper: Keeper, num_workers: int, meanwhile: Callable[[], None] | None = None
) -> Generator[list[_Finding], None, None]:
    """Yield what is found of all pictures, in order, some at a time."""
    from headstart.data.decode import quiet_pillow  # Pillow is needed here first

    first_row = keeper.reserve(len(dataset))

    def examine(number: int) -> _Finding:
        try:
            raw = dataset.source.read(dataset.ids[number])
            return _Finding(digest=digest_picture(raw), measured=keeper.measure(raw, first_row + number))
        except PictureError as error:
            return _Finding(reason=str(error))

    row = first_row
    found = do_for_each(examine, len(dataset), num_workers=num_workers, meanwhile=meanwhile)
    with quiet_pillow(), closing(found) as chunks:
        for chunk in chunks:
            for finding in chunk:
                if finding.measured.is_kept:
                    keeper.register(finding.digest, row)
                row += 1
            yield chunk


def _too_many_unreadable(excluded: Sequence[Exclusion], total: int, limit: float) -> DataError:
    first = "; ".join(f"{each.id}: {each.reason}" for each in excluded[:3])
    more = f"; and {len(excluded) - 3} more" if len(excluded) > 3 else ""
    return DataError(
        f"{len(excluded)} of {total} pictures ({len(excluded) / total:.1%}) cannot be read, "
        f"more than the {limit:.1%} allowed: {first}{more}",
        hint="mend or remove them, or allow more with --max-unreadable",
    )
