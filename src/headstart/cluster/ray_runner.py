"""A `Runner` whose pieces are run by the workers of a Ray cluster."""

import math
import os
import pickle
import re
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import ray
import torch

from headstart.cluster.carrying import carry, first_digest
from headstart.cluster.nodes import Node, Share, ask_each, list_nodes, only_on, share_out
from headstart.core.errors import ClusterError, InputError, ModelError
from headstart.core.progress import duration
from headstart.data import ImageDataset

Item = TypeVar("Item")
Result = TypeVar("Result")

_NUM_CARRIERS = 4  # that read files here and hand them on, at a time
# Pieces that are handed to Ray at a time: enough that workers hardly ever wait, few enough that the list of
# fifty million pictures, or of a pipe that never ends, is never here at once.
_PIECES_A_WORKER, _MAX_PIECES = 512, 8192
_CARRIED_A_WORKER = 4  # pieces that a machine outside of the cluster sends with their pictures at a time
# A cluster that grows when it is needed, or whose nodes are lent, may be without one for a while.
_PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 5.0  # between looks at which nodes are there
_PRICE_VARIABLE = "HEADSTART_PRICE"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRate:
    """What the workers of one node did so far.

    Attributes:
        num_pieces: that they ran.
        num_pictures: in these.
        seconds: that they worked, summed over the node's workers.
    """

    num_pieces: int = 0
    num_pictures: int = 0
    seconds: float = 0.0

    def grown(self, num_pictures: int, seconds: float) -> "NodeRate":
        """Return the same after one more piece."""
        return NodeRate(
            num_pieces=self.num_pieces + 1,
            num_pictures=self.num_pictures + num_pictures,
            seconds=self.seconds + seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answer:
    """What comes back of one piece: results, or the error that ended it."""

    results: tuple[Any, ...]
    error: Exception | None
    node: str
    num_pictures: int
    seconds: float


class RayRunner:
    """Runs pieces on a cluster that this process is connected to; see `headstart.cluster.connect`.

    The variable HEADSTART_PRICE says what a node costs for an hour, for whoever wants to be told.

    Ray Data streams the pieces: results come back in order while later pieces are on their way, and what was
    on a worker or node that is lost is run again elsewhere. Workers are processes of Ray, which stay from job
    to job with all that they have imported. Ray Data works on a machine of the cluster only, so where this
    one is none it is run by an actor there.

    Attributes:
        nodes: of the cluster when it was connected to.
        share: what each worker gets.
        rates: what each node did so far, by the node's id.
    """

    is_local = False

    def __init__(self, nodes: Sequence[Node], *, from_afar: bool = False) -> None:
        """Start with the nodes that are there.

        Args:
            nodes: of the cluster.
            from_afar: whether this machine is no part of it, and connected by Ray Client.
        """
        self.nodes = tuple(nodes)
        self.share = share_out(nodes)
        self._from_afar = from_afar
        self.rates: dict[str, NodeRate] = {}
        self._price = node_price()
        self._started = time.monotonic()

    @property
    def num_workers(self) -> int:
        """How many pieces run at the same time."""
        return self.share.num_workers

    def map(
        self, function: Callable[[Item], Iterable[Result]], items: Iterable[Item], *, what: str = ""
    ) -> Generator[Result, None, None]:
        """Yield what ``function`` yields for each of `items`, in their order.

        Pictures that only this machine can read are read here, and sent with their piece.

        Raises:
            ClusterError: Ray failed, or there was no node to work for some minutes.
            Exception: what ``function`` raised, with the worker's traceback as a note.
        """
        kept = ray.put(pickle.dumps(function))  # held here: a worker that is new may ask for it at any time
        left = iter(items)
        at_a_time = min(_PIECES_A_WORKER * self.num_workers, _MAX_PIECES)
        while pieces := list(islice(left, at_a_time)):
            for answer in self._answers(kept, pieces, what):
                before = self.rates.get(answer.node, NodeRate())
                self.rates[answer.node] = before.grown(answer.num_pictures, answer.seconds)
                if answer.error is not None:
                    raise answer.error
                yield from answer.results

    def describe(self) -> list[str]:
        """Return for each node that did something its pieces, pictures, and their rate while it worked.

        The last line is what all of it took, and cost where the price of a node is known.
        """
        addresses = {node.id: node.address for node in self.nodes}
        lines = [
            f"node {addresses.get(node_id, 'that came later')} ({node_id[:6]}): {rate.num_pieces} pieces, "
            f"{rate.num_pictures:,} pictures, {rate.num_pictures / max(rate.seconds, 1e-9):,.0f} a second"
            for node_id, rate in sorted(self.rates.copy().items())  # another thread may look while it grows
        ]
        seconds = time.monotonic() - self._started
        cost = self._price * len(self.nodes) * seconds / 3600
        words = f"{len(self.nodes)} nodes for {duration(seconds)}"
        return [*lines, f"{words}, which cost {cost:,.2f}" if self._price else words]

    def _answers(self, kept: Any, pieces: Sequence[Any], what: str) -> Generator[_Answer, None, None]:
        job = _Job(kept=[kept], share=self.share, name=re.sub(r"[^A-Za-z0-9.]+", "-", what) or "pieces")
        try:
            for answers in _while_there_are_nodes(self._stream(job, pieces)):
                for text in answers:
                    yield pickle.loads(text)
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"the cluster failed at {what or 'its work'}: {last_line(error)}",
                hint="what was done is kept; run the same command again, and see headstart cluster status",
            ) from error

    def _stream(self, job: "_Job", pieces: Sequence[Any]) -> Iterator[list[bytes]]:
        """Yield answers as they come, pickled."""
        is_read_here = not self._can_read(pieces[0])
        if not self._from_afar:
            carrier = ray.get_runtime_context().get_node_id() if is_read_here else None
            yield from stream([pickle.dumps(each) for each in pieces], job=job, carrier=carrier)
            return
        at_a_time = _CARRIED_A_WORKER * self.num_workers if is_read_here else len(pieces)
        for start in range(0, len(pieces), at_a_time):
            some = pieces[start : start + at_a_time]
            yield from _stream_from_afar(
                [pickle.dumps(carry(each) if is_read_here else each) for each in some], job
            )

    def _can_read(self, piece: object) -> bool:
        """Return whether every node finds the same first picture where this process does."""
        if not isinstance(piece, ImageDataset) or not len(piece):
            return True
        first = piece.select([0])
        here = first_digest(first)
        return all(there == here for _, there in ask_each(list_nodes(), first_digest, first))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    """What is to be done with pieces.

    Attributes:
        kept: where the function lies that they are given to, in a list: Ray would send the function itself
            in the place of what says where it lies.
        share: what each worker gets.
        name: a file of Ray's bears it.
    """

    kept: list[Any]
    share: Share
    name: str


