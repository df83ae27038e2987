"""Shorter parameters whose errors cancel."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import nn

import headstart as hs
from headstart.data.pixels import prepare_picture
from headstart.embed.fuse import FusedConv, fuse
from headstart.embed.rounding import round_filters, to_precision
from headstart.preprocess import to_input


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(64, 32, 3, 3), (48, 1, 5, 5), (10, 256), (10, 257), (3, 1, 1, 1)])
def test_errors_of_a_filter_cancel(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    rounded = round_filters(weight, dtype)
    assert (rounded.dtype, rounded.shape) == (dtype, weight.shape)
    errors = (rounded.float() - weight).flatten(1).double()
    step = weight.abs().flatten(1).max(1).values.double() * torch.finfo(dtype).eps
    assert (errors.abs() <= 1.01 * step[:, None]).all()  # its own rounding, and what was carried on
    num_parts = -(-errors.shape[1] // 256)
    assert (errors.sum(1).abs() <= 0.51 * num_parts * step).all()
    assert torch.equal(round_filters(rounded.float(), dtype), rounded)  # nothing is left to round


def photographs(classifier: hs.Classifier, num: int) -> torch.Tensor:
    """Return cuttings of scikit-learn's two photographs as a network's input."""
    whole = load_sample_images().images
    rng = np.random.default_rng(0)
    pixels = []
    for index in range(num):
        top, left = rng.integers(0, 180), rng.integers(0, 400)
        cutting = whole[index % 2][top : top + 240, left : left + 240]
        pixels.append(prepare_picture(cutting, (classifier.preprocessing,), decoder="exact").pixels[0])
    return to_input(torch.from_numpy(np.stack(pixels)), classifier.preprocessing, dtype=torch.float32)


def one_by_one(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return weight.to(dtype)


@torch.inference_mode()
def test_features_are_nearer_than_with_every_weight_rounded_by_itself() -> None:
    classifier = hs.load("efficientnet_lite0")
    x = photographs(classifier, 12)
    exact = classifier.backbone.eval()(x)

    def median_error(rounding: Callable[[torch.Tensor, torch.dtype], torch.Tensor]) -> float:
        network = copy.deepcopy(classifier.backbone).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(rounding(module.weight, torch.bfloat16))
        return float((1 - torch.cosine_similarity(exact, network(x))).median())

    assert median_error(round_filters) < 0.5 * median_error(one_by_one)


@torch.inference_mode()
def test_biases_and_early_convolutions_stay_whole_on_the_processor() -> None:
    classifier = hs.load("efficientnet_lite0")
    x = photographs(classifier, 4)
    fused = fuse(classifier.backbone.eval(), side=224)
    short = to_precision(copy.deepcopy(fused), torch.bfloat16, device="cpu")
    joined = [each for each in short.modules() if isinstance(each, FusedConv)]
    assert [each.weight.dtype for each in joined] == [torch.float32] * 3 + [torch.bfloat16] * 46
    assert {each.bias.dtype for each in joined if each.bias is not None} == {torch.float32}
    expected = fused(x)
    for layout in (torch.channels_last, torch.contiguous_format):
        found = short.to(memory_format=layout)(x.bfloat16().contiguous(memory_format=layout))
        assert found.dtype == torch.bfloat16
        assert torch.cosine_similarity(expected, found.float()).min() > 0.9985
    whole = copy.deepcopy(fused)
    assert torch.equal(to_precision(whole, torch.float32, device="cpu")(x), expected)


@pytest.mark.parametrize(
    "name",
    [
        "torchvision/densenet121",  # a batch norm that is not joined comes next
        "timm/mobileone_s0",  # a batch norm beside the convolutions
        "timm/poolformer_s12",  # a group norm
        "timm/coatnet_nano_rw_224",  # attention
        "pretrainedmodels/nasnetamobile",  # a convolution with hooks of its own
    ],
)
@torch.inference_mode()
def test_what_follows_an_early_convolution_takes_its_format(name: str) -> None:
    classifier = hs.load(name, weights=None)
    side = classifier.preprocessing.input_size[0]
    fused = fuse(classifier.backbone.eval(), side=side)
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    expected = fused(x)
    found = to_precision(fused, torch.bfloat16, device="cpu")(x.bfloat16())
    assert torch.cosine_similarity(expected, found.float()).min() > 0.998
