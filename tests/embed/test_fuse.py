import pytest
import torch
from torch import nn
from torch.nn import functional

import headstart as hs
from headstart.embed.fuse import FusedConv, fuse
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
        ("starter/efficientnet_lite0+torchvision/resnet18", 0),
    ],
)
@torch.inference_mode()
def test_a_folded_network_computes_the_same(name: str, left: int) -> None:
    network = randomise(hs.load(name, weights=None).backbone)
    folded = fuse(network, side=64)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected, found = network(x), folded(x)
    assert count_norms(folded) == left < count_norms(network)
    assert (expected - found).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("side", [32, 33, 64])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@torch.inference_mode()
def test_uneven_paddings_and_activations_are_joined(side: int, layout: torch.memory_format) -> None:
    """TensorFlow's "same" at a stride of 2; at 32 px the last stage's inputs are one pixel."""
    network = randomise(hs.load("starter/efficientnet_lite0", weights=None).backbone)
    fused = fuse(network, side=side).to(memory_format=layout)
    x = torch.randn(3, 3, side, side).contiguous(memory_format=layout)
    expected, found = network(x), fused(x)
    assert (expected - found).abs().max() < 1e-4 * expected.abs().max()
    kinds = [type(module) for module in fused.modules()]
    assert kinds.count(FusedConv) == 49
    assert not any(issubclass(kind, nn.Conv2d) for kind in kinds)
    assert sum(isinstance(m, FusedConv) and m.activation is not None for m in fused.modules()) == 33


class Tapped(nn.Module):
    """A convolution whose raw output is used beside its batch norm's: folding would change it."""

    num_norms = 1

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.conv(x)
        return (out + self.norm(out)).mean((2, 3))


class Shared(Tapped):
    """A batch norm that serves two convolutions' outputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.norm(self.conv(x)) + self.norm(self.conv(x * 2))).mean((2, 3))


class Rewritten(Tapped):
    """What the activation gets is no more what the batch norm gave, though it is the same tensor."""

    num_norms = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.norm(self.conv(x))
        out += 0.5
        return self.act(out).mean((2, 3))


class SharedActivation(Tapped):
    num_norms = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.act(self.norm(self.conv(x))) - 0.1).mean((2, 3))


class Watched(Tapped):
    """A hook would not see what is joined."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []
        self.norm.register_forward_hook(lambda _, __, output: self.seen.append(output))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x))).mean((2, 3))


class Standardised(nn.Conv2d):
    """A convolution that does something else than its weights say."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.weight - self.weight.mean(), self.bias)


class WithStandardised(Tapped):
    def __init__(self) -> None:
        super().__init__()
        self.conv = Standardised(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x))).mean((2, 3))


class Reflecting(WithStandardised):
    num_norms = 1

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")


class Looking(Tapped):
    """A rewritten network could not be run: it looks into a module that is another then."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x))[:, : self.conv.out_channels]).mean((2, 3))


@pytest.mark.parametrize(
    "kind", [Tapped, Shared, Rewritten, SharedActivation, Watched, WithStandardised, Reflecting, Looking]
)
@torch.inference_mode()
def test_what_cannot_be_joined_is_left_alone(kind: type[Tapped]) -> None:
    torch.manual_seed(0)
    network = randomise(kind())
    x = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    fused = fuse(network, side=8)
    assert count_norms(fused) == kind.num_norms
    assert isinstance(fused.act, nn.ReLU)
    torch.testing.assert_close(fused(x), network(x), rtol=0 if kind.num_norms else 1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU(),
        nn.ReLU6(inplace=True),
        nn.Hardtanh(-0.5, 0.7),
        nn.LeakyReLU(0.3),
        nn.SiLU(),
        nn.Hardswish(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.GELU(),
        nn.GELU("tanh"),
    ],
    ids=str,
)
@torch.inference_mode()
def test_every_activation_is_the_same_on_the_way(activation: nn.Module) -> None:
    torch.manual_seed(0)
    network = randomise(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), activation))
    x = 4 * torch.randn(2, 3, 9, 9).contiguous(memory_format=torch.channels_last)
    expected = network(x)
    fused = fuse(network, side=9)
    assert [type(module) for module in fused] == [FusedConv, nn.Identity, nn.Identity]
    torch.testing.assert_close(fused(x), expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_a_convolution_that_nothing_joins_stays() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten()).eval()
    assert type(fuse(network, side=9)[0]) is nn.Conv2d


@pytest.mark.parametrize("padding", [0, 1])
@torch.inference_mode()
def test_single_pixels(padding: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 1, padding=padding), nn.ReLU()).eval()
    fused = fuse(network, side=1)
    x = torch.randn(5, 3, 1, 1)
    assert type(fused[0]) is FusedConv
    torch.testing.assert_close(fused(x), network(x))


@torch.inference_mode()
def test_branches_that_run_side_by_side_are_joined_each() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList([nn.Conv2d(3, 4, 3) for _ in range(2)])
            self.norms = nn.ModuleList([nn.BatchNorm2d(4) for _ in range(2)])
            self.acts = nn.ModuleList([nn.ReLU() for _ in range(2)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs = [conv(x) for conv in self.convs]
            outputs = [norm(each) for norm, each in zip(self.norms, outputs, strict=True)]
            return torch.cat([act(each) for act, each in zip(self.acts, outputs, strict=True)], dim=1)

    torch.manual_seed(0)
    network = randomise(Branches())
    fused = fuse(network, side=8)
    x = torch.randn(2, 3, 8, 8)
    assert all(isinstance(act, nn.Identity) for act in (*fused.norms, *fused.acts))
    torch.testing.assert_close(fused(x), network(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_lower_precisions_run_also_where_the_processor_has_no_instructions(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = randomise(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()))
    fused = fuse(network, side=9).to(dtype)
    x = torch.randn(2, 3, 9, 9).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(fused(x.to(dtype)).float(), network(x), rtol=0.05, atol=0.05)


def test_the_network_itself_is_not_touched() -> None:
    network = hs.load("torchvision/resnet18", weights=None).backbone
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fuse(network, side=32)
    after = network.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_keeping_memory_says_whether_it_could_be_done() -> None:
    assert keep_freed_memory() is keep_freed_memory()
