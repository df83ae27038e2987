"""One process that trains, or several: who is who, and how their gradients become one.

Started alone, plain torch is all there is. Started by `torchrun` or `accelerate launch`, the processes are
held together by Hugging Face Accelerate.
"""

import os
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import nn

from headstart.core.errors import MissingExtraError

if TYPE_CHECKING:
    from accelerate import Accelerator

Item = TypeVar("Item")


class Processes(Protocol):
    """The processes of a training.

    Attributes:
        rank: which of them this one is, from 0, the one that writes.
        count: how many there are.
    """

    rank: int
    count: int

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network such that gradients of all processes are averaged."""
        ...

    def unsynchronised(self, network: nn.Module) -> AbstractContextManager[object]:
        """Return a context in which the gradients of a wrapped network only add up here."""
        ...

    def backward(self, loss: torch.Tensor) -> None:
        """Compute gradients."""
        ...

    def sum(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        ...

    def gather(self, items: Sequence[Item]) -> list[Item]:
        """Return the items of all processes, in the order of the ranks; the same everywhere."""
        ...

    def wait(self) -> None:
        """Wait for all processes."""
        ...


class Alone:
    """The only process."""

    rank = 0
    count = 1

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network itself."""
        return network

    def unsynchronised(self, network: nn.Module) -> AbstractContextManager[object]:
        """Return a context that does nothing."""
        return nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        """Compute gradients."""
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here

    def sum(self, value: float) -> float:
        """Return the number."""
        return value

    def gather(self, items: Sequence[Item]) -> list[Item]:
        """Return the items."""
        return list(items)

    def wait(self) -> None:
        """Return at once."""


class Several:
    """One of several processes, held together by Accelerate."""

    def __init__(self, accelerator: "Accelerator") -> None:
        self._accelerator = accelerator
        self.rank: int = accelerator.process_index
        self.count: int = accelerator.num_processes

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network such that gradients of all processes are averaged."""
        self._accelerator.free_memory()  # it keeps what it wrapped before, and gradients of that
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # a new name for `broadcast_buffers`
            wrapped: nn.Module = self._accelerator.prepare_model(network)
        return wrapped

    def unsynchronised(self, network: nn.Module) -> AbstractContextManager[object]:
        """Return a context in which the gradients of a wrapped network only add up here."""
        waiting: AbstractContextManager[object] = self._accelerator.no_sync(network)
        return waiting

    def backward(self, loss: torch.Tensor) -> None:
        """Compute gradients, averaged over the processes unless inside `unsynchronised`."""
        self._accelerator.backward(loss)

    def sum(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        mine = torch.tensor(value, dtype=torch.float64, device=self._accelerator.device)
        summed: torch.Tensor = self._accelerator.reduce(mine, reduction="sum")
        return float(summed)

    def gather(self, items: Sequence[Item]) -> list[Item]:
        """Return the items of all processes, in the order of the ranks; the same everywhere."""
        from accelerate.utils import gather_object

        return list(gather_object(list(items)))

    def wait(self) -> None:
        """Wait for all processes."""
        self._accelerator.wait_for_everyone()


def find_processes(device: str) -> Processes:
    """Return the processes that this one was started with.

    Args:
        device: torch's name of the device that it computes on.

    Raises:
        MissingExtraError: there are several, and Accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Alone()
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
    except ImportError as error:
        raise MissingExtraError(
            "training in several processes needs Accelerate", hint="pip install 'headstart[train]'"
        ) from error
    # Frozen batch norms have nothing to broadcast.
    settings = DistributedDataParallelKwargs(broadcast_buffers=False)
    return Several(Accelerator(cpu=device == "cpu", kwargs_handlers=[settings]))