def stream(pieces: Sequence[bytes], *, job: _Job, carrier: str | None) -> Iterator[list[bytes]]:
    """Yield the answers for pieces, in their order; on a machine of the cluster.

    Args:
        pieces: pickled.
        job: what is done with them.
        carrier: the node that reads their pictures and sends them along; None where each reads its own.
    """
    data = ray.data.from_items(list(pieces), override_num_blocks=len(pieces))
    data.context.execution_options.preserve_order = True
    if carrier is not None:
        data = data.map_batches(
            _carry_all,
            batch_size=None,
            num_cpus=0,  # this node may have none to give
            compute=ray.data.TaskPoolStrategy(size=min(_NUM_CARRIERS, len(pieces))),
            label_selector=only_on(carrier),
        )
    data = data.map_batches(
        _run_all,
        fn_kwargs={"kept": job.kept, "num_cores": job.share.num_cores},
        batch_size=None,
        num_cpus=job.share.num_cores,
        num_gpus=job.share.num_gpus or None,
    )
    data.set_name(job.name)
    for batch in data.iter_batches(batch_size=None):
        yield list(batch["answer"])


class _Streamer:
    """An actor on a machine of the cluster, which streams for one that is no part of it."""

    def begin(self, pieces: Sequence[bytes], job: _Job) -> None:
        """Take the pieces on."""
        self._left = stream(pieces, job=job, carrier=None)

    def more(self) -> list[bytes] | None:
        """Return the next answers, None where there are no more."""
        return next(self._left, None)


