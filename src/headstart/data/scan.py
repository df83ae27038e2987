"""Reading every picture once: which can be used, and which are the same."""

import hashlib
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.core.digest import digest_bytes
from headstart.core.errors import DataError, InputError, PictureError
from headstart.core.machine import num_cores
from headstart.core.progress import SILENT, Progress
from headstart.data.dataset import Exclusion, ImageDataset, PictureSource, RawPicture

Measure: TypeAlias = Callable[[RawPicture, str], tuple[int, int]]

_CHUNK = 32  # pictures a task: enough to make its cost vanish, few enough to stop at once


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
    width: int = 0
    height: int = 0
    reason: str = ""


def scan(
    dataset: ImageDataset,
    *,
    max_unreadable: float = 0.1,
    measure: Measure | None = None,
    progress: Progress = SILENT,
    num_workers: int | None = None,
) -> Scan:
    """Read and decode every picture once, in threads; at no time are more than a few held in memory.

    Args:
        dataset: the pictures.
        max_unreadable: the largest share of them that may be unreadable, in [0, 1].
        measure: decodes a picture whose content has a digest, and returns its (width, height), upright, in
            pixels; raises PictureError. By default nothing is kept of what was decoded.
        progress: is told of each picture.
        num_workers: number of threads; by default the processor cores that this process may use.

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
    progress.start("reading the pictures", total=len(dataset), unit="pictures")
    findings: list[_Finding] = []
    with closing(_examine_all(dataset, measure or _measure, num_workers or num_cores())) as chunks:
        for chunk in chunks:
            findings += chunk
            progress.advance(len(chunk))
    excluded = tuple(
        Exclusion(id=picture_id, reason=finding.reason)
        for picture_id, finding in zip(dataset.ids, findings, strict=True)
        if finding.reason
    )
    if len(excluded) > max_unreadable * len(dataset):
        raise _too_many_unreadable(excluded, len(dataset), max_unreadable)
    for exclusion in excluded:
        progress.note(f"left out {exclusion.id}: {exclusion.reason}")
    return _summary(dataset, findings, excluded)


def digest_picture(raw: RawPicture) -> str:
    """Return the sha256 of a picture's raw content: a file's bytes, or an array's type, shape and values."""
    if isinstance(raw, bytes):
        return digest_bytes(raw)
    sha = hashlib.sha256(f"{raw.dtype.str} {raw.shape} ".encode("ascii"))
    sha.update(np.ascontiguousarray(raw).data)
    return sha.hexdigest()


def _examine_all(
    dataset: ImageDataset, measure: Measure, num_workers: int
) -> Generator[list[_Finding], None, None]:
    """Yield the findings in order, a chunk at a time; whatever ends the loop stops the threads at once."""
    from headstart.data.decode import quiet_pillow  # Pillow is needed here first

    stop = threading.Event()
    executor = ThreadPoolExecutor(max_workers=num_workers, thread_name_prefix="scan")
    try:
        with quiet_pillow():
            chunks = (dataset.ids[start : start + _CHUNK] for start in range(0, len(dataset), _CHUNK))
            tasks = [
                executor.submit(_examine_chunk, dataset.source, chunk, measure, stop) for chunk in chunks
            ]
            for task in tasks:
                yield task.result()
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


def _examine_chunk(
    source: PictureSource, ids: Sequence[str], measure: Measure, stop: threading.Event
) -> list[_Finding]:
    findings = []
    for picture_id in ids:
        if stop.is_set():
            break
        findings.append(_examine(source, picture_id, measure))
    return findings


def _examine(source: PictureSource, picture_id: str, measure: Measure) -> _Finding:
    try:
        raw = source.read(picture_id)
        digest = digest_picture(raw)
        width, height = measure(raw, digest)
    except PictureError as error:
        return _Finding(reason=str(error))
    return _Finding(digest=digest, width=width, height=height)


def _measure(raw: RawPicture, digest: str) -> tuple[int, int]:
    from headstart.data.decode import measure  # Pillow is needed here first

    return measure(raw)


def _too_many_unreadable(excluded: Sequence[Exclusion], total: int, limit: float) -> DataError:
    first = "; ".join(f"{each.id}: {each.reason}" for each in excluded[:3])
    more = f"; and {len(excluded) - 3} more" if len(excluded) > 3 else ""
    return DataError(
        f"{len(excluded)} of {total} pictures ({len(excluded) / total:.1%}) cannot be read, "
        f"more than the {limit:.1%} allowed: {first}{more}",
        hint="mend or remove them, or allow more with --max-unreadable",
    )


def _summary(dataset: ImageDataset, findings: Sequence[_Finding], excluded: tuple[Exclusion, ...]) -> Scan:
    readable = [index for index, finding in enumerate(findings) if not finding.reason]
    kept = replace(
        dataset.select(readable),
        digests=tuple(findings[index].digest for index in readable),
        excluded=dataset.excluded + excluded,
    )
    groups: dict[str, list[int]] = {}
    for position, index in enumerate(readable):
        groups.setdefault(findings[index].digest, []).append(position)
    repeated = [group for group in groups.values() if len(group) > 1]
    return Scan(
        dataset=kept,
        excluded=excluded,
        widths=np.array([findings[index].width for index in readable], dtype=np.int64),
        heights=np.array([findings[index].height for index in readable], dtype=np.int64),
        duplicates=tuple(tuple(kept.ids[each] for each in group) for group in repeated),
        conflicts=tuple(
            tuple(kept.ids[each] for each in group)
            for group in repeated
            if len({int(kept.labels[each]) for each in group}) > 1
        ),
    )
