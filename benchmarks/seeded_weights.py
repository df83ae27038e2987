"""The tensors that the benchmarks' contestants share."""

import io
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models.resnet import Bottleneck

import headstart as hs

TIMM_NAMES = {
    "efficientnet_lite0": "tf_efficientnet_lite0",
    "resnet50": "resnet50",
    "se_resnet50": "seresnet50",
    "vit_small_patch16_224": "vit_small_patch16_224",
}


def write_weights(model: str, path: Path, photographs: list[bytes]) -> None:
    """Write the tensors that all share, under timm's names."""
    if model == "efficientnet_lite0":
        classifier = hs.load(model)
        tensors = dict(classifier.backbone.state_dict())
        tensors |= {f"classifier.{name}": tensor for name, tensor in classifier.head.state_dict().items()}
    else:
        tensors = random_network(TIMM_NAMES[model], photographs).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


@torch.no_grad()
def random_network(name: str, photographs: list[bytes]) -> torch.nn.Module:
    """Return a seeded random network whose features tell pictures apart.

    A new residual block adds nothing and new batch norms do not fit what comes in, so their weights are drawn
    and their statistics taken from a batch of the photographs.

    What a block without squeeze-and-excitation adds is halved. Else roundings would grow from block to block
    as they do in no trained network, and bf16 be refused for a reason that users do not have: the cosine of
    bf16 features to exact ones, over 32 photographs, is 0.9983 in the median without that and 0.9998 with
    it, and 0.9996 for the trained EfficientNet-Lite0 (before its first convolutions stayed in float32).
    """
    torch.manual_seed(0)
    network = timm.create_model(name).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.0)
            module.momentum = None  # a plain mean over the batches seen
    for module in network.modules():
        if isinstance(module, Bottleneck) and module.se is None:
            module.bn3.weight.mul_(0.5)
    transform = timm.data.create_transform((3, 224, 224), interpolation="bicubic")
    pictures = (Image.open(file).convert("RGB") for file in map(io.BytesIO, photographs[:32]))
    network(torch.stack([transform(picture) for picture in pictures]))
    return network


def write_variants(folder: Path, count: int) -> list[Path]:
    """Write so many checkpoints of EfficientNet-Lite0: the starter weights, each a little different."""
    exact = folder / "variant0.safetensors"
    write_weights("efficientnet_lite0", exact, [])
    tensors, paths = load_file(exact), [exact]
    for seed in range(1, count):
        generator = torch.Generator().manual_seed(seed)
        paths.append(folder / f"variant{seed}.safetensors")
        changed = {
            name: tensor * (1 + 0.01 * torch.randn(tensor.shape, generator=generator))
            if tensor.ndim > 1
            else tensor
            for name, tensor in tensors.items()
        }
        save_file(changed, paths[-1])
    return paths
