"""Facts about a network that are measured, not published: its size, its width, what one picture costs.

Networks are built on torch's "meta" device, where tensors have a shape and no memory, so that the largest
takes seconds and no weights.
"""

import warnings
from typing import Any
from unittest.mock import patch

import timm
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.regnet import BlockParams

Row = dict[str, Any]


def measure(provider: str, row: Row) -> Row:
    """Return "num_params", "feature_dim" and "num_macs" of a row's network.

    `num_macs` are the multiply-adds of one picture of the row's size in eval mode, counted by torch's
    `FlopCounterMode`, which knows convolutions, matrix products and attention: half of the operations it
    counts. It is 0 where the network cannot be run without memory.
    """
    size = row["preprocessing"].input_size
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = build(provider, row).eval().requires_grad_(False)
        return {
            "num_params": sum(parameter.numel() for parameter in network.parameters()),
            "feature_dim": feature_dim(provider, network),
            "num_macs": count_macs(network, size),
        }


def build(provider: str, row: Row) -> Any:
    """Return a row's network, on the device that is set."""
    architecture = row["architecture"]
    if provider == "torchvision":
        fixed = {"image_size": row["preprocessing"].input_size[0]} if architecture.startswith("vit") else {}
        with patch.object(BlockParams, "from_init_params", regnet_blocks):
            return torchvision.models.get_model(architecture, weights=None, **fixed)
    if provider == "pretrainedmodels":
        from headstart.models.ports import build_port

        return build_port(architecture, num_classes=row.get("num_classes", 1000))
    name = f"tf_{architecture}" if provider == "starter" else architecture
    return timm.create_model(f"{name}.{row['tag']}")


def regnet_blocks(*args: Any, _original: Any = BlockParams.from_init_params, **options: Any) -> Any:
    """Compute a RegNet's block widths on the CPU: it needs their values, which "meta" does not have."""
    with torch.device("cpu"):
        return _original(*args, **options)


def feature_dim(provider: str, network: Any) -> int:
    """Return the width of a network's pooled features: what its last layer takes."""
    if provider in ("timm", "starter"):
        return int(network.head_hidden_size)
    last = getattr(network, "last_linear", None)
    if last is None:  # SqueezeNet's last layer is a convolution
        linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
        last = (linear or [module for module in network.modules() if isinstance(module, nn.Conv2d)])[-1]
    return int(last.in_features if hasattr(last, "in_features") else last.in_channels)


def count_macs(network: Any, size: tuple[int, int]) -> int:
    """Return the multiply-adds of one picture of `size` (height, width), 0 where they cannot be counted."""
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, *size))
    except (RuntimeError, NotImplementedError, ValueError, AssertionError, TypeError) as error:
        print(f"not counted: {type(network).__name__} at {size}: {error}"[:200])
        return 0
    return counter.get_total_flops() // 2
