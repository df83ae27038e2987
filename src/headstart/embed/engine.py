"""The stages of embedding: decode in threads, forward in batches. Writing is the caller's.

The seam between the stages is a batch of uint8 pixels, so each can be changed without the others.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from headstart.catalog.entry import Preprocessing
from headstart.core.errors import PictureError
from headstart.data import Exclusion, PictureSource
from headstart.data.decode import decode
from headstart.embed.fold import fold_batch_norms
from headstart.embed.memory import keep_freed_memory
from headstart.embed.plan import DTYPES, Precision
from headstart.models import Classifier
from headstart.preprocess import to_input, to_pixels

# Batches decoded ahead of the network: enough that it never waits, few enough that memory stays flat.
_BATCHES_AHEAD = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedBatch:
    """Pictures on their way to the network.

    Attributes:
        order: all ids of the batch, in the order they were given in.
        ids: of the n pictures that could be read, in order.
        pixels: uint8 of shape (n, H, W, 3), red first.
        excluded: those that could not, with the reason.
    """

    order: tuple[str, ...]
    ids: tuple[str, ...]
    pixels: npt.NDArray[np.uint8]
    excluded: tuple[Exclusion, ...]


class Engine:
    """A network made ready for one device and precision."""

    def __init__(self, classifier: Classifier, device: str, precision: Precision) -> None:
        keep_freed_memory()
        side = classifier.preprocessing.input_size[0]
        backbone = fold_batch_norms(classifier.backbone, side=side)  # a copy: the caller's stays as it is
        self._dtype = DTYPES[precision]
        self._device = torch.device(device)
        self._backbone = backbone.to(self._device, self._dtype).to(memory_format=torch.channels_last).eval()
        self._preprocessing = classifier.preprocessing

    @torch.inference_mode()
    def features(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return pooled features, float32 of shape (n, D), of pixels uint8 of shape (n, H, W, 3)."""
        batch = torch.from_numpy(pixels).to(self._device)
        features = self._backbone(to_input(batch, self._preprocessing, dtype=self._dtype))
        vectors: npt.NDArray[np.float32] = features.float().cpu().numpy()
        return vectors


def decode_batches(
    source: PictureSource, ids: Sequence[str], preprocessing: Preprocessing, *, batch_size: int
) -> Iterator[DecodedBatch]:
    """Yield the pictures `ids` in batches, in order, decoding ahead in threads with bounded memory.

    Batch b holds the pictures ids[b * batch_size : (b + 1) * batch_size] that can be read.
    """
    workers = os.cpu_count() or 1
    starts = iter(range(0, len(ids), batch_size))
    waiting: deque[tuple[Sequence[str], list[Future[npt.NDArray[np.uint8] | str]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")

    def submit() -> None:
        start = next(starts, None)
        if start is not None:
            chunk = ids[start : start + batch_size]
            waiting.append((chunk, [pool.submit(_read, source, each, preprocessing) for each in chunk]))

    try:
        for _ in range(1 + _BATCHES_AHEAD):
            submit()
        while waiting:
            chunk, futures = waiting.popleft()
            results = [future.result() for future in futures]
            submit()
            yield _collect(chunk, results, preprocessing)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(
    source: PictureSource, picture_id: str, preprocessing: Preprocessing
) -> npt.NDArray[np.uint8] | str:
    """Return one picture's pixels, or why it has none."""
    try:
        return to_pixels(decode(source.read(picture_id)), preprocessing)
    except PictureError as error:
        return error.message


def _collect(
    ids: Sequence[str], results: Sequence[npt.NDArray[np.uint8] | str], preprocessing: Preprocessing
) -> DecodedBatch:
    read = [(each, pixels) for each, pixels in zip(ids, results, strict=True) if not isinstance(pixels, str)]
    shape = (len(read), *preprocessing.input_size, 3)
    pixels = np.stack([each for _, each in read]) if read else np.empty(shape, np.uint8)
    excluded = (
        Exclusion(id=each, reason=reason)
        for each, reason in zip(ids, results, strict=True)
        if isinstance(reason, str)
    )
    return DecodedBatch(
        order=tuple(ids), ids=tuple(each for each, _ in read), pixels=pixels, excluded=tuple(excluded)
    )
