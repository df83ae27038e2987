"""The files of torchvision and timm hold the tensors of the 45 networks under other names."""

import warnings
from typing import Any

import pytest
import timm
import torch
import torchvision
from golden_outputs import fill

from headstart.models.port_names import rename_tensors
from headstart.models.ports import build_port, load_port

# Ours, the library, its name.
QUICK = (
    ("densenet121", "torchvision", "densenet121"),
    ("dpn68b", "timm", "dpn68b"),
    ("resnet18", "torchvision", "resnet18"),
    ("se_resnet50", "timm", "legacy_seresnet50"),
    ("squeezenet1_1", "torchvision", "squeezenet1_1"),
    ("xception", "timm", "legacy_xception"),
)
SLOW = (
    ("alexnet", "torchvision", "alexnet"),
    ("densenet121", "timm", "densenet121"),
    ("dpn92", "timm", "dpn92"),
    ("inceptionresnetv2", "timm", "inception_resnet_v2"),
    ("inceptionv3", "timm", "inception_v3"),
    ("inceptionv3", "torchvision", "inception_v3"),
    ("inceptionv4", "timm", "inception_v4"),
    ("pnasnet5large", "timm", "pnasnet5large"),
    ("resnet18", "timm", "resnet18"),
    ("se_resnext50_32x4d", "timm", "legacy_seresnext50_32x4d"),
    ("senet154", "timm", "legacy_senet154"),
    ("vgg11", "timm", "vgg11"),
    ("vgg11_bn", "timm", "vgg11_bn"),
    ("vgg11_bn", "torchvision", "vgg11_bn"),
)


def foreign(library: str, name: str) -> Any:
    """Return another library's network, its tensors filled so that every layer counts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the initialisation of Inception
        build = timm.create_model if library == "timm" else torchvision.models.get_model
        network = build(name).eval()
    network.load_state_dict(
        {key: fill(key, tuple(tensor.shape)) for key, tensor in network.state_dict().items()}
    )
    return network


@pytest.mark.parametrize(
    ("ours", "library", "name"), [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
)
@torch.inference_mode()
def test_other_libraries_tensors_give_their_logits(ours: str, library: str, name: str) -> None:
    peer = foreign(library, name)
    tensors = rename_tensors(ours, peer.state_dict())
    network = load_port(ours, tensors).eval()
    side = 224 if "vgg" in ours or ours == "alexnet" else 139
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    expected = peer(x)
    scale = float(expected.square().mean().sqrt())
    assert float((network(x) - expected).abs().max()) < 1e-3 * scale


@pytest.mark.slow
def test_nasnet_has_timms_names() -> None:
    """Not its outputs: timm's NASNet differs from the original's by some percent for the same tensors."""
    load_port("nasnetalarge", rename_tensors("nasnetalarge", timm.create_model("nasnetalarge").state_dict()))


def test_files_of_2017_have_dots_in_densenets_names() -> None:
    assert rename_tensors(
        "densenet121", {"features.denseblock1.denselayer1.norm.1.weight": torch.ones(1)}
    ).keys() == {"features.denseblock1.denselayer1.norm1.weight"}


@torch.inference_mode()
def test_background_class_is_left_out() -> None:
    torch.manual_seed(0)
    network = build_port("squeezenet1_1", num_classes=1001).eval()
    without = load_port("squeezenet1_1", network.state_dict(), num_classes=1000).eval()
    x = torch.randn(1, 3, 96, 96)
    assert torch.allclose(without(x), network(x)[:, 1:], atol=1e-6)
