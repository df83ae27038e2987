"""How a network is run on this machine: device, precision, memory layout, batch size.

A faster precision is used only after its features of the user's own pictures were compared with exact ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from headstart.catalog.entry import Preprocessing
from headstart.core.errors import InputError

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

# Each picture's features must point this nearly the same way as the exact ones.
MIN_COSINE = 0.998

# One batch holds about as many pixels as 32 pictures of 224x224: it fills the processor and stays in memory.
_BATCH_PIXELS = 32 * 224 * 224
_MIN_BATCH, _MAX_BATCH = 8, 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What the user asks for.

    Attributes:
        device: "auto" is cuda or mps where there is one.
        precision: "auto" is the fastest that the device is built for and that passes the check.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a network is run.

    Attributes:
        device: torch's name of the device: "cpu", "cuda".
        precision: what weights and activations are held in.
        batch_size: pictures in one forward pass.
        reason: why this precision, in words.
    """

    device: str
    precision: Precision
    batch_size: int
    reason: str

    def __str__(self) -> str:
        return f"{self.precision} on {self.device}, channels-last, batch {self.batch_size} ({self.reason})"


def choose_device(options: PlanOptions) -> str:
    """Return the device to run on.

    Raises:
        InputError: the one asked for is not here.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if options.device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available.get(options.device, False):
        usable = ", ".join(name for name, there in available.items() if there)
        raise InputError(
            f"device {options.device!r} is not usable here; usable: {usable}", hint="use --device auto"
        )
    return options.device


def batch_size(preprocessing: Preprocessing) -> int:
    """Return the number of pictures in a batch: a function of the input size alone, so that runs repeat."""
    height, width = preprocessing.input_size
    fitting = _BATCH_PIXELS // (height * width)
    return max(_MIN_BATCH, min(_MAX_BATCH, fitting - fitting % 8))


def fast_precision(device: str) -> Precision:
    """Return the fastest precision that `device` has instructions for."""
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device == "cpu":
        for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            if getattr(torch.cpu, question, lambda: False)():
                return "bf16"
    return "fp32"


def choose_plan(
    preprocessing: Preprocessing,
    *,
    options: PlanOptions,
    min_cosine: Callable[[str, Precision], float],
) -> Plan:
    """Return the plan for one network on this machine.

    Args:
        preprocessing: gives the input size, and with it the batch size.
        options: what the user asks for; a precision that is asked for is checked like any other.
        min_cosine: given device and precision, returns the smallest cosine between features in that
            precision and exact ones over a sample of pictures. Called only where one is in question.
    """
    device = choose_device(options)
    wanted = fast_precision(device) if options.precision == "auto" else options.precision
    size = batch_size(preprocessing)
    if wanted == "fp32":
        reason = "asked for" if options.precision == "fp32" else f"{device} has nothing faster"
        return Plan(device=device, precision="fp32", batch_size=size, reason=reason)
    cosine = min_cosine(device, wanted)
    if cosine >= MIN_COSINE:
        reason = f"cosine to fp32 on a sample of your pictures {cosine:.4f} or better"
        return Plan(device=device, precision=wanted, batch_size=size, reason=reason)
    reason = f"{wanted} was refused: cosine {cosine:.4f} on one of your pictures, below {MIN_COSINE}"
    return Plan(device=device, precision="fp32", batch_size=size, reason=reason)
