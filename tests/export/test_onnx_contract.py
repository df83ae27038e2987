"""One table, one contract: every network exports to ONNX, and onnxruntime gives the same answer."""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_outputs import NAMES
from torch import nn

import headstart as hs
from headstart.core.errors import HeadstartError
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
# The cheapest of every file of networks in timm, but of those whose cheapest takes more than 30 billion
# multiply-adds a picture (vision towers of large language models, SAM); and some more.
FAMILIES = (
    "timm/beit_base_patch16_224",
    "timm/cait_xxs24_224",
    "timm/coat_lite_tiny",
    "timm/convit_tiny",
    "timm/convmixer_1024_20_ks9_p14",
    "timm/convnext_atto",
    "timm/cpubone_nano",
    "timm/crossvit_tiny_240",
    "timm/cs3darknet_focus_s",
    "timm/csatv2",
    "timm/cspnext_tiny",
    "timm/davit_tiny",
    "timm/deit_tiny_distilled_patch16_224",
    "timm/deit_tiny_patch16_224",
    "timm/densenet121",
    "timm/dla46x_c",
    "timm/dpn68",
    "timm/edgenext_xx_small",
    "timm/efficientformer_l1",
    "timm/efficientformerv2_s0",
    "timm/efficientvim_m1",
    "timm/efficientvit_b0",
    "timm/efficientvit_m0",
    "timm/ese_vovnet19b_dw",
    "timm/eva02_tiny_patch14_336",
    "timm/fasternet_t0",
    "timm/fastvit_t8",
    "timm/focalnet_tiny_srf",
    "timm/gcvit_xxtiny",
    "timm/ghostnet_100",
    "timm/haloregnetz_b",
    "timm/hardcorenas_a",
    "timm/hgnetv2_b0",
    "timm/hiera_tiny_224",
    "timm/hrnet_w18_small",
    "timm/iformer_t",
    "timm/inception_next_atto",
    "timm/inception_resnet_v2",
    "timm/inception_v3",
    "timm/inception_v4",
    "timm/lcnetv2_small",
    "timm/legacy_seresnet18",
    "timm/legacy_xception",
    "timm/levit_128s",
    "timm/lowformer_b0",
    "timm/mambaout_femto",
    "timm/maxvit_rmlp_pico_rw_256",
    "timm/maxvit_tiny_rw_224",
    "timm/mobilenetv3_small_050",
    "timm/mobilevit_xxs",
    "timm/mvitv2_tiny",
    "timm/nasnetalarge",
    "timm/nest_tiny_jx",
    "timm/nextvit_small",
    "timm/pit_ti_224",
    "timm/pnasnet5large",
    "timm/poolformer_s12",
    "timm/pvt_v2_b0",
    "timm/rdnet_tiny",
    "timm/regnetx_002",
    "timm/repghostnet_050",
    "timm/repvit_m0_9",
    "timm/res2net50_48w_2s",
    "timm/resmlp_12_224",
    "timm/resnest14d",
    "timm/resnetv2_18",
    "timm/resnetv2_50x1_bit",
    "timm/rexnet_100",
    "timm/selecsls42b",
    "timm/sequencer2d_s",
    "timm/shvit_s1",
    "timm/skresnet18",
    "timm/starnet_s1",
    "timm/swiftformer_xs",
    "timm/swin_tiny_patch4_window7_224",
    "timm/swinv2_cr_tiny_ns_224",
    "timm/swinv2_tiny_window8_256",
    "timm/test_byobnet",
    "timm/test_convnext",
    "timm/test_efficientnet",
    "timm/test_nfnet",
    "timm/test_resnet",
    "timm/test_vit",
    "timm/tiny_vit_5m_224",
    "timm/tinynet_e",
    "timm/tnt_s_legacy_patch16_224",
    "timm/tresnet_m",
    "timm/twins_svt_small",
    "timm/vgg11",
    "timm/visformer_tiny",
    "timm/vit_srelpos_small_patch16_224",
    "timm/vit_tiny_patch16_224",
    "timm/vit_tiny_r_s16_p8_224",
    "timm/vitamin_small_224",
    "timm/volo_d1_224",
    "timm/xception41",
    "timm/xcit_nano_12_p16_224",
    "torchvision/googlenet",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/squeezenet1_1",
)
ALL = [f"pretrainedmodels/{name}" for name in NAMES] + list(FAMILIES)


def build(name: str) -> Classifier:
    """Return a network of random weights for small pictures, with probabilities that differ widely."""
    classifier = hs.load(name, weights=None, seed=1)
    for parameter in classifier.parameters():
        if not parameter.any() and parameter.ndim > 1:  # a layer that begins with zeros says nothing
            nn.init.normal_(parameter, std=0.02)
    try:
        side = 128 if any(part in name for part in WIDER) else 96
        small = classifier.with_preprocessing(with_resolution(classifier.preprocessing, side))
        small(random_input(small))
        classifier = small
    except (HeadstartError, RuntimeError, AssertionError, ValueError, TypeError, IndexError):
        pass  # its windows, or its positions, are made for one size
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
