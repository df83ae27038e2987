"""The state of a fine-tuning between two steps, and the step."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.scheduler import Scheduler
from timm.scheduler.step_lr import StepLRScheduler
from torch import nn

from headstart.catalog.entry import Preprocessing
from headstart.core.errors import ModelError, TrainingError
from headstart.preprocess import to_input
from headstart.train.augmentation import vary
from headstart.train.averaging import Average
from headstart.train.growth import Growth
from headstart.train.layers import Trainee
from headstart.train.processes import Processes
from headstart.train.recipe import Recipe
from headstart.train.replay import Replay

Tensors = dict[str, torch.Tensor]

_GROWN = 1e6  # no weight of a network that works is so large
_EPOCHS_PER_STEP = 4  # of the schedule "steps"; it divides the rate by ten


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """The part of a step's pictures that one process works on.

    Attributes:
        pixels: uint8 of shape (n, H, W, 3), red first.
        drawn: float32 of shape (n, NUM_DRAWN): how each picture is varied, see `augmentation`.
        targets: float32 of shape (n, K): the share of each class, times what the picture counts in the loss.
        partners: uint8 of shape (n, H, W, 3): what each picture is mixed with; None where nothing is mixed.
        partners_drawn: how those are varied.
        shares: float32 of shape (n,): of each picture in its mixture.
        num_together: pictures of the step, of all processes.
    """

    pixels: npt.NDArray[np.uint8]
    drawn: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    partners: npt.NDArray[np.uint8] | None
    partners_drawn: npt.NDArray[np.float32] | None
    shares: npt.NDArray[np.float32]
    num_together: int


class Tuner:
    """A network in training with its optimiser, schedule and averaged weights.

    Args:
        trainee: the network, on the device.
        recipe: all settings.
        preprocessing: from pixels to the network's input.
        growth: how large the pictures are at each step, and how many steps the whole training has.
        steps_per_epoch: for the schedule.
        precision: what layers compute in, if not float32.
        processes: this one, or several.
        seed: of what networks draw themselves while they train.

    Attributes:
        trainee: the network.
        growth: how large the pictures are at each step.
        device: where it is.
        step: how many steps were taken.
        chunk_size: pictures that go through the network at once; halved where memory is too small.
    """

    def __init__(
        self,
        trainee: Trainee,
        recipe: Recipe,
        *,
        preprocessing: Preprocessing,
        growth: Growth,
        steps_per_epoch: int,
        precision: torch.dtype | None,
        processes: Processes,
        seed: int,
    ) -> None:
        self.trainee = trainee
        self.growth = growth
        self.step = 0
        self.chunk_size = -(-recipe.batch_size // processes.count)
        self._recipe = recipe
        self._preprocessing = preprocessing
        self._precision = precision
        self._processes = processes
        self._seed = seed
        self.device = next(trainee.parameters()).device
        self._parameters = [*trainee.parameters()]
        self._wrapped: nn.Module = trainee
        is_replayed = self.device.type == "cuda" and processes.count == 1
        self._replay = Replay(self._pass, trainee) if is_replayed else None
        # Up to the size of a batch, with pictures that count nothing, where another size has its price: cuDNN
        # makes its kernels ready for each anew. Statistics of a batch would count them.
        self._is_filled_up = self.device.type == "cuda" and recipe.batch_norm == "frozen"
        self._optimizer = _optimizer(trainee, recipe)
        self._schedule = _schedule(self._optimizer, recipe, growth.num_steps, steps_per_epoch)
        self._schedule.step_update(0)
        self._average: Average | None = None
        if recipe.averaging:
            decay = 1 - 1 / max(1.0, recipe.averaging * growth.num_steps)
            self._average = Average(trainee, decay=decay)

    @property
    def rate(self) -> float:
        """The head's learning rate of the next step."""
        return max(float(group["lr"]) for group in self._optimizer.param_groups)

    @property
    def best(self) -> Trainee:
        """The network to be judged and kept: that of the averaged weights, where there are any."""
        return self.trainee if self._average is None else self._average.network()

    def use_rate(self, rate: float) -> None:
        """Take the next step at this rate of the head, and all others in proportion."""
        share = rate / self.rate
        for group in self._optimizer.param_groups:
            group["lr"] *= share

    def begin_epoch(self, epoch: int) -> None:
        """Choose the layers that are trained, and put the network in its training mode."""
        self.trainee.train_layers(epoch)
        self.trainee.train()
        self._wrapped = self._processes.wrap(self.trainee)

    def take_step(self, batch: Batch) -> float:
        """Take one step; return the mean loss of its pictures, in nats.

        Raises:
            ModelError: the memory is too small for a single picture.
            TrainingError: the loss is not a number; nothing was changed.
        """
        loss = self._accumulate_in_memory(batch, self.growth.side(self.step))
        if not np.isfinite(loss):
            self._optimizer.zero_grad()
            raise TrainingError(f"the loss is {loss}")
        if self._recipe.clipping:
            nn.utils.clip_grad_norm_(self._parameters, self._recipe.clipping)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        self._schedule.step_update(self.step)
        if self._average is not None:
            self._average.take(self.step)
        return loss

    def time_step(self, batch: Batch) -> float:
        """Return the seconds of a step with pictures of full size; it is not taken, all stays as it is."""
        buffers = [(each, each.clone()) for each in self.trainee.buffers()]
        started = time.perf_counter()
        self._accumulate_in_memory(batch, self.growth.full)
        seconds = time.perf_counter() - started
        self._optimizer.zero_grad()
        for buffer, before in buffers:
            buffer.copy_(before)
        return seconds

    def cause(self) -> str:
        """Return what most likely makes the loss something else than a number, in words."""
        # A comparison with what is not a number is false.
        if all(bool((each.abs() < _GROWN).all()) for each in self._parameters):
            return "the network's output is no number, though all of its weights are"
        return "the weights have grown beyond all numbers: the learning rate is too high"

    def tensors(self) -> Tensors:
        """Return all tensors of the state, by name; they are not copied."""
        found = {f"network.{name}": each for name, each in self.trainee.state_dict().items()}
        if self._average is not None:
            found |= {f"average.{name}": each for name, each in self._average.network().state_dict().items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{number}.{key}": each for key, each in state.items()}
        return found

    def restore(self, tensors: Tensors, step: int) -> None:
        """Take the state that `tensors` returned, and the number of its step."""
        self.trainee.load_state_dict(_of(tensors, "network."))
        if self._average is not None:
            self._average.network().load_state_dict(_of(tensors, "average."))
        state = self._optimizer.state_dict()
        state["state"] = {}
        parameters = [each for group in self._optimizer.param_groups for each in group["params"]]
        for name, each in _of(tensors, "optimizer.").items():
            number, key = name.split(".", 1)
            # Fused optimisers take for granted that both lie in memory in the same way.
            own = parameters[int(number)]
            placed = torch.empty_like(own).copy_(each) if each.shape == own.shape else each
            state["state"].setdefault(int(number), {})[key] = placed
        self._optimizer.load_state_dict(state)
        self.step = step
        self._schedule.step_update(step)

    def _accumulate_in_memory(self, batch: Batch, side: int) -> float:
        """Add up the gradients of a batch, in as many chunks as the memory asks for; return the mean loss."""
        while True:
            try:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(self._seed + self.step)
                    return self._accumulate(batch, side)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                self._halve(error)

    def _accumulate(self, batch: Batch, side: int) -> float:
        """Add up the gradients of a batch, chunk by chunk; return the mean loss over all processes."""
        self._optimizer.zero_grad()
        total = 0.0
        starts = range(0, len(batch.pixels), self.chunk_size)
        # The processes' gradients are averaged: times their number they are added up.
        scale = self._processes.count / batch.num_together
        # Chunks add up their gradients, which a replay would overwrite.
        work = self._replay if self._replay is not None and len(starts) == 1 else self._pass
        for start in starts:
            pictures, targets = self._pair(batch, slice(start, start + self.chunk_size), side)
            is_last = start == starts[-1]
            with nullcontext() if is_last else self._processes.unsynchronised(self._wrapped):
                total += float(work((pictures, targets, torch.full((), scale, device=self.device))))
        return self._processes.sum(total) / batch.num_together

    def _pair(self, batch: Batch, chunk: slice, side: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return some of a batch's pictures as the network takes them, with that side, and their targets."""
        x = self._input(batch.pixels[chunk], batch.drawn[chunk], side)
        if batch.partners is not None and batch.partners_drawn is not None:
            share = torch.from_numpy(batch.shares[chunk]).to(self.device)[:, None, None, None]
            partners = self._input(batch.partners[chunk], batch.partners_drawn[chunk], side)
            x = torch.lerp(partners, x, share)
        targets = torch.from_numpy(batch.targets[chunk]).to(self.device)
        missing = self.chunk_size - len(x) if self._is_filled_up else 0
        if missing > 0:
            x = torch.cat([x, x[-1:].expand(missing, -1, -1, -1)])
            targets = nn.functional.pad(targets, (0, 0, 0, missing))
        return x.contiguous(memory_format=self.trainee.memory_format), targets

    def _pass(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Add the gradients of pictures to those there are; return their summed cross-entropy.

        Args:
            tensors: pictures as the network takes them, their targets, and the scale of the gradients.
        """
        x, targets, scale = tensors
        kind = self._precision or torch.float32
        # Without a cache of weights in half precision: it ends with the pass, and cannot be recorded.
        with torch.autocast(self.device.type, kind, enabled=self._precision is not None, cache_enabled=False):
            logits = self._wrapped(x)
        summed = nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
        self._processes.backward(summed * scale)
        return summed.detach()

    def _input(
        self, pixels: npt.NDArray[np.uint8], drawn: npt.NDArray[np.float32], side: int
    ) -> torch.Tensor:
        """Return pictures, varied, as the network takes them."""
        sent, how = (torch.from_numpy(each).to(self.device, non_blocking=True) for each in (pixels, drawn))
        varied = vary(sent, how, self._recipe, side=side)
        return to_input(varied, self._preprocessing, dtype=torch.float32)

    def _halve(self, error: Exception) -> None:
        """Let fewer pictures go through the network at once.

        Raises:
            ModelError: it is one already, or other processes would wait for this one for ever.
        """
        self._optimizer.zero_grad()
        if self._replay is not None:
            self._replay.forget()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.chunk_size == 1 or self._processes.count > 1:
            raise ModelError(
                f"the memory is too small for {self.chunk_size} pictures at once",
                hint="take a smaller batch (--batch-size), a lower --resolution or a smaller network",
            ) from error
        self.chunk_size = -(-self.chunk_size // 2)


def _optimizer(trainee: Trainee, recipe: Recipe) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = trainee.groups()
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.rate, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    is_fused = next(trainee.parameters()).device.type in ("cpu", "cuda")
    return kind(groups, lr=recipe.rate, fused=is_fused)


def _schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int, steps_per_epoch: int
) -> Scheduler:
    warm_up = round(recipe.warm_up * num_steps)
    if recipe.schedule == "steps":
        every = _EPOCHS_PER_STEP * steps_per_epoch
        return StepLRScheduler(optimizer, decay_t=every, decay_rate=0.1, warmup_t=warm_up, t_in_epochs=False)
    return CosineLRScheduler(optimizer, t_initial=num_steps, warmup_t=warm_up, t_in_epochs=False)


def _of(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Say whether torch had no memory: on a processor it has no class of its own for that."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
