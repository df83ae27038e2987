"""Forward passes of the drop-in's networks against the same ones in timm and torchvision, turn by turn.

    python benchmarks/ports.py [NAME...]

Both hold the same random tensors; the largest difference of their logits is printed over the logits' root
mean square. A turn is a few forward passes of each, in changing order. Printed: the median over the turns of
(time of the peer / time of ours), so that 1.05 means that ours is 5 % faster, with lowest and highest.
"""

import statistics
import sys
import time
import warnings
from typing import Any

import timm
import torch
import torchvision

import pretrainedmodels
from headstart.models.port_names import fit_shapes, rename_tensors
from headstart.models.torchvision_ports import FORMS

TURNS = 7
SECONDS_A_TURN = 0.8
BATCH = 4
TIMM = {
    "dpn68": "dpn68",
    "dpn68b": "dpn68b",
    "dpn92": "dpn92",
    "dpn98": "dpn98",
    "dpn107": "dpn107",
    "dpn131": "dpn131",
    "inceptionresnetv2": "inception_resnet_v2",
    "inceptionv4": "inception_v4",
    "nasnetalarge": "nasnetalarge",
    "pnasnet5large": "pnasnet5large",
    "resnext101_32x4d": "resnext101_32x4d",
    "resnext101_64x4d": "resnext101_64x4d",
    "se_resnet101": "legacy_seresnet101",
    "se_resnet152": "legacy_seresnet152",
    "se_resnet50": "legacy_seresnet50",
    "se_resnext101_32x4d": "legacy_seresnext101_32x4d",
    "se_resnext50_32x4d": "legacy_seresnext50_32x4d",
    "senet154": "legacy_senet154",
    "xception": "legacy_xception",
}
"""From our name to timm's. The other five networks have no counterpart in either library."""


def peer_of(name: str) -> torch.nn.Module:
    """Return the same architecture as timm or torchvision builds it."""
    if name in TIMM:
        return timm.create_model(TIMM[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, about the initialisation of its Inception
        options = {"inceptionv3": {"aux_logits": True, "transform_input": False}}.get(name, {})
        return torchvision.models.get_model(
            {"inceptionv3": "inception_v3"}.get(name, name), weights=None, **options
        )


def seconds(network: torch.nn.Module, x: torch.Tensor, passes: int) -> float:
    """Return how long `passes` forward passes take."""
    start = time.perf_counter()
    for _ in range(passes):
        network(x)
    return time.perf_counter() - start


@torch.inference_mode()
def compare(name: str) -> str:
    """Return a line with the ratio and the agreement of one network."""
    ours: Any = pretrainedmodels.__dict__[name](pretrained=None).eval()
    peer = peer_of(name).eval()
    shapes = {key: tensor.shape for key, tensor in ours.state_dict().items()}
    tensors = fit_shapes(rename_tensors(name, peer.state_dict()), shapes)
    # torch7's ResNeXt has numbers in place of names; the layers come in the same order.
    if name.startswith("resnext"):
        tensors = dict(zip(shapes, in_order_of_definition(peer), strict=True))
    ours.load_state_dict(tensors)
    x = torch.randn(BATCH, *ours.input_size)
    expected, found = peer(x), ours(x)
    error = float((found - expected).abs().max() / expected.square().mean().sqrt())
    passes = max(1, round(SECONDS_A_TURN / seconds(peer, x, 1)))
    ratios = []
    for turn in range(TURNS):
        order = (ours, peer) if turn % 2 else (peer, ours)
        times = {network: seconds(network, x, passes) for network in order}
        ratios.append(times[peer] / times[ours])
    ratios.sort()
    median, low, high = statistics.median(ratios), ratios[0], ratios[-1]
    return f"{name:<20} {median:5.3f}  ({low:.3f} to {high:.3f})  error {error:.0e}"


def in_order_of_definition(peer: torch.nn.Module) -> list[torch.Tensor]:
    """Return the tensors of timm's ResNeXt: a block's shortcut comes last in both."""
    return list(peer.state_dict().values())


def main() -> None:
    """Measure and print a line a network."""
    names = sys.argv[1:] or [name for name in pretrainedmodels.model_names if name in TIMM or name in FORMS]
    for name in names:
        torch.manual_seed(0)
        print(compare(name), flush=True)


if __name__ == "__main__":
    main()
