"""Passes over rows on an accelerator, computed by torch."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headstart.core.errors import InputError
from headstart.train.rows import Floats, Index, Integers, Pass, Weights, blocks

NUM_VALUES = 2**25
"""As many scores, or features on their way, are held at once: 128 MiB in float32."""

MAX_SHARE = 0.5
"""Of a device's free memory: larger features stay on the host, from where each pass sends them anew."""


class DeviceRows:
    """Rows that are computed on a device of torch.

    Args:
        features: of shape (N, D), on the device; or on the host, from where every pass sends them in blocks.
        labels: int64 of shape (N,), in [0, K), on the host.
        device: where to compute.
    """

    def __init__(self, features: torch.Tensor, labels: Integers, *, device: torch.device) -> None:
        self.features, self.labels, self.device = features, labels, device
        self.num_features = features.shape[1]
        self.dtype: np.dtype[Any] = _DTYPES[features.dtype]
        self._targets = torch.from_numpy(labels).to(device)

    @classmethod
    def sent(cls, features: Floats, labels: Integers, *, device: torch.device) -> "DeviceRows":
        """Return rows whose features, of shape (N, D), are copied from the host where the device has room."""
        held = torch.from_numpy(features)
        if features.nbytes <= MAX_SHARE * _free_bytes(device):
            held = held.to(device)
        return cls(held, labels, device=device)

    def __getitem__(self, index: Index) -> "DeviceRows":
        chosen = index if isinstance(index, slice) else torch.from_numpy(index).to(self.features.device)
        return DeviceRows(self.features[chosen], self.labels[index], device=self.device)

    @torch.no_grad()
    def passed(self, weights: Weights) -> Pass:
        """Return the sums over all rows at these weights."""
        coef, bias = self._on_device(weights)
        loss = 0.0
        slope, intercept = torch.zeros_like(coef), torch.zeros_like(bias)
        for block in self._blocks(len(coef)):
            features, targets = self.features[block].to(self.device), self._targets[block, None]
            scores = torch.addmm(bias, features, coef.T)  # (B, K)
            loss += float(_softmax_in_place(scores, targets).sum())
            scores.scatter_add_(1, targets, torch.full_like(targets, -1, dtype=scores.dtype))
            intercept += scores.sum(dim=0)
            slope.addmm_(scores.T, features)
        return Pass(
            num_rows=len(self.labels),
            loss=loss,
            coef=slope.cpu().numpy(),
            intercept=intercept.cpu().numpy(),
        )

    @torch.no_grad()
    def cross_entropies(self, weights: Weights) -> npt.NDArray[np.float64]:
        """Return -log probability of each row's label in nats: float64 of shape (N,)."""
        coef, bias = self._on_device(weights)
        parts = []
        for block in self._blocks(len(coef)):
            scores = torch.addmm(bias, self.features[block].to(self.device), coef.T)
            parts.append(_softmax_in_place(scores, self._targets[block, None]).cpu())
        return torch.cat(parts).numpy().astype(np.float64)

    def _on_device(self, weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
        coef, intercept = torch.from_numpy(weights.coef), torch.from_numpy(weights.intercept)
        return coef.to(self.device), intercept.to(self.device)

    def _blocks(self, num_classes: int) -> list[slice]:
        height = max(1, NUM_VALUES // max(num_classes, self.num_features))
        return list(blocks(slice(0, len(self.labels)), height))


_DTYPES: dict[torch.dtype, np.dtype[Any]] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}


def check_device(device: str | torch.device, *, dtype: npt.DTypeLike) -> torch.device:
    """Return the device, after something of this dtype went there and came back.

    Raises:
        InputError: there is no such device here, or it has no numbers of this dtype.
    """
    try:
        found = torch.device(device)
        torch.from_numpy(np.zeros(1, dtype)).to(found).cpu()
    # Each backend has errors of its own for what it lacks: AssertionError, NotImplementedError, ...
    except Exception as error:
        raise InputError(
            f"device of {device!r} was given, expected one that torch can use here for {np.dtype(dtype)}: "
            f"{str(error).splitlines()[0]}",
            hint="leave it out, or give 'cpu'",
        ) from error
    return found


def _free_bytes(device: torch.device) -> float:
    """Return how much memory of a device is free; of those that do not say, all that could be needed."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")


def _softmax_in_place(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Turn scores of shape (B, K) into probabilities; return the cross-entropies of targets (B, 1): (B,)."""
    scores -= scores.amax(dim=1, keepdim=True)
    of_targets = scores.gather(1, targets)
    sums = scores.exp_().sum(dim=1, keepdim=True)
    scores /= sums
    return (sums.log() - of_targets)[:, 0]
