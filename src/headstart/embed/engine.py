"""A network made ready for one plan: from a batch of pixels to a batch of features."""

import copy
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headstart.embed.fuse import fuse
from headstart.embed.memory import keep_freed_memory
from headstart.embed.plan import DTYPES, Layout, Plan
from headstart.models import Classifier
from headstart.preprocess import to_input

_FORMATS: dict[Layout, torch.memory_format] = {
    "channels-last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


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
        self._in_flight = plan.device == "cuda"

    def features(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return pooled features, float32 of shape (n, D), of pixels uint8 of shape (n, H, W, 3)."""
        return self.fetch(self.launch(pixels))

    @torch.inference_mode()
    def launch(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Start on a batch and return what `fetch` takes; on a GPU it returns before the work is done.

        A compiled network takes batches of one size, so a smaller one is filled up with its last picture.

        Args:
            pixels: uint8 of shape (n, H, W, 3), red first.
        """
        missing = self.plan.batch_size - len(pixels)
        if self.plan.compiled and missing > 0:
            padded = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)])
            return self._run(padded)[: len(pixels)]
        return self._run(pixels)

    def fetch(self, features: torch.Tensor) -> npt.NDArray[np.float32]:
        """Return the features that `launch` began, float32 of shape (n, D)."""
        vectors: npt.NDArray[np.float32] = features.cpu().numpy()
        return vectors

    def use_layout(self, layout: Layout) -> None:
        """Let pictures and weights lie in memory in another way; the features stay but for roundings."""
        self._network = self._network.to(memory_format=_FORMATS[layout])
        self._forward = self._network
        self.plan = replace(self.plan, layout=layout, compiled=False)

    def use_compiled(self, compiled: bool) -> None:
        """Run the network as torch.compile translates it, or as it is again.

        The translation happens with the next batch, and takes seconds to minutes.
        """
        self._forward = _compiled(self._network, self.plan.device) if compiled else self._network
        self.plan = replace(self.plan, compiled=compiled)

    def _run(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        batch = torch.from_numpy(pixels)
        if self._in_flight:  # a copy from pinned memory runs beside the computation
            batch = batch.pin_memory()
        batch = batch.to(self._device, non_blocking=self._in_flight)
        x = to_input(batch, self._preprocessing, dtype=DTYPES[self.plan.precision])
        x = x.contiguous(memory_format=_FORMATS[self.plan.layout])
        if not self.plan.compiled:
            features: torch.Tensor = self._forward(x)
            return features.float()
        with warnings.catch_warnings():  # the compiler's remarks are for its makers
            warnings.simplefilter("ignore")
            features = self._forward(x)
        # A CUDA graph writes its next result where this one lies.
        return features.float().clone() if self._in_flight else features.float()


def _prepared(classifier: Classifier, plan: Plan) -> nn.Module:
    """Return a copy of the backbone: the caller's stays as it is."""
    if plan.exact:
        network = copy.deepcopy(classifier.backbone)
    else:
        network = fuse(classifier.backbone, side=classifier.preprocessing.input_size[0])
    network = network.eval().to(torch.device(plan.device), DTYPES[plan.precision])
    placed: nn.Module = network.to(memory_format=_FORMATS[plan.layout])
    return placed


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
