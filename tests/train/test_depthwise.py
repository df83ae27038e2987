"""Gradients of depthwise convolutions: those of torch, whatever the geometry."""

import copy

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from headstart.train import depthwise
from headstart.train.depthwise import convolve, input_gradient, kernel_gradient, use_fast_gradients

axes = st.tuples(st.integers(3, 7), st.integers(1, 3), st.integers(0, 6), st.integers(0, 9))


@given(rows=axes, columns=axes, seed=st.integers(0, 99))
def test_gradients_are_those_of_torch(
    rows: tuple[int, int, int, int], columns: tuple[int, int, int, int], seed: int
) -> None:
    size, stride, padding, more = zip(rows, columns, strict=True)
    padding = tuple(min(zeros, each - 1) for zeros, each in zip(padding, size, strict=True))
    generator = torch.Generator().manual_seed(seed)
    side = [max(1, each - 2 * zeros) + extra for each, zeros, extra in zip(size, padding, more, strict=True)]
    x = torch.randn(2, 3, *side, generator=generator, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(3, 1, *size, generator=generator, dtype=torch.float64, requires_grad=True)
    y = functional.conv2d(x, kernel, None, stride, padding, groups=3)
    slope = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad(y, (x, kernel), slope)
    found = (
        input_gradient(slope, kernel.detach(), x.shape, stride=stride, padding=padding),
        kernel_gradient(slope, x.detach(), kernel.shape, stride=stride, padding=padding),
    )
    for mine, other in zip(found, expected, strict=True):
        assert torch.allclose(mine, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (5, 2, 0), (7, 1, 3)])
def test_in_half_precision_they_are_as_near(size: int, stride: int, padding: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 16, size, stride, padding, groups=16)
    x = torch.randn(4, 16, 17, 17).to(memory_format=torch.channels_last).requires_grad_()
    exact = conv(x)
    slope = torch.randn_like(exact)
    expected = torch.autograd.grad(exact, (x, conv.weight, conv.bias), slope)
    with torch.autocast("cpu", torch.bfloat16):
        y = convolve(x, conv.weight, conv.bias, conv, padding=(padding, padding))
    assert y.dtype == torch.bfloat16
    assert isinstance(y.grad_fn, torch.autograd.function.BackwardCFunction)
    found = torch.autograd.grad(y, (x, conv.weight, conv.bias), slope.bfloat16())
    for mine, other in zip(found, expected, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - other).abs().max() < 0.02 * other.abs().max()


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 8, 3, groups=4),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, groups=4, dilation=2),
        nn.Conv2d(4, 4, 1, groups=4),
        nn.Conv2d(4, 4, 3, padding=3, groups=4),
    ],
    ids=["more channels", "groups of two", "gaps", "1x1", "zeros beyond the kernel"],
)
def test_others_are_left_to_torch(conv: nn.Conv2d) -> None:
    x = torch.randn(2, 4, 9, 9).bfloat16()
    kernel = conv.weight.bfloat16()
    padding = (int(conv.padding[0]), int(conv.padding[1]))
    y = convolve(x, kernel, None, conv, padding=padding)
    assert not isinstance(y.grad_fn, torch.autograd.function.BackwardCFunction)
    assert torch.equal(y, functional.conv2d(x, kernel, None, 1, padding, conv.dilation, conv.groups))


def test_a_network_and_its_copies_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = timm.create_model("convnext_atto", num_classes=4)
    fast = copy.deepcopy(network)
    use_fast_gradients(fast)
    fast = copy.deepcopy(fast)
    asked = []
    real = depthwise.kernel_gradient
    monkeypatch.setattr(
        depthwise, "kernel_gradient", lambda *args, **more: asked.append(1) or real(*args, **more)
    )
    x = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    slopes = []
    for each in (network, fast):
        each.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            loss = each(x).float().logsumexp(1).sum()
        loss.backward()
        slopes.append(torch.cat([p.grad.flatten() for p in each.parameters() if p.grad is not None]))
    assert len(asked) == sum(isinstance(each, nn.Conv2d) and each.groups > 1 for each in network.modules())
    assert functional.cosine_similarity(*slopes, dim=0) > 0.995
    assert list(fast.state_dict()) == list(network.state_dict())
