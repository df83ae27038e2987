"""A training's work on an NVIDIA GPU, recorded once and replayed: one launch in place of hundreds.

A step with a few small pictures is hundreds of short operations, and starting them from Python takes longer
than the GPU needs for them.

Source: CUDA graphs, https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

Work: TypeAlias = Callable[[Sequence[torch.Tensor]], torch.Tensor]
_Kind: TypeAlias = tuple[tuple[torch.Size, ...], tuple[bool, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Recording:
    """What was recorded, and the memory it reads from and writes to.

    Attributes:
        graph: the operations.
        tensors: given to them.
        output: what they return.
        gradients: by parameter.
    """

    graph: torch.cuda.CUDAGraph
    tensors: list[torch.Tensor]
    output: torch.Tensor
    gradients: list[tuple[nn.Parameter, torch.Tensor | None]]

    def replay(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        for own, given in zip(self.tensors, tensors, strict=True):
            own.copy_(given)
        self.graph.replay()
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        return self.output


class Replay:
    """Does work that leaves gradients with a network's parameters, from recordings where there are any.

    It is recorded when two calls in a row had tensors of the same shapes and the same layers in training: the
    smaller batch at the end of an epoch is not worth it. Where the GPU has no room for recordings, or an
    operation cannot be recorded, the work is done anew each time from then on.

    What a replay returns, and the gradients, lie in memory that the next one writes to.

    Args:
        work: given tensors on the GPU, computes forward and backward, without asking the GPU for results.
        network: its parameters stay where they are in memory, and have no gradients before a call.
    """

    def __init__(self, work: Work, network: nn.Module) -> None:
        self._work = work
        self._parameters = [*network.parameters()]  # looking for them takes longer than starting a replay
        self._buffers = [*network.buffers()]
        self._pool = torch.cuda.graph_pool_handle()
        self._recorded: dict[_Kind, _Recording] = {}
        self._last: _Kind | None = None
        self._is_on = True

    def __call__(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return what the work returns."""
        trained = tuple(each.requires_grad for each in self._parameters)
        kind = (tuple(each.shape for each in tensors), trained)
        if self._is_on and kind == self._last and kind not in self._recorded:
            self._record(kind, tensors)
        self._last = kind
        if kind in self._recorded:
            return self._recorded[kind].replay(tensors)
        return self._work(tensors)

    def forget(self) -> None:
        """Let go of all recordings and their memory, and record no more."""
        self._is_on = False
        self._recorded = {}

    def _record(self, kind: _Kind, tensors: Sequence[torch.Tensor]) -> None:
        buffers = [(each, each.clone()) for each in self._buffers]
        try:
            self._recorded[kind] = self._recording([each.clone() for each in tensors])
        except RuntimeError:
            self.forget()
        self._clear_gradients()
        for buffer, before in buffers:  # recording does the work once
            buffer.copy_(before)

    def _recording(self, tensors: list[torch.Tensor]) -> _Recording:
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no types here
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # where it is recorded: what a stream needs is made ready before
            self._work(tensors)
        torch.cuda.current_stream().wait_stream(aside)
        self._clear_gradients()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=aside):
            output = self._work(tensors)
        gradients = [(each, each.grad) for each in self._parameters if each.requires_grad]
        return _Recording(graph=graph, tensors=tensors, output=output, gradients=gradients)

    def _clear_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