def _stream_from_afar(pieces: Sequence[bytes], job: _Job) -> Iterator[list[bytes]]:
    streamer = ray.remote(_Streamer).options(num_cpus=0).remote()
    try:
        ray.get(streamer.begin.remote(pieces, job))
        while (answers := ray.get(streamer.more.remote())) is not None:
            yield answers
    finally:
        ray.kill(streamer)


def node_price() -> float:
    """Return what a node costs for an hour, 0 where nobody said.

    Raises:
        InputError: the variable holds no price.
    """
    text = os.environ.get(_PRICE_VARIABLE, "") or "0"
    with suppress(ValueError):
        price = float(text)
        if 0 <= price < math.inf:
            return price
    raise InputError(f"{_PRICE_VARIABLE}={text!r}", hint="give a number: what a node costs for an hour")


def _carry_all(batch: dict[str, Any]) -> dict[str, Any]:
    return {"item": _column(pickle.dumps(carry(pickle.loads(each))) for each in batch["item"])}


def _run_all(batch: dict[str, Any], *, kept: list[Any], num_cores: int) -> dict[str, Any]:
    """Run the pieces of a batch in a worker."""
    torch.set_num_threads(num_cores)
    function = _function_of(kept[0])
    return {"answer": _column(pickle.dumps(_run(function, pickle.loads(each))) for each in batch["item"])}


def _run(function: Callable[[Any], Iterable[Any]], item: Any) -> _Answer:
    started = time.perf_counter()
    results: list[Any] = []
    error = None
    try:
        results.extend(function(item))
    except Exception as raised:  # it is raised again, where somebody hears it
        error = _portable(raised)
    return _Answer(
        results=tuple(results),
        error=error,
        node=ray.get_runtime_context().get_node_id(),
        num_pictures=len(item) if isinstance(item, ImageDataset) else 0,
        seconds=time.perf_counter() - started,
    )


_functions: dict[str, Callable[[Any], Iterable[Any]]] = {}
"""Of this worker: the function of the job that it works for, with the state that it keeps."""


def _function_of(kept: Any) -> Callable[[Any], Iterable[Any]]:
    key = kept.hex()
    if key not in _functions:
        _functions.clear()  # a network of a job that is over is not needed any more
        _functions[key] = pickle.loads(ray.get(kept))
    return _functions[key]


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent, with its traceback as a note."""
    with suppress(Exception):  # what goes wrong here is told by what is returned
        error.add_note("in a worker: " + "".join(traceback.format_exception(error)))
        pickle.loads(pickle.dumps(error))
        return error
    return ModelError(f"{type(error).__name__}: {error}")


def _while_there_are_nodes(batches: Iterable[Result]) -> Generator[Result, None, None]:
    """Yield batches as they come; Ray by itself would wait for ever where all nodes are lost.

    Raises:
        ClusterError: there was no node for some minutes.
    """
    left = iter(batches)
    while True:
        answer, lost_seconds = _in_background(partial(next, left, None)), 0.0
        while not wait([answer], timeout=_LOOK_SECONDS).done:
            lost_seconds = 0.0 if list_nodes() else lost_seconds + _LOOK_SECONDS
            if lost_seconds > _PATIENCE_SECONDS:
                raise ClusterError(
                    f"no node was left to work for {lost_seconds:.0f} s",
                    hint="what was done is kept; run the same command again when there are nodes",
                )
        batch = answer.result()
        if batch is None:
            return
        yield batch


def _in_background(work: Callable[[], Result]) -> "Future[Result]":
    """Run something in a thread that does not keep the process alive, for Ray may never answer it."""
    answer: Future[Result] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # for whoever waits
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer


def _column(values: Iterable[bytes]) -> Any:
    """Return bytes as an array of objects: NumPy's own arrays of bytes would lose zeros at the end."""
    held = list(values)
    column = np.empty(len(held), object)
    column[:] = held
    return column


def last_line(error: Exception) -> str:
    """Return the last line of what an error says: Ray puts tracebacks before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
