"""The weights of a training, averaged over its last steps: they are better than those of any one step."""

import copy

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from headstart.train.layers import Trainee


class Average:
    """A moving average of a network's weights.

    Args:
        trainee: the network in training; its parameters stay where they are in memory.
        decay: the share of the average that a step leaves, in [0, 1).

    Source: Izmailov et al. 2018, https://arxiv.org/abs/1803.05407; exponential as in torch's `swa_utils`,
        whose AveragedModel goes through all modules at each step, which takes longer than the averaging.
    """

    def __init__(self, trainee: Trainee, *, decay: float) -> None:
        self._trainee = trainee
        self._averaged = copy.deepcopy(trainee)
        self._pairs = [*self._averaged.parameters()], [*trainee.parameters()]
        self._update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch has no types here

    def network(self) -> Trainee:
        """Return the network with averaged weights; all else in it is as in the one that is trained."""
        for mine, current in zip(self._averaged.buffers(), self._trainee.buffers(), strict=True):
            mine.copy_(current)
        return self._averaged

    @torch.no_grad()
    def take(self, step: int) -> None:
        """Take the weights of a step, counted from 1, into the average."""
        averaged, current = self._pairs
        if step == 1:  # what was there before it was never trained
            for mine, now in zip(averaged, current, strict=True):
                mine.copy_(now)
        else:
            self._update(averaged, current, step)
