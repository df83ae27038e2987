"""Micro-batches: pictures of many requests go through the network together, at the rate of a data set.

One thread decodes and computes in turns, as `headstart.embed` does for a data set: what arrives in the
meantime is the next batch. So nothing waits for the sake of a batch while there is work. Only an idle network
waits, for a few milliseconds at most and only while other pictures are on their way.

Everything but that thread belongs to the event loop: no lock is needed.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from headstart.core.machine import num_cores
from headstart.data.decode import quiet_pillow
from headstart.embed.engine import Engine, Launched
from headstart.embed.memory import give_back_freed_memory
from headstart.embed.pixels import one_torch_thread
from headstart.models import Classifier
from headstart.predict.prediction import Prediction, predictions_of
from headstart.serve.limits import Limits
from headstart.serve.metrics import Metrics
from headstart.serve.pictures import prepare
from headstart.serve.refusals import Refusal, busy

# Without a picture for so long, the memory of the last ones goes back to the system.
_REST_SECONDS = 5.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Picture:
    """A picture that waits for its probabilities."""

    raw: bytes
    answer: "asyncio.Future[Prediction | Refusal]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Chore:
    """Something else that the network's thread is to do."""

    work: Callable[[], Any]
    answer: "asyncio.Future[Any]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Running:
    """A batch that the network works on."""

    pictures: Sequence[_Picture]
    launched: Launched


