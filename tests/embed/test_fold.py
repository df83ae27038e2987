import pytest
import torch
from torch import nn

import headstart as hs
from headstart.embed.fold import fold_batch_norms
from headstart.embed.memory import keep_freed_memory


def count_norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def randomise(network: nn.Module) -> nn.Module:
    """Give every batch norm statistics that folding would get wrong if it mixed them up."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (module.bias, module.running_mean):
                tensor.data.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("starter/efficientnet_lite0", 0),
        ("pretrainedmodels/se_resnet50", 0),
        ("torchvision/resnet18", 0),
        ("torchvision/densenet121", 62),  # those that stand before their convolution
        ("timm/regnetx_002", 0),
    ],
)
@torch.inference_mode()
def test_a_folded_network_computes_the_same(name: str, left: int) -> None:
    network = randomise(hs.load(name, weights=None).backbone)
    folded = fold_batch_norms(network, side=64)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected, found = network(x), folded(x)
    assert count_norms(folded) == left < count_norms(network)
    assert (expected - found).abs().max() < 1e-4 * expected.abs().max()


class Tapped(nn.Module):
    """A convolution whose raw output is used beside its batch norm's: folding would change it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.conv(x)
        return (out + self.norm(out)).mean((2, 3))


class Shared(Tapped):
    """A batch norm that serves two convolutions' outputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.norm(self.conv(x)) + self.norm(self.conv(x * 2))).mean((2, 3))


@pytest.mark.parametrize("kind", [Tapped, Shared])
@torch.inference_mode()
def test_what_cannot_be_folded_is_left_alone(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = randomise(kind())
    x = torch.randn(2, 3, 8, 8)
    folded = fold_batch_norms(network, side=8)
    assert count_norms(folded) == 1
    assert torch.equal(folded(x), network(x))


def test_the_network_itself_is_not_touched() -> None:
    network = hs.load("torchvision/resnet18", weights=None).backbone
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fold_batch_norms(network, side=32)
    after = network.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_keeping_memory_says_whether_it_could_be_done() -> None:
    assert keep_freed_memory() is keep_freed_memory()
