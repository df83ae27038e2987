"""One table, one contract: every network exports to ONNX, and onnxruntime gives the same answer."""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_outputs import NAMES

import headstart as hs
from headstart.export import onnx_file
from headstart.export.graph import Probabilities
from headstart.models import Classifier
from headstart.preprocess import with_resolution

# Exporting takes up to two minutes a network: few among the other tests, one of a kind in the longer tier.
FAST = ("alexnet", "squeezenet1_1")
ONE_OF_A_KIND = (
    *("bninception", "resnet18", "se_resnext50_32x4d", "convnext_atto", "mobilenetv3_small_050"),
    *("swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"),
)
# Several poolings and strides in a row leave nothing of 96 pixels.
WIDER = ("inception", "xception", "polynet")
# Their classifier, or their windows, are made for one size.
OF_ONE_SIZE = ("alexnet", "vgg", "vit", "deit", "levit", "swin", "xcit", "maxvit", "resmlp")
FAMILIES = (
    "timm/convnext_atto",
    "timm/deit_tiny_distilled_patch16_224",
    "timm/ghostnet_100",
    "timm/levit_128s",
    "timm/maxvit_tiny_rw_224",
    "timm/resmlp_12_224",
    "timm/mobilenetv3_small_050",
    "timm/mobilevit_xxs",
    "timm/regnetx_002",
    "timm/resnetv2_50x1_bit",
    "timm/swin_tiny_patch4_window7_224",
    "timm/test_efficientnet",
    "timm/vit_tiny_patch16_224",
    "timm/xcit_nano_12_p16_224",
    "torchvision/googlenet",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/squeezenet1_1",
)
ALL = [f"pretrainedmodels/{name}" for name in NAMES] + list(FAMILIES)


def build(name: str) -> Classifier:
    """Return a network of random weights for small pictures, with probabilities that differ widely."""
    classifier = hs.load(name, weights=None, seed=1)
    if not any(part in name for part in OF_ONE_SIZE):
        side = 128 if any(part in name for part in WIDER) else 96
        classifier = classifier.with_preprocessing(with_resolution(classifier.preprocessing, side))
    spread = float(classifier(random_input(classifier)).std())
    return classifier.with_temperature(spread / 3)


def random_input(classifier: Classifier, seed: int = 0) -> torch.Tensor:
    height, width = classifier.preprocessing.input_size
    return torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(seed))


def tier(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """Return the mark of the tests that a network is exported among; none is the fast ones."""
    short = name.split("/")[1]
    if short in FAST:
        return ()
    return (pytest.mark.slow if short in ONE_OF_A_KIND else pytest.mark.heavy,)


@pytest.mark.parametrize("name", [pytest.param(each, marks=tier(each)) for each in ALL])
@torch.inference_mode()
def test_onnxruntime_says_the_same(name: str, tmp_path: Path) -> None:
    classifier = build(name)
    file = onnx_file.convert(classifier, include_preprocessing=False)
    file.save(tmp_path / "t.onnx", {})
    x = random_input(classifier, seed=1)
    expected = Probabilities(classifier)(x).numpy()
    found = onnx_file.load(tmp_path / "t.onnx")(x.numpy())
    assert expected.std() > 1e-4, "a network that says nothing proves nothing"
    assert np.abs(found - expected).max() < 1e-3
    assert (found.argmax(1) == expected.argmax(1)).all()
