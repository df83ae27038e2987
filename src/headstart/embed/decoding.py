"""The stage before the network: pictures to batches of pixels, in threads, with bounded memory."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from headstart.catalog.entry import Preprocessing
from headstart.core.errors import PictureError
from headstart.core.machine import num_cores
from headstart.data import Exclusion, PictureSource
from headstart.data.decode import Decoder
from headstart.data.pixels import prepare_picture
from headstart.embed.pixels import PixelStore, one_torch_thread

# Pieces of a batch a thread: few enough that a task's cost vanishes, many enough that threads end together.
_TASKS_PER_THREAD = 4
# Batches decoded beside a GPU's work: enough that it never waits, few enough that memory stays flat. Where
# the network runs on the processor there is none: decoding threads would fight it for the cores.
_BATCHES_BESIDE_GPU = 2


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoding:
    """How pictures of one source become pixels for one network.

    Attributes:
        source: what they are read from.
        preprocessing: what the network wants.
        decoder: how they are decoded.
        store: pixels that were decoded before, or None; used where it holds those of the same decoder.
        digests: of the pictures' content by id, for the store.
    """

    source: PictureSource
    preprocessing: Preprocessing
    decoder: Decoder
    store: PixelStore | None = None
    digests: Mapping[str, str] | None = None

    def fill(self, picture_id: str, out: npt.NDArray[np.uint8]) -> str:
        """Fill `out`, uint8 of shape (H, W, 3), with one picture; return "" or why there is none."""
        store = self.store if self.store is not None and self.store.decoder == self.decoder else None
        digest = (self.digests or {}).get(picture_id, "")
        if store is not None and store.read(digest, self.preprocessing, out):
            return ""
        try:
            raw = self.source.read(picture_id)
            if store is not None and digest:
                out[:] = store.prepare(raw, digest, self.preprocessing)
            else:
                out[:] = prepare_picture(raw, (self.preprocessing,), decoder=self.decoder).pixels[0]
        except PictureError as error:
            return error.message
        return ""


def decode_batches(
    decoding: Decoding, ids: Iterable[str], *, batch_size: int, device: str = "cpu"
) -> Iterator[DecodedBatch]:
    """Yield the pictures `ids` in batches, in order, decoded in threads with bounded memory.

    Batch b holds the pictures ids[b * batch_size : (b + 1) * batch_size] that can be read.

    Args:
        decoding: where they come from and how.
        ids: the pictures; as many are asked for as are decoded.
        batch_size: number of pictures in a batch.
        device: where the network runs. On the processor a batch is decoded when it is asked for, with all
            cores; beside a GPU, batches are decoded ahead.
    """
    ahead = 0 if device == "cpu" else _BATCHES_BESIDE_GPU
    left = iter(ids)
    waiting: deque[_Pending] = deque()
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(num_cores(), thread_name_prefix="decode", initializer=one_torch_thread)

    def submit() -> None:
        batch = tuple(islice(left, batch_size))
        if batch:
            waiting.append(_Pending.of(decoding, batch, pool, is_pinned=device == "cuda"))

    try:
        for _ in range(1 + ahead):
            submit()
        while waiting:
            batch = waiting.popleft().result()
            if ahead:
                submit()
            yield batch
            if not ahead:
                submit()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)  # what new threads take; see `one_torch_thread`


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pending:
    """A batch that threads are filling."""

    ids: tuple[str, ...]
    pixels: npt.NDArray[np.uint8]
    tasks: tuple[Future[list[str]], ...]

    @classmethod
    def of(
        cls, decoding: Decoding, ids: tuple[str, ...], pool: ThreadPoolExecutor, *, is_pinned: bool
    ) -> "_Pending":
        shape = (len(ids), *decoding.preprocessing.input_size, 3)
        # From pinned memory a GPU fetches by itself, while the processor does something else.
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=is_pinned).numpy()
        step = max(1, len(ids) // (_TASKS_PER_THREAD * num_cores()))
        tasks = tuple(
            pool.submit(_fill_all, decoding, ids[start : start + step], pixels[start : start + step])
            for start in range(0, len(ids), step)
        )
        return cls(ids=ids, pixels=pixels, tasks=tasks)

    def result(self) -> DecodedBatch:
        reasons = [reason for task in self.tasks for reason in task.result()]
        read = [index for index, reason in enumerate(reasons) if not reason]
        whole = len(read) == len(self.ids)
        return DecodedBatch(
            order=self.ids,
            ids=self.ids if whole else tuple(self.ids[index] for index in read),
            pixels=self.pixels if whole else self.pixels[read],
            excluded=tuple(
                Exclusion(id=each, reason=reason)
                for each, reason in zip(self.ids, reasons, strict=True)
                if reason
            ),
        )


def _fill_all(decoding: Decoding, ids: Sequence[str], out: npt.NDArray[np.uint8]) -> list[str]:
    return [decoding.fill(each, row) for each, row in zip(ids, out, strict=True)]