class Batcher:
    """Answers pictures in batches, in a thread of its own; made inside a running event loop.

    Args:
        classifier: makes probabilities of the engine's features.
        engine: the network, ready.
        limits: of what waits.
        metrics: told about batches and what waits.
    """

    def __init__(self, classifier: Classifier, engine: Engine, *, limits: Limits, metrics: Metrics) -> None:
        self._classifier = classifier
        self._engine = engine
        self._limits = limits
        self._metrics = metrics
        self._queue: queue.SimpleQueue[_Picture | _Chore | None] = queue.SimpleQueue()
        self._num_arriving = self._num_waiting = self._num_chores = 0
        self._is_stopped = self._has_rested = False
        self._loop = asyncio.get_running_loop()
        self._num_threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(num_cores(), "decode", initializer=one_torch_thread)
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether pictures would be answered now."""
        return self._thread.is_alive() and self._num_waiting < self._limits.max_waiting_pictures

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """Say that pictures are on their way inside the block: an idle network waits for them a little."""
        self._num_arriving += 1
        try:
            yield
        finally:
            self._num_arriving -= 1

    async def predictions(self, raws: Sequence[bytes]) -> list[Prediction | Refusal]:
        """Return for each picture what is said of it, its path left empty, or why there is nothing to say.

        Raises:
            Refusal: too many pictures wait already.
        """
        if self._num_waiting + len(raws) > self._limits.max_waiting_pictures:
            raise busy(f"{self._num_waiting} pictures wait already")
        self._num_waiting += len(raws)
        answers: list[asyncio.Future[Prediction | Refusal]] = []
        for raw in raws:
            answer = self._loop.create_future()
            answer.add_done_callback(self._forget_picture)
            answers.append(answer)
            self._queue.put(_Picture(raw=raw, answer=answer))
        self._metrics.waiting_pictures.set(self._num_waiting)
        return await asyncio.gather(*answers)

    async def do(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, done by the network's thread between two batches.

        Raises:
            Refusal: too much of the kind waits already, or `work` refuses.
        """
        if self._num_chores >= self._limits.max_waiting_chores:
            raise busy(f"{self._num_chores} heat maps and searches wait already")
        self._num_chores += 1
        answer: asyncio.Future[T] = self._loop.create_future()
        answer.add_done_callback(self._forget_chore)
        self._queue.put(_Chore(work=work, answer=answer))
        done = await answer
        if isinstance(done, Refusal):
            raise done
        return done

    async def stop(self) -> None:
        """End the thread once what waits is answered."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._pool.shutdown()
        torch.set_num_threads(self._num_threads)  # what new threads take; see `one_torch_thread`

    def _forget_picture(self, _: "asyncio.Future[Any]") -> None:
        self._num_waiting -= 1
        self._metrics.waiting_pictures.set(self._num_waiting)

    def _forget_chore(self, _: "asyncio.Future[Any]") -> None:
        self._num_chores -= 1

    # From here on in the network's thread.

    def _work(self) -> None:
        torch.get_num_threads()  # or the first operation would take what a decoding thread asked for
        torch.set_num_threads(self._engine.plan.num_threads)
        running: _Running | None = None
        while running is not None or not self._is_stopped:
            batch = self._next_batch(is_idle=running is None)
            launched = self._launch(batch) if batch else None
            if running is not None:
                self._finish(running)
            running = launched
            # A GPU works on, while the next batch is decoded.
            if running is not None and self._engine.plan.device == "cpu":
                self._finish(running)
                running = None

    def _next_batch(self, *, is_idle: bool) -> list[_Picture]:
        """Return pictures that wait, up to a batch of them; an idle network waits for the first."""
        batch: list[_Picture] = []
        until = 0.0
        while len(batch) < self._engine.plan.batch_size and not self._is_stopped:
            try:
                item = self._queue.get(timeout=self._patience(batch, until, is_idle=is_idle))
            except queue.Empty:
                if batch or not is_idle:
                    break
                give_back_freed_memory()
                self._has_rested = True
                continue
            self._has_rested = False
            if item is None:
                self._is_stopped = True
            elif isinstance(item, _Chore):
                self._do(item)
            elif not item.answer.done():  # its request may have been given up
                if not batch:
                    until = time.monotonic() + self._limits.max_wait_ms / 1000
                batch.append(item)
        return batch

    def _patience(self, batch: list[_Picture], until: float, *, is_idle: bool) -> float | None:
        """Return for how many seconds the next picture is waited for, None for ever."""
        if not is_idle:
            return 0.0
        if not batch:
            return None if self._has_rested else _REST_SECONDS
        return max(0.0, until - time.monotonic()) if self._num_arriving else 0.0

    def _launch(self, batch: list[_Picture]) -> _Running | None:
        """Decode a batch with all cores, answer what is no picture, and start the network on the rest."""
        side = self._classifier.preprocessing.input_size
        pixels = np.empty((len(batch), *side, 3), np.uint8)
        with quiet_pillow():
            refusals = list(self._pool.map(self._fill, batch, pixels))
        self._deliver(
            [(each.answer, refusal) for each, refusal in zip(batch, refusals, strict=True) if refusal]
        )
        read = [place for place, refusal in enumerate(refusals) if refusal is None]
        if not read:
            return None
        self._metrics.batch_pictures.observe(len(read))
        pictures = [batch[place] for place in read]
        try:
            launched = self._engine.launch(pixels if len(read) == len(batch) else pixels[read])
        except Exception as error:
            self._fail(pictures, error)
            return None
        return _Running(pictures=pictures, launched=launched)

    def _fill(self, picture: _Picture, out: npt.NDArray[np.uint8]) -> Refusal | None:
        try:
            out[:] = prepare(
                picture.raw,
                preprocessing=self._classifier.preprocessing,
                decoder=self._engine.plan.decoder,
                limits=self._limits,
            )
        except Refusal as refusal:
            return refusal
        return None

    def _finish(self, running: _Running) -> None:
        try:
            features = running.launched.result()
            predictions = predictions_of(self._classifier, features, [""] * len(features))
        except Exception as error:
            self._fail(running.pictures, error)
            return
        answers = (each.answer for each in running.pictures)
        self._deliver(list(zip(answers, predictions, strict=True)))

    def _do(self, chore: _Chore) -> None:
        if chore.answer.done():
            return
        try:
            self._deliver([(chore.answer, chore.work())])
        except Exception as error:
            self._deliver([(chore.answer, error)])

    def _fail(self, pictures: Sequence[_Picture], error: Exception) -> None:
        """Hand an error to the requests of a batch; the next batch is tried as if nothing had been."""
        self._deliver([(each.answer, error) for each in pictures])

    def _deliver(self, answers: Sequence[tuple["asyncio.Future[Any]", Any]]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_set_all, answers)


def _set_all(answers: Sequence[tuple["asyncio.Future[Any]", Any]]) -> None:
    for answer, value in answers:
        if answer.done():  # given up
            continue
        if isinstance(value, Exception) and not isinstance(value, Refusal):
            answer.set_exception(value)
        else:
            answer.set_result(value)
