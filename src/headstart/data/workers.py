"""Workers that read pictures: threads, or processes where there are many pictures.

Decoding a tiny picture is mostly Python, which runs in one thread at a time. Processes are forked, for then
they begin at once with all that is loaded here; only Linux does that safely under the libraries in use.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

from headstart.core.errors import DataError

T = TypeVar("T")
Item = TypeVar("Item")
Work: TypeAlias = Callable[[int], T]

_CHUNK = 32  # pictures a task: enough to make its cost vanish, few enough that results come steadily
_MIN_FOR_PROCESSES = 1000
"""From so many pictures on processes are worth their start, about a twentieth of a second each."""
_PR_SET_PDEATHSIG = 1  # Source: prctl(2)


class _Flag(Protocol):
    def is_set(self) -> bool: ...

    def set(self) -> None: ...


def do_for_each(
    work: Work[T], num_pictures: int, *, num_workers: int, meanwhile: Callable[[], None] | None = None
) -> Generator[list[T], None, None]:
    """Yield the results of `work` for 0, 1, ... in order, a chunk at a time.

    Whatever ends the loop over them stops the workers at once.

    Args:
        work: given the number of a picture, returns what can be pickled; may be called in another process,
            which sees what was here at the beginning and whose changes are not seen here.
        num_pictures: how many there are.
        num_workers: how many are worked on at a time.
        meanwhile: called here, once, as soon as the workers are at work.

    Raises:
        DataError: a process was ended from outside.
    """
    chunks = [range(start, min(start + _CHUNK, num_pictures)) for start in range(0, num_pictures, _CHUNK)]
    start = _processes if num_pictures >= _MIN_FOR_PROCESSES and _can_fork() else _threads
    with start(work, num_workers) as submit:
        tasks = [submit(chunk) for chunk in chunks]
        if meanwhile is not None:
            meanwhile()
        for task in tasks:
            try:
                yield task.result()
            except BrokenProcessPool as error:
                raise DataError(
                    "a process that decoded pictures was ended from outside",
                    hint="perhaps memory ran out: close other programs, or allow fewer processor cores",
                ) from error


def in_threads(work: Callable[[Item], T], items: Iterable[Item], *, num_threads: int) -> Iterator[T]:
    """Yield the results of `work` in order; no more than `num_threads` are made, or wait to be taken."""
    with ThreadPoolExecutor(num_threads, thread_name_prefix="list") as pool:
        waiting: deque[Future[T]] = deque()
        for item in items:
            if len(waiting) == num_threads:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()


def _can_fork() -> bool:
    # A daemonic process, a worker of torch's DataLoader for one, may have no processes of its own.
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


@contextmanager
def _threads(work: Work[T], num_workers: int) -> Generator[Callable[[range], Future[list[T]]], None, None]:
    stop = threading.Event()
    executor = ThreadPoolExecutor(num_workers, thread_name_prefix="scan")
    try:
        yield lambda chunk: executor.submit(_do_chunk, work, chunk, stop)
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


@contextmanager
def _processes(work: Work[T], num_workers: int) -> Generator[Callable[[range], Future[list[T]]], None, None]:
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    executor = ProcessPoolExecutor(
        num_workers,
        mp_context=context,
        initializer=_begin_process,
        initargs=(work, stop, context.Lock(), os.getpid()),
    )
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of locks that another thread might hold: `_begin_process` has new ones.
            warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
            yield lambda chunk: executor.submit(_do_chunk_in_process, chunk)
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


def _do_chunk(work: Work[T], chunk: Sequence[int], stop: _Flag) -> list[T]:
    results = []
    for number in chunk:
        if stop.is_set():
            break
        results.append(work(number))
    return results


_process: tuple[Work[Any], _Flag]
"""What a forked process works on."""


def _begin_process(work: Work[Any], stop: _Flag, turn_of_large: Any, parent: int) -> None:
    """Make a forked process ready: it ends with its parent, which alone hears Ctrl-C."""
    global _process
    _process = work, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be asked for
        os._exit(1)
    from headstart.data import decode

    decode.use_locks(turn_of_large)


def _do_chunk_in_process(chunk: range) -> list[Any]:
    work, stop = _process
    return _do_chunk(work, chunk, stop)
