"""Passes over rows that lie in an accelerator's memory, computed by torch."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headstart.core.errors import InputError
from headstart.train.rows import Floats, Index, Integers, Pass, Weights, blocks

NUM_SCORES = 2**25
"""As many scores are held at once: 128 MiB in float32."""


class DeviceRows:
    """Rows on a device of torch.

    Args:
        features: of shape (N, D), on the device.
        labels: int64 of shape (N,), in [0, K), on the host.
    """

    def __init__(self, features: torch.Tensor, labels: Integers) -> None:
        self.features, self.labels = features, labels
        self.num_features = features.shape[1]
        self.dtype: np.dtype[Any] = _DTYPES[features.dtype]
        self._targets = torch.from_numpy(labels).to(features.device)

    @classmethod
    def sent(cls, features: Floats, labels: Integers, *, device: torch.device) -> "DeviceRows":
        """Return rows whose features, of shape (N, D), are copied from the host to the device."""
        return cls(torch.from_numpy(features).to(device), labels)

    def __getitem__(self, index: Index) -> "DeviceRows":
        chosen = index if isinstance(index, slice) else torch.from_numpy(index).to(self.features.device)
        return DeviceRows(self.features[chosen], self.labels[index])

    @torch.no_grad()
    def passed(self, weights: Weights) -> Pass:
        """Return the means over all rows at these weights."""
        coef, bias = self._on_device(weights)
        num_rows, loss = len(self.labels), 0.0
        slope, intercept = torch.zeros_like(coef), torch.zeros_like(bias)
        for block in self._blocks(len(coef)):
            features, targets = self.features[block], self._targets[block, None]
            scores = torch.addmm(bias, features, coef.T)  # (B, K)
            loss += float(_softmax_in_place(scores, targets).sum())
            scores.scatter_add_(1, targets, torch.full_like(targets, -1, dtype=scores.dtype))
            intercept += scores.sum(dim=0)
            slope.addmm_(scores.T, features)
        return Pass(
            loss=loss / num_rows,
            coef=(slope / num_rows).cpu().numpy(),
            intercept=(intercept / num_rows).cpu().numpy(),
        )

    @torch.no_grad()
    def cross_entropies(self, weights: Weights) -> npt.NDArray[np.float64]:
        """Return -log probability of each row's label in nats: float64 of shape (N,)."""
        coef, bias = self._on_device(weights)
        parts = []
        for block in self._blocks(len(coef)):
            scores = torch.addmm(bias, self.features[block], coef.T)
            parts.append(_softmax_in_place(scores, self._targets[block, None]).cpu())
        return torch.cat(parts).numpy().astype(np.float64)

    def _on_device(self, weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
        device = self.features.device
        return torch.from_numpy(weights.coef).to(device), torch.from_numpy(weights.intercept).to(device)

    def _blocks(self, num_classes: int) -> list[slice]:
        return list(blocks(slice(0, len(self.labels)), max(1, NUM_SCORES // num_classes)))


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


def _softmax_in_place(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Turn scores of shape (B, K) into probabilities; return the cross-entropies of targets (B, 1): (B,)."""
    scores -= scores.amax(dim=1, keepdim=True)
    of_targets = scores.gather(1, targets)
    sums = scores.exp_().sum(dim=1, keepdim=True)
    scores /= sums
    return (sums.log() - of_targets)[:, 0]
