"""What every one of the 45 networks of the drop-in offers, and what was mended."""

import copy
import inspect
import io
from typing import Any

import pytest
import torch
from torch import nn

import pretrainedmodels

# Small ones of different kinds; all 45 run in the longer tiers.
QUICK = ("alexnet", "bninception", "densenet121", "dpn68b", "resnet18", "se_resnet50", "squeezenet1_1")
each_network = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in pretrainedmodels.model_names
    ],
)
ATTRIBUTES = ("input_space", "input_size", "input_range", "mean", "std")


def build(name: str, num_classes: int = 1000) -> Any:
    torch.manual_seed(0)
    return pretrainedmodels.__dict__[name](num_classes=num_classes, pretrained=None)


def pictures(side: int | tuple[int, int], batch: int = 2) -> torch.Tensor:
    height, width = (side, side) if isinstance(side, int) else side
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def side_of(name: str) -> int:
    """Return a side in pixels that is quick and that the network takes."""
    return 139 if "ception" in name and name != "bninception" else 96


@each_network
def test_tutorials_one_line_works(name: str) -> None:
    """Freeze, put a new layer in the place of `last_linear`, train."""
    network = build(name)
    for parameter in network.parameters():
        parameter.requires_grad = False
    network.last_linear = nn.Sequential(nn.Linear(network.last_linear.in_features, 10), nn.LogSoftmax(dim=1))
    output = network.train()(pictures(side_of(name)))
    assert output.shape == (2, 10)
    nn.functional.nll_loss(output, torch.tensor([1, 2])).backward()
    trained = [key for key, parameter in network.named_parameters() if parameter.grad is not None]
    assert trained == ["last_linear.0.weight", "last_linear.0.bias"]


@each_network
def test_settings_are_there_without_weights_and_num_classes_holds(name: str) -> None:
    network = build(name, num_classes=7)
    settings = next(iter(pretrainedmodels.pretrained_settings[name].values()))
    assert {key: getattr(network, key) for key in ATTRIBUTES} == {key: settings[key] for key in ATTRIBUTES}
    network.mean.append(0)
    assert len(settings["mean"]) == 3, "a network must not share its settings with the table"
    assert network.training
    assert network.last_linear.out_features == 7
    assert network(pictures(side_of(name))).shape == (2, 7)


@each_network
@torch.inference_mode()
def test_rectangular_pictures_and_copies(name: str) -> None:
    network = build(name, num_classes=5).eval()
    side = side_of(name)
    x = pictures((side, side + 65), batch=1)
    expected = network(x)
    assert expected.shape == (1, 5)
    assert torch.allclose(network.logits(network.features(x)), expected, atol=1e-5)

    copied = copy.deepcopy(network)
    buffer = io.BytesIO()
    torch.save(network, buffer)
    loaded = torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    for other in (copied, loaded):
        assert torch.equal(other.logits(other.features(x)), expected)
        assert other.input_size == network.input_size


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("resnet18", "squeezenet1_1") else pytest.mark.heavy)
        for name in pretrainedmodels.model_names
    ],
)
@torch.inference_mode()
def test_export(name: str) -> None:
    network = build(name, num_classes=5).eval()
    x = pictures(side_of(name), batch=1)
    exported = torch.export.export(network, (x,)).module()
    assert torch.allclose(exported(x), network(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["resnext101_32x4d", "resnet18"])
def test_no_two_networks_share_weights(name: str) -> None:
    first, second = build(name), build(name)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert one.data_ptr() != other.data_ptr()
    with torch.no_grad():
        next(first.parameters()).add_(1)
    assert not torch.equal(next(first.parameters()), next(second.parameters()))


@each_network
def test_signature(name: str) -> None:
    constructor = getattr(pretrainedmodels, name)
    assert constructor is pretrainedmodels.__dict__[name] is getattr(pretrainedmodels.models, name)
    assert str(inspect.signature(constructor)).startswith("(num_classes: int = 1000, pretrained:")
    assert inspect.signature(constructor).parameters["pretrained"].default == "imagenet"


@torch.inference_mode()
def test_squeezenet_loads_old_names_and_gives_flat_logits() -> None:
    network = build("squeezenet1_1").eval()
    old = {key.replace("last_linear.", "last_conv."): value for key, value in network.state_dict().items()}
    again = pretrainedmodels.squeezenet1_1(pretrained=None).eval()
    again.load_state_dict(old, strict=True)
    assert network(pictures(96)).shape == (2, 1000)
    assert torch.equal(again(pictures(96)), network(pictures(96)))


@torch.inference_mode()
def test_dpn_keeps_its_convolution() -> None:
    network = build("dpn68b").eval()
    assert network.state_dict()["last_linear.weight"].shape == (1000, 832, 1, 1)
    linear = nn.Linear(network.last_linear.in_features, 1000)
    linear.load_state_dict(
        {"weight": network.last_linear.weight.flatten(1), "bias": network.last_linear.bias}
    )
    expected = network(pictures(96))
    network.last_linear = linear
    assert torch.allclose(network(pictures(96)), expected, atol=1e-5)
