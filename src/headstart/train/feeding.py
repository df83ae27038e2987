"""Training pictures on their way to the network, read in threads, with what is to be done to each."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from headstart.core.machine import num_cores
from headstart.data import Exclusion, ImageDataset
from headstart.embed.decoding import Decoding
from headstart.embed.pixels import one_torch_thread
from headstart.train.augmentation import NUM_DRAWN, Mixing, augment, draw_mixing, draw_variation, draws_of
from headstart.train.processes import Processes
from headstart.train.recipe import Recipe
from headstart.train.sampling import class_weights, draw_epoch
from headstart.train.tuner import Batch

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# As for embedding: beside a GPU batches are made ahead; on the processor threads would fight the network.
_BATCHES_BESIDE_GPU = 4
_TASKS_PER_THREAD = 4  # pieces of a batch: many enough that threads end together

_PICTURE, _PARTNER, _MIXING = range(3)  # purposes of random numbers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fed:
    """A batch, and whose pictures are in it.

    Attributes:
        number: of the step in its epoch, from 0.
        batch: this process's part.
        ids: of the pictures of that part.
        excluded: pictures that could not be read, and are missing in it.
    """

    number: int
    batch: Batch
    ids: tuple[str, ...]
    excluded: tuple[Exclusion, ...]


class Feeder:
    """Makes the batches of a training; a context that ends its threads.

    Args:
        train: the training pictures.
        decoding: how they become pixels.
        recipe: how they are varied, mixed and drawn.
        seed: of everything random.
        device: torch's name of where the network is.
        processes: each of them gets its part of every step's pictures.

    Attributes:
        steps_per_epoch: how many batches an epoch has.
    """

    def __init__(
        self,
        train: ImageDataset,
        decoding: Decoding,
        recipe: Recipe,
        *,
        seed: int,
        device: str,
        processes: Processes,
    ) -> None:
        self.steps_per_epoch = -(-len(train) // recipe.batch_size)
        self._train = train
        self._decoding = decoding
        self._size = decoding.preprocessing.input_size
        self._recipe = recipe
        self._seed = seed
        self._ahead = 0 if device == "cpu" else _BATCHES_BESIDE_GPU
        self._processes = processes
        self._weights = class_weights(train.labels, num_classes=train.num_classes, balance=recipe.balance)
        self._num_threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(
            num_cores(), thread_name_prefix="augment", initializer=one_torch_thread
        )

    def __enter__(self) -> "Feeder":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(self._num_threads)  # what new threads take; see `one_torch_thread`

    def batches(self, epoch: int, start: int = 0) -> Generator[Fed, None, None]:
        """Yield the batches of an epoch, counted from 0, from that one on."""
        recipe = self._recipe
        order = draw_epoch(self._train.labels, seed=self._seed, epoch=epoch, balance=recipe.balance)
        numbers = iter(range(start, self.steps_per_epoch))
        waiting: deque[tuple[int, _Pending]] = deque()

        def submit() -> None:
            number = next(numbers, None)
            if number is not None:
                together = order[number * recipe.batch_size : (number + 1) * recipe.batch_size]
                waiting.append((number, self._submit(together, epoch)))

        for _ in range(1 + self._ahead):
            submit()
        while waiting:
            number, pending = waiting.popleft()
            if self._ahead:
                submit()
            yield self._fed(number, pending)
            if not self._ahead:
                submit()

    def varied(self, index: int, epoch: int) -> Pixels | None:
        """Return a training picture as it is shown in an epoch, mixed with another where the recipe says so.

        Returns:
            uint8 of shape (H, W, 3); None if the picture is unreadable.
        """
        shown = self._varied(index, draws_of(self._seed, epoch, index, _PICTURE))
        mixing = self._mixing(index, epoch)
        if shown is None or mixing is None:
            return shown
        partner = self._varied(mixing.partner, draws_of(self._seed, epoch, index, _PARTNER))
        if partner is None:
            return shown
        mixed: Pixels = np.rint(mixing.share * shown + (1 - mixing.share) * partner).astype(np.uint8)
        return mixed

    def _varied(self, index: int, draws: np.random.Generator) -> Pixels | None:
        pixels = np.empty((*self._size, 3), np.uint8)
        if self._decoding.fill(self._train.ids[index], pixels):
            return None
        return augment(pixels, self._recipe, draws)

    def _mixing(self, index: int, epoch: int) -> Mixing | None:
        """Return what a picture is mixed with in an epoch."""
        draws = draws_of(self._seed, epoch, index, _MIXING)
        return draw_mixing(self._recipe, draws, num_pictures=len(self._train))

    def _submit(self, together: npt.NDArray[np.int64], epoch: int) -> "_Pending":
        """Let threads read this process's part of a step's pictures."""
        own = together[self._processes.rank :: self._processes.count]
        rows = _Rows.empty(len(own), self._size, self._train.num_classes, has_partners=self._recipe.mixup > 0)
        step = max(1, len(own) // (_TASKS_PER_THREAD * num_cores()))
        tasks = tuple(
            self._pool.submit(self._fill, rows, own, range(start, min(start + step, len(own))), epoch)
            for start in range(0, len(own), step)
        )
        return _Pending(own=own, num_together=len(together), rows=rows, tasks=tasks)

    def _fill(self, rows: "_Rows", own: npt.NDArray[np.int64], places: range, epoch: int) -> list[str]:
        """Fill some rows; return why, for each picture that could not be read, else ""."""
        return [self._fill_row(rows, place, int(own[place]), epoch) for place in places]

    def _fill_row(self, rows: "_Rows", place: int, index: int, epoch: int) -> str:
        recipe = self._recipe
        reason = self._decoding.fill(self._train.ids[index], rows.pixels[place])
        if reason:
            return reason
        rows.drawn[place] = draw_variation(recipe, draws_of(self._seed, epoch, index, _PICTURE))
        rows.targets[place] = self._target(index)
        if rows.partners is None or rows.partners_drawn is None:
            return ""
        mixing = self._mixing(index, epoch)
        if mixing is not None and not self._decoding.fill(
            self._train.ids[mixing.partner], rows.partners[place]
        ):
            draws = draws_of(self._seed, epoch, index, _PARTNER)
            rows.partners_drawn[place] = draw_variation(recipe, draws)
            rows.shares[place] = mixing.share
            rows.targets[place] *= mixing.share
            rows.targets[place] += (1 - mixing.share) * self._target(mixing.partner)
        return ""

    def _fed(self, number: int, pending: "_Pending") -> Fed:
        """Return a batch of what the threads have read."""
        reasons = [reason for task in pending.tasks for reason in task.result()]
        names = [self._train.ids[index] for index in pending.own]
        read = [place for place, reason in enumerate(reasons) if not reason]
        return Fed(
            number=number,
            batch=pending.rows.batch(read, num_together=pending.num_together),
            ids=tuple(names[place] for place in read),
            excluded=tuple(
                Exclusion(id=name, reason=reason)
                for name, reason in zip(names, reasons, strict=True)
                if reason
            ),
        )

    def _target(self, index: int) -> Floats:
        """Return a picture's share of each class times what it counts, float32 of shape (K,)."""
        smoothing, num_classes = self._recipe.label_smoothing, self._train.num_classes
        target = np.full(num_classes, smoothing / num_classes, np.float32)
        label = int(self._train.labels[index])
        target[label] += 1 - smoothing
        target *= self._weights[label]
        return target


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Room for the n pictures of a batch; the attributes are those of `Batch`."""

    pixels: Pixels
    drawn: Floats
    targets: Floats
    partners: Pixels | None
    partners_drawn: Floats | None
    shares: Floats

    @classmethod
    def empty(cls, num_rows: int, size: tuple[int, int], num_classes: int, *, has_partners: bool) -> "_Rows":
        # A process without a picture takes part all the same: with one that counts nothing.
        num_rows = max(1, num_rows)
        pixels = np.zeros((num_rows, *size, 3), np.uint8)
        return cls(
            pixels=pixels,
            drawn=np.zeros((num_rows, NUM_DRAWN), np.float32),
            targets=np.zeros((num_rows, num_classes), np.float32),
            partners=pixels.copy() if has_partners else None,
            partners_drawn=np.zeros((num_rows, NUM_DRAWN), np.float32) if has_partners else None,
            shares=np.ones(num_rows, np.float32),
        )

    def batch(self, read: list[int], *, num_together: int) -> Batch:
        """Return the rows that were read, or one that counts nothing where none was."""
        kept: slice | list[int] = slice(None)
        if read and len(read) < len(self.pixels):
            kept = read
        return Batch(
            pixels=self.pixels[kept],
            drawn=self.drawn[kept],
            targets=self.targets[kept],
            partners=None if self.partners is None else self.partners[kept],
            partners_drawn=None if self.partners_drawn is None else self.partners_drawn[kept],
            shares=self.shares[kept],
            num_together=num_together,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pending:
    """A batch that threads are filling."""

    own: npt.NDArray[np.int64]
    num_together: int
    rows: _Rows
    tasks: tuple[Future[list[str]], ...]
