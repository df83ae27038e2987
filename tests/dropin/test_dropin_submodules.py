"""The modules of the families: the original's classes and functions, and layers by its names in its order.

Programs cut networks by counting children, put another pooling in the place of one, subclass the classes.
"""

import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

import pretrainedmodels
from headstart.core.errors import InputError
from headstart.models.ports import build_port
from pretrainedmodels.models import dpn, nasnet, nasnet_mobile, pnasnet, senet, torchvision_models

RESNET = "conv1 bn1 relu maxpool layer1 layer2 layer3 layer4 avgpool last_linear"
SENET = "layer0 layer1 layer2 layer3 layer4 avg_pool"
NASNET_END = "relu avg_pool dropout last_linear"


def numbered(prefix: str, first: int, end: int) -> str:
    return " ".join(f"{prefix}{number}" for number in range(first, end))


def nasnet_children(depth: int) -> str:
    """Return the children of a NASNet with `depth` cells between its reductions."""
    stages = [numbered("cell_", 6 * stage, 6 * stage + depth) for stage in range(3)]
    between = f"{stages[0]} reduction_cell_0 {stages[1]} reduction_cell_1 {stages[2]}"
    return f"conv0 cell_stem_0 cell_stem_1 {between} {NASNET_END}"


CHILDREN = {
    "alexnet": "avgpool _features dropout0 linear0 relu0 dropout1 linear1 relu1 last_linear",
    "cafferesnet101": RESNET,
    "densenet": "features last_linear",
    "dpn": "features last_linear",
    "fbresnet152": RESNET,
    "inceptionresnetv2": "conv2d_1a conv2d_2a conv2d_2b maxpool_3a conv2d_3b conv2d_4a maxpool_5a mixed_5b "
    "repeat mixed_6a repeat_1 mixed_7a repeat_2 block8 conv2d_7b avgpool_1a last_linear",
    "inceptionv3": "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2 "
    "Mixed_5b Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e AuxLogits "
    "Mixed_7a Mixed_7b Mixed_7c avgpool dropout last_linear",
    "inceptionv4": "features avg_pool last_linear",
    "nasnetalarge": nasnet_children(6),
    "nasnetamobile": nasnet_children(4),
    "pnasnet5large": f"conv_0 cell_stem_0 cell_stem_1 {numbered('cell_', 0, 12)} {NASNET_END}",
    "polynet": "stem stage_a reduction_a stage_b reduction_b stage_c avg_pool dropout last_linear",
    "resnet": RESNET,
    "resnext101": "features avg_pool last_linear",
    "se_resne": f"{SENET} last_linear",
    "senet154": f"{SENET} dropout last_linear",
    "squeezenet": "features dropout last_linear relu avgpool",  # `last_linear` was called `last_conv`
    "vgg": "avgpool _features linear0 relu0 dropout0 linear1 relu1 dropout1 last_linear",
    "xception": f"conv1 bn1 relu conv2 bn2 {numbered('block', 1, 13)} conv3 bn3 conv4 bn4 last_linear",
}
POOLS = {
    "bninception": "global_pool",
    "cafferesnet101": "avgpool",
    "fbresnet152": "avgpool",
    "inceptionresnetv2": "avgpool_1a",
    "inceptionv3": "avgpool",
    "inceptionv4": "avg_pool",
    "nasnetamobile": "avg_pool",
    "pnasnet5large": "avg_pool",
    "polynet": "avg_pool",
    "resnet18": "avgpool",
    "resnext101_32x4d": "avg_pool",
    "se_resnet50": "avg_pool",
    "senet154": "avg_pool",
}
SIGNATURES = {
    "bninception.BNInception": "num_classes=1000",
    "cafferesnet.ResNet": "block, layers, num_classes=1000",
    "dpn.DPN": "small=False, num_init_features=64, k_r=96, groups=32, b=False, k_sec=(3, 4, 20, 3), "
    "inc_sec=(16, 32, 24, 128), num_classes=1000, test_time_pool=False",
    "fbresnet.FBResNet": "block, layers, num_classes=1000",
    "inceptionresnetv2.InceptionResNetV2": "num_classes=1001",
    "inceptionv4.InceptionV4": "num_classes=1001",
    "nasnet.NASNetALarge": "num_classes=1001, stem_filters=96, penultimate_filters=4032, "
    "filters_multiplier=2",
    "nasnet_mobile.NASNetAMobile": "num_classes=1001, stem_filters=32, penultimate_filters=1056, "
    "filters_multiplier=2",
    "pnasnet.PNASNet5Large": "num_classes=1001",
    "polynet.PolyNet": "num_classes=1000",
    "resnext.ResNeXt101_32x4d": "num_classes=1000",
    "resnext.ResNeXt101_64x4d": "num_classes=1000",
    "senet.SEBottleneck": "inplanes, planes, groups, reduction, stride=1, downsample=None",
    "senet.SEModule": "channels, reduction",
    "senet.SENet": "block, layers, groups, reduction, dropout_p=0.2, inplanes=128, input_3x3=True, "
    "downsample_kernel_size=3, downsample_padding=1, num_classes=1000",
    "xception.Xception": "num_classes=1000",
}
OLD_SENET = {"inplanes": 64, "input_3x3": False, "downsample_kernel_size": 1, "downsample_padding": 0}
DPN_68 = {"small": True, "num_init_features": 10, "k_r": 128, "inc_sec": (16, 32, 32, 64)}
DPN_68 |= {"k_sec": (3, 4, 12, 3)}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def class_of(path: str) -> Any:
    """Return a class by its module's name, which may be a constructor's too, and its own."""
    module, name = path.split(".")
    return getattr(importlib.import_module(f"pretrainedmodels.models.{module}"), name)


