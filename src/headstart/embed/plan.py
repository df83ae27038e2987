"""How a network is run on this machine: device, precision, decoder, layout, compiler, threads, batch size.

What could change the features (device, precision, decoder) is used only after the features it gives of the
user's own pictures were compared with exact ones. What changes roundings alone (layout, compiler) is chosen
by its speed while the pictures go through: see `headstart.embed.pace`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import nn

from headstart.catalog.entry import Preprocessing
from headstart.core.errors import InputError
from headstart.data.decode import Decoder
from headstart.models import Classifier

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
Layout: TypeAlias = Literal["channels-last", "contiguous"]

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

# Each picture's features must point this nearly the same way as the exact ones.
MIN_COSINE = 0.998

# One batch holds about as many pixels as 32 pictures of 224x224: it fills a processor and stays in memory;
# a GPU has room for more and needs it.
_BATCH_PIXELS = {"cpu": 32 * 224 * 224, "mps": 32 * 224 * 224, "cuda": 256 * 224 * 224}
_MIN_BATCH, _MAX_BATCH = 8, {"cpu": 1024, "mps": 1024, "cuda": 4096}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What the user asks for.

    Attributes:
        device: "auto" is cuda or mps where there is one.
        precision: "auto" is the fastest that the device is built for and that passes the check.
        plan: "fast" allows everything that passes the check; "exact" is float32, one operation after another
            as the network was written, on pixels of the reference decoder: the same bits every time.

    Raises:
        InputError: the exact plan was asked for in another precision than fp32.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    plan: Literal["fast", "exact"] = "fast"

    def __post_init__(self) -> None:
        if self.plan == "exact" and self.precision in ("bf16", "fp16"):
            raise InputError(
                f"the exact plan computes in fp32, not in {self.precision}", hint="leave --precision out"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a network is run.

    Attributes:
        device: torch's name of the device: "cpu", "cuda".
        precision: what weights and activations are held in.
        decoder: how pictures become pixels; "exact" is the reference.
        exact: whether the network is run as it was written; else batch norms are folded into convolutions.
        layout: how pictures lie in memory.
        compiled: whether torch.compile translated the network.
        batch_size: pictures in one forward pass.
        num_threads: threads that one forward pass on the processor uses.
        reason: why this precision and decoder, in words.
    """

    device: str
    precision: Precision
    decoder: Decoder
    exact: bool = False
    layout: Layout = "channels-last"
    compiled: bool = False
    batch_size: int
    num_threads: int
    reason: str

    def __str__(self) -> str:
        how = ", compiled" if self.compiled else ""
        name = "exact plan: " if self.exact else ""
        threads = f", {self.num_threads} threads" if self.device == "cpu" else ""
        return (
            f"{name}{self.precision} on {self.device}, {self.layout}{how}, batch {self.batch_size}{threads} "
            f"({self.reason})"
        )


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


def require_device(options: PlanOptions) -> None:
    """Raise InputError where a device was named that is not here: to be told before pictures are read."""
    if options.device not in ("auto", "cpu"):
        choose_device(options)


def batch_size(preprocessing: Preprocessing, *, device: str = "cpu") -> int:
    """Return the number of pictures in a batch: a function of input size and device, so that runs repeat."""
    height, width = preprocessing.input_size
    fitting = _BATCH_PIXELS[device] // (height * width)
    return max(_MIN_BATCH, min(_MAX_BATCH[device], fitting - fitting % 8))


def fast_precision(device: str) -> Precision:
    """Return the fastest precision that `device` has instructions for."""
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device == "cpu":
        for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            if getattr(torch.cpu, question, lambda: False)():
                return "bf16"
    return "fp32"


def exact_plan(preprocessing: Preprocessing, *, device: str, reason: str) -> Plan:
    """Return the plan that everything else is measured against."""
    return Plan(
        device=device,
        precision="fp32",
        decoder="exact",
        exact=True,
        layout="contiguous",
        batch_size=batch_size(preprocessing, device=device),
        num_threads=torch.get_num_threads(),
        reason=reason,
    )


def fast_layout(network: nn.Module, device: str) -> Layout:
    """Return the layout that a network is run faster in, as far as that is known beforehand.

    On an NVIDIA GPU channels-last is, but for depthwise convolutions: cuDNN makes their kernels ready for
    each size of pictures, which takes seconds, and torch has kernels of its own for the other layout, which
    are there and faster (docs/speed.md).
    """
    return "contiguous" if device == "cuda" and _has_depthwise(network) else "channels-last"


def _has_depthwise(network: nn.Module) -> bool:
    convolutions = (each for each in network.modules() if isinstance(each, nn.Conv2d))
    return any(1 < each.groups == each.in_channels for each in convolutions)


def choose_plan(
    classifier: Classifier,
    *,
    options: PlanOptions,
    min_cosine: Callable[[Plan], float],
    sample: str = "a sample of your pictures",
) -> Plan:
    """Return the fastest plan whose features are near enough the exact ones.

    Tried in this order: the fast precision, then float32, on the device; the same on the processor, where the
    device is another (an operator may be missing there); last the exact plan, which needs no check.

    Args:
        classifier: the network; its input size gives the batch size.
        options: what the user asks for; a precision that is asked for is checked like any other.
        min_cosine: given a plan, returns the smallest cosine between features by it and exact ones over a
            sample of pictures; below -1 where it cannot be run.
        sample: what those are, in words.

    Raises:
        InputError: the device that is asked for is not here.
    """
    device, preprocessing = choose_device(options), classifier.preprocessing
    if options.plan == "exact":
        return exact_plan(preprocessing, device=device, reason="asked for")
    refused: list[str] = []
    for plan in _candidates(classifier, device, options):
        cosine = min_cosine(plan)
        if cosine >= MIN_COSINE:
            reason = f"cosine to exact features on {sample} {cosine:.4f} or better"
            return replace(plan, reason="; ".join([reason, *refused]))
        refused.append(_refusal(plan, cosine))
    return exact_plan(preprocessing, device="cpu", reason="; ".join(refused))


def _candidates(classifier: Classifier, device: str, options: PlanOptions) -> list[Plan]:
    plans = []
    for place in dict.fromkeys((device, "cpu")):
        wanted = fast_precision(place) if options.precision == "auto" else options.precision
        for precision in dict.fromkeys((wanted, "fp32")):
            plans.append(
                Plan(
                    device=place,
                    precision=precision,
                    decoder="fast",
                    layout=fast_layout(classifier.backbone, place),
                    batch_size=batch_size(classifier.preprocessing, device=place),
                    num_threads=torch.get_num_threads(),
                    reason="",
                )
            )
    return plans


def _refusal(plan: Plan, cosine: float) -> str:
    what = f"{plan.precision} on {plan.device}"
    if cosine < -1:
        return f"{what} cannot be run"
    return f"{what} was refused: cosine {cosine:.4f} on one of your pictures, below {MIN_COSINE}"
