"""A network made ready for one plan: from a batch of pixels to a batch of features."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headstart.embed.attention import use_products
from headstart.embed.fuse import fuse
from headstart.embed.memory import keep_freed_memory
from headstart.embed.plan import DTYPES, Layout, Plan
from headstart.embed.rounding import to_precision
from headstart.models import Classifier
from headstart.preprocess import to_input

_FORMATS: dict[Layout, torch.memory_format] = {
    "channels-last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


class Launched:
    """A batch that a network works on.

    Args:
        features: float32 of shape (n, D) on the device.
    """

    def __init__(self, features: torch.Tensor) -> None:
        self._is_ready: torch.cuda.Event | None = None
        if features.is_cuda:  # the copy waits for this batch alone, not for those that are launched later
            features = features.to("cpu", non_blocking=True)
            self._is_ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._is_ready.record()
        self._features = features

    def result(self) -> npt.NDArray[np.float32]:
        """Wait, and return the features, float32 of shape (n, D)."""
        if self._is_ready is not None:
            self._is_ready.synchronize()
        features: npt.NDArray[np.float32] = self._features.cpu().numpy()
        return features


class Engine:
    """A network made ready for one plan; how it is run may be changed between two batches.

    Attributes:
        plan: how it is run now.
    """

    def __init__(self, classifier: Classifier, plan: Plan) -> None:
        keep_freed_memory()
        self.plan = plan
        self._device = torch.device(plan.device)
        self._preprocessing = classifier.preprocessing
        self._network = _prepared(classifier, plan)
        self._forward: nn.Module = self._network
        self._copies = _copy_stream(plan.device)

    def features(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return pooled features, float32 of shape (n, D), of pixels uint8 of shape (n, H, W, 3)."""
        return self.launch(pixels).result()

    @torch.inference_mode()
    def launch(self, pixels: npt.NDArray[np.uint8]) -> Launched:
        """Start on a batch; on a GPU this returns before the work is done.

        A smaller batch than the plan's is filled up with its last picture, where another size has its price:
        a compiled network takes no other, and for each size cuDNN chooses its kernels anew.

        Args:
            pixels: uint8 of shape (n, H, W, 3), red first; not to be written to before the result is there.
        """
        missing = self.plan.batch_size - len(pixels)
        if missing > 0 and (self.plan.compiled or self.plan.device == "cuda"):
            padded = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)])
            return Launched(self._run(padded)[: len(pixels)])
        return Launched(self._run(pixels))

    def use_layout(self, layout: Layout) -> None:
        """Let pictures and weights lie in memory in another way; the features stay but for roundings."""
        self._network = self._network.to(memory_format=_FORMATS[layout])
        self._forward = self._network
        self.plan = replace(self.plan, layout=layout, compiled=False)

    def use_compiled(self, compiled: bool) -> None:
        """Run the network as torch.compile translates it, or as it is again.

        The translation happens with the next batch, and takes seconds to minutes.
        """
        with _quiet_compiler():
            self._forward = _compiled(self._network, self.plan.device) if compiled else self._network
        self.plan = replace(self.plan, compiled=compiled)

    def _run(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Return features on the device; a batch too large for its memory goes in halves."""
        try:
            with _exact_arithmetic() if self.plan.exact else nullcontext():
                return self._run_at_once(pixels)
        except torch.OutOfMemoryError:
            if len(pixels) == 1 or self.plan.compiled:
                raise
        torch.cuda.empty_cache()
        middle = len(pixels) // 2
        return torch.cat([self._run(pixels[:middle]), self._run(pixels[middle:])])

    def _run_at_once(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        x = to_input(self._sent(pixels), self._preprocessing, dtype=DTYPES[self.plan.precision])
        x = x.contiguous(memory_format=_FORMATS[self.plan.layout])
        if not self.plan.compiled:
            features: torch.Tensor = self._forward(x)
            return features.float()
        with _quiet_compiler():
            features = self._forward(x)
        return features.float()

    def _sent(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Return pixels on the device; to a GPU they are copied beside the work on the batch before."""
        batch = torch.from_numpy(pixels)
        if self._copies is None:
            return batch.to(self._device)
        with torch.cuda.stream(self._copies):
            sent = (batch if batch.is_pinned() else batch.pin_memory()).to(self._device, non_blocking=True)
        now = torch.cuda.current_stream()
        now.wait_stream(self._copies)
        sent.record_stream(now)
        return sent


def _copy_stream(device: str) -> torch.cuda.Stream | None:
    return torch.cuda.Stream() if device == "cuda" else None  # type: ignore[no-untyped-call]


@contextmanager
def _exact_arithmetic() -> Iterator[None]:
    """Compute in whole float32 on a GPU, and the same bits every time: no TF32, no choice of kernels."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def _prepared(classifier: Classifier, plan: Plan) -> nn.Module:
    """Return a copy of the backbone: the caller's stays as it is."""
    if plan.exact:
        network = copy.deepcopy(classifier.backbone)
    else:
        side = classifier.preprocessing.input_size[0]
        network = fuse(classifier.backbone, side=side)
        if plan.device == "cpu" and plan.precision == "bf16":
            use_products(network.eval(), side=side)
    network = to_precision(network.eval(), DTYPES[plan.precision], device=plan.device)
    placed: nn.Module = network.to(memory_format=_FORMATS[plan.layout])
    return placed


@contextmanager
def _quiet_compiler() -> Iterator[None]:
    """Keep the compiler's remarks, which are for its makers, from the user."""
    log = logging.getLogger("torch")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _compiled(network: nn.Module, device: str) -> nn.Module:
    """Return the network with torch's compiler before it; weights count as constants.

    Source: torch.compile with Inductor's option "freezing", which packs weights for the processor and folds
        what is constant; on CUDA the kernels are replayed as one graph.
    """
    options: dict[str, Any] = {"freezing": True}
    if device == "cuda":
        options["triton.cudagraphs"] = True
    compiled: nn.Module = torch.compile(network, dynamic=False, options=options)  # type: ignore[assignment]
    return compiled