def shapes(network: nn.Module) -> list[tuple[str, torch.Size]]:
    return [(name, tensor.shape) for name, tensor in network.state_dict().items()]


def picture(side: int, *, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", pretrainedmodels.model_names)
def test_children_stand_in_the_originals_order(name: str) -> None:
    with torch.device("meta"):
        children = [child for child, _ in build_port(name).named_children()]
    if name == "bninception":  # the layers without tensors among its 221 children are left out
        assert (children[0], children[-2:]) == ("conv1_7x7_s2", ["global_pool", "last_linear"])
    else:
        family = max((each for each in CHILDREN if name.startswith(each)), key=len)
        assert children == CHILDREN[family].split()


@pytest.mark.parametrize("name", POOLS)
@torch.inference_mode()
def test_another_pooling_in_the_place_of_one_counts(name: str) -> None:
    network: Any = build_port(name, num_classes=3).eval()
    features = torch.randn(2, network.last_linear.in_features, 3, 4)
    shown = features.relu() if "nasnet" in name else features
    torch.testing.assert_close(network.pool(features), shown.mean((2, 3)))
    assert isinstance(getattr(network, POOLS[name]), nn.AdaptiveAvgPool2d)
    setattr(network, POOLS[name], nn.AdaptiveMaxPool2d(1))
    torch.testing.assert_close(network.logits(features), network.last_linear(shown.amax((2, 3))))


@pytest.mark.parametrize("path", SIGNATURES)
def test_signatures(path: str) -> None:
    parameters = inspect.signature(class_of(path)).parameters.values()
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
    assert ", ".join(map(str, plain)) == SIGNATURES[path]
    assert class_of(path).__doc__


@pytest.mark.parametrize(
    ("name", "path", "arguments"),
    [
        ("bninception", "bninception.BNInception", {}),
        ("cafferesnet101", "cafferesnet.ResNet", {"layers": (3, 4, 23, 3)}),
        ("dpn68", "dpn.DPN", DPN_68),
        ("dpn68b", "dpn.DPN", {**DPN_68, "b": True}),
        ("dpn92", "dpn.DPN", {}),
        (
            "dpn107",
            "dpn.DPN",
            {"num_init_features": 128, "k_r": 200, "groups": 50, "k_sec": (4, 8, 20, 3)}
            | {"inc_sec": (20, 64, 64, 128)},
        ),
        ("fbresnet152", "fbresnet.FBResNet", {"layers": (3, 8, 36, 3)}),
        ("inceptionresnetv2", "inceptionresnetv2.InceptionResNetV2", {}),
        ("inceptionv4", "inceptionv4.InceptionV4", {}),
        ("nasnetalarge", "nasnet.NASNetALarge", {}),
        ("nasnetamobile", "nasnet_mobile.NASNetAMobile", {}),
        ("pnasnet5large", "pnasnet.PNASNet5Large", {}),
        ("polynet", "polynet.PolyNet", {}),
        ("resnext101_32x4d", "resnext.ResNeXt101_32x4d", {}),
        ("resnext101_64x4d", "resnext.ResNeXt101_64x4d", {}),
        ("senet154", "senet.SENet", {"block": senet.SEBottleneck, "layers": [3, 8, 36, 3], "groups": 64}),
        (
            "se_resnet101",
            "senet.SENet",
            {"block": senet.SEResNetBottleneck, "layers": [3, 4, 23, 3], "groups": 1, **OLD_SENET},
        ),
        (
            "se_resnext50_32x4d",
            "senet.SENet",
            {"block": senet.SEResNeXtBottleneck, "layers": [3, 4, 6, 3], "groups": 32, **OLD_SENET},
        ),
    ],
)
def test_a_class_builds_what_the_constructor_builds(
    name: str, path: str, arguments: dict[str, object]
) -> None:
    if "layers" in arguments and "block" not in arguments:
        arguments = {**arguments, "block": class_of(f"{path.split('.')[0]}.Bottleneck")}
    if path == "senet.SENet":
        arguments = {**arguments, "reduction": 16}
    with torch.device("meta"):
        network = class_of(path)(num_classes=7, **arguments)
        assert isinstance(network, type(build_port(name)))
        assert shapes(network) == shapes(build_port(name, num_classes=7))


def test_xception_the_class_has_fc_until_it_is_renamed() -> None:
    network = class_of("xception.Xception")(num_classes=5).eval()
    assert list(network.state_dict())[-2:] == ["fc.weight", "fc.bias"]
    assert [name for name, _ in network.named_children()][-1] == "fc"
    network.last_linear = network.fc
    del network.fc
    assert network(picture(96)).shape == (1, 5)


@torch.inference_mode()
def test_dpn_the_class_passes_its_two_paths_on_as_a_pair() -> None:
    network = dpn.DPN(**DPN_68, b=True, num_classes=5).eval()
    port: Any = build_port("dpn68b", num_classes=5).eval()
    port.load_state_dict(network.state_dict())
    stage, rest, x = network.features[:4], network.features[4:], picture(64)
    residual, dense = stage(x)
    assert (residual.shape[1], dense.shape[1]) == (64, 80)
    torch.testing.assert_close(torch.cat((residual, dense), dim=1), port.features[:4](x))
    torch.testing.assert_close(rest((residual, dense)), port.features(x))
    torch.testing.assert_close(network(x), port(x))


def test_adaptive_avgmax_pool2d() -> None:
    x = torch.tensor([[[[1.0, 2.0, 6.0]], [[0.0, 0.0, 3.0]]]])
    values = {kind: dpn.adaptive_avgmax_pool2d(x, kind) for kind in ("avg", "max", "avgmax", "avgmaxc")}
    assert values["avgmax"].shape == (1, 2, 1, 1)
    flat = {kind: value.flatten().tolist() for kind, value in values.items()}
    assert flat == {"avg": [3, 1], "max": [6, 3], "avgmax": [4.5, 2], "avgmaxc": [3, 1, 6, 3]}


@torch.inference_mode()
def test_pnasnet_cells_take_the_older_output_first() -> None:
    network = pnasnet.PNASNet5Large().eval()
    x = network.conv_0(picture(64))
    older = network.cell_stem_0(x)
    newer = network.cell_stem_1(x, older)
    for number in range(12):
        older, newer = newer, getattr(network, f"cell_{number}")(older, newer)
    torch.testing.assert_close(newer, network.features(picture(64)))


@torch.inference_mode()
def test_nasnet_cells_take_the_newer_output_first() -> None:
    network = nasnet_mobile.NASNetAMobile(penultimate_filters=24 * 8).eval()
    assert network.penultimate_filters == network.last_linear.in_features == 24 * 8
    x = network.conv0(picture(64))
    older = network.cell_stem_0(x)
    newer = network.cell_stem_1(x, older)
    for name in nasnet_children(4).split()[3:-4]:
        older, newer = newer, getattr(network, name)(newer, older)
    torch.testing.assert_close(newer, network.features(picture(64)))


def test_what_cannot_be_built_is_said() -> None:
    with pytest.raises(InputError, match="filters_multiplier is 3"):
        nasnet.NASNetALarge(filters_multiplier=3)
    for path in ("fbresnet.FBResNet", "cafferesnet.ResNet"):
        with pytest.raises(InputError, match="block is"):
            class_of(path)(senet.SEBottleneck, [1, 1, 1, 1])


@torch.inference_mode()
def test_dropout_of_a_senet_that_has_none_may_be_set() -> None:
    network: Any = build_port("se_resnet50", num_classes=3)
    assert network.dropout is None
    network.dropout = nn.Dropout(1.0)
    features = torch.randn(2, 2048, 2, 2)
    assert torch.equal(network.logits(features), network.last_linear.bias.expand(2, 3))
    network.eval()
    assert not torch.equal(network.logits(features), network.last_linear.bias.expand(2, 3))


class DoubledBlock(senet.SEResNeXtBottleneck):  # type: ignore[misc]
    """A block of a program's own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def test_blocks_of_senet_are_the_originals_and_may_be_replaced() -> None:
    network: Any = build_port("se_resnext50_32x4d")
    assert sum(type(each) is senet.SEResNeXtBottleneck for each in network.modules()) == 16
    module = network.layer1[0].se_module
    assert [name for name, _ in module.named_children()] == ["avg_pool", "fc1", "relu", "fc2", "sigmoid"]

    arguments = {"layers": [1, 1, 1, 1], "groups": 8, "reduction": 16, **OLD_SENET}
    plain = senet.SENet(senet.SEResNeXtBottleneck, **arguments).eval()
    doubled = senet.SENet(DoubledBlock, **arguments).eval()
    doubled.load_state_dict(plain.state_dict())
    assert type(doubled.layer3[0]) is DoubledBlock
    assert plain.layer1[0].conv2.out_channels == 32  # four channels a group
    with torch.inference_mode():
        x = plain.layer0(picture(64))
        torch.testing.assert_close(doubled.layer1(x), 2 * plain.layer1(x))


def test_a_weight_set_is_loaded_into_a_network_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given: Any = build_port("se_resnet50")
    fetched = []

    def fetch(weights: Any, *, progress: object) -> SimpleNamespace:
        fetched.append(weights)
        return SimpleNamespace(path="file")

    monkeypatch.setattr("pretrainedmodels.classes.weights.fetch", fetch)
    monkeypatch.setattr("pretrainedmodels.classes.weights.read_tensors", lambda path: given.state_dict())
    network = senet.SENet(senet.SEResNetBottleneck, [3, 4, 6, 3], 1, 16, None, 64, False, 1, 0)
    settings = senet.pretrained_settings["se_resnet50"]["imagenet"]
    assert senet.initialize_pretrained_model(network, 1000, settings) is None
    assert torch.equal(network.last_linear.weight, given.last_linear.weight)
    assert (network.input_size, network.input_space, network.std) == (
        [3, 224, 224],
        "RGB",
        settings["std"],
    )
    assert any("se_resnet50-ce0d4300" in source.location for source in fetched[0].sources)
    with pytest.raises(InputError, match="10"):
        senet.initialize_pretrained_model(network, 10, settings)
    with pytest.raises(InputError, match="not one of the weight sets"):
        torchvision_models.load_pretrained(network, 1000, {**settings, "url": "elsewhere"})


@torch.inference_mode()
def test_modify_resnets() -> None:
    network: Any = torchvision.models.resnet18(num_classes=3).eval()
    expected = network(picture(64, batch=2))
    modified = torchvision_models.modify_resnets(network)
    assert modified is network
    assert (network.fc, network.last_linear.out_features) == (None, 3)
    torch.testing.assert_close(network.logits(network.features(picture(64, batch=2))), expected)
    torch.testing.assert_close(network(picture(64, batch=2)), expected)


def test_settings_are_shared_between_the_modules() -> None:
    import pretrainedmodels.models.utils as together

    assert together.pretrained_settings is pretrainedmodels.pretrained_settings
    assert together.model_names is pretrainedmodels.model_names
    assert [name for family in together.all_settings for name in family] == pretrainedmodels.model_names
    for family in together.all_settings:
        for name, settings in family.items():
            assert settings is pretrainedmodels.pretrained_settings[name]


@pytest.mark.parametrize("family", sorted({path.split(".")[0] for path in SIGNATURES}))
def test_star_import_gives_constructors_and_classes(family: str) -> None:
    names: dict[str, Any] = {}
    exec(f"from pretrainedmodels.models.{family} import *", names)
    for name in names["pretrained_settings"]:
        assert names[name] is getattr(pretrainedmodels, name)
    classes = {path.split(".")[1] for path in SIGNATURES if path.startswith(f"{family}.")}
    assert classes <= names.keys()


def test_modules_cost_no_torch_until_a_class_is_asked_for() -> None:
    code = (
        "import sys, pretrainedmodels.models.senet, pretrainedmodels.models.xception as module\n"
        "from pretrainedmodels.models import xception\n"
        "print(type(xception).__name__, 'torch' in sys.modules)\n"
        "from pretrainedmodels.models.xception import Xception\n"
        "print(type(Xception).__name__, 'torch' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["function", "False", "type", "True"]


def test_an_unknown_name_is_an_error() -> None:
    assert not hasattr(senet, "SENet2")
    with pytest.raises(ImportError, match=r"pretrainedmodels\.models\.dpn"):
        exec("from pretrainedmodels.models.dpn import DPN2")
