"""Features from earlier in a network: for every family the same vocabulary, and nothing else changes."""

import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import headstart as hs
from headstart.catalog import find_model
from headstart.catalog.entry import ModelEntry
from headstart.core.errors import InputError, ModelError, StorageError
from headstart.embed.fuse import fuse
from headstart.models import FEATURE_POINTS, Classifier, load_folder, save_folder
from headstart.models.feature_points import FeatureMap, PointFeatures
from headstart.preprocess import with_resolution

SLOW = pytest.mark.slow
# Name, widths of pooled, stride16 and stride8; 0 where there is no such map.
NETWORKS = [
    ("starter/efficientnet_lite0", 1280, 112, 40),
    ("torchvision/resnet18", 512, 256, 128),
    pytest.param("torchvision/densenet121", 1024, 1024, 512, marks=SLOW),
    ("torchvision/squeezenet1_1", 512, 0, 256),  # it ends at stride 16
    ("torchvision/mobilenet_v3_small", 576 + 448, 48, 24),
    ("timm/test_resnet", 96, 192, 48),
    ("timm/test_efficientnet", 256, 48, 32),
    ("timm/test_convnext", 64, 48, 32),
    ("timm/test_mambaout", 256, 48, 32),  # height, width, channels
    ("timm/test_coatnet", 128, 96, 64),
    ("timm/test_nfnet", 192, 96, 64),
    pytest.param("timm/convnext_atto", 320, 160, 80, marks=SLOW),
    pytest.param("timm/swin_tiny_patch4_window7_224", 768, 384, 192, marks=SLOW),  # height, width, channels
    ("timm/levit_conv_128s", 384, 128, 0),  # only its stem has maps of stride 8
    pytest.param("pretrainedmodels/se_resnet50", 2048, 1024, 512, marks=SLOW),
    ("pretrainedmodels/bninception", 1024, 608, 320),  # has no modules for its blocks
    pytest.param("pretrainedmodels/dpn68b", 832, 704, 320, marks=SLOW),  # hands over pairs
    pytest.param(
        "pretrainedmodels/nasnetamobile", 1056, 1056, 528, marks=SLOW
    ),  # hands over the two last maps
    pytest.param("pretrainedmodels/inceptionv3", 2048, 768, 288, marks=SLOW),  # 17 and 35 of 299 pixels
]
FEW = ("starter/efficientnet_lite0", "timm/test_mambaout", "timm/test_resnet", "timm/test_nfnet")


def entry_of(name: str) -> ModelEntry:
    """Return a row; timm's test networks, which are no rows of the catalogue, are made from one."""
    provider, _, architecture = name.partition("/")
    if not architecture.startswith("test_"):
        return find_model(name)
    entry = find_model("timm/resnet18")
    preprocessing = replace(entry.weights.preprocessing, input_size=(160, 160))
    weights = replace(entry.weights, preprocessing=preprocessing)
    entry = replace(entry, name=name, provider=provider, architecture=architecture, weights=weights)
    return replace(entry, fixed_input_size=architecture == "test_coatnet")


def load(name: str) -> Classifier:
    return hs.load(entry_of(name), weights=None, seed=1)


def pictures(classifier: Classifier, *, seed: int = 0) -> torch.Tensor:
    """Return two pictures, small ones where the network takes any."""
    height, width = classifier.preprocessing.input_size
    if not classifier.entry.fixed_input_size and height < 256:
        height = width = 64
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "pooled", "stride16", "stride8"), NETWORKS)
@torch.inference_mode()
def test_every_family_has_the_points(name: str, pooled: int, stride16: int, stride8: int) -> None:
    plain = load(name)
    x = pictures(plain)
    whole = plain.features(x)
    everything = plain.with_feature_point("concat")
    features = everything.features(x)
    assert features.shape == (2, everything.feature_dim) == (2, pooled + stride16 + stride8)
    assert torch.equal(features[:, :pooled], whole)
    assert torch.equal(plain.features(x), whole)
    assert torch.equal(everything.features(x), features)
    assert everything.backbone_digest() == plain.backbone_digest()
    for point, columns in (
        ("stride16", features[:, pooled : pooled + stride16]),
        ("stride8", features[:, pooled + stride16 :]),
    ):
        if columns.shape[1] == 0:
            with pytest.raises(ModelError, match=f"no feature map for the feature point {point}; it has "):
                plain.with_feature_point(point)
        elif name in FEW:
            one = plain.with_feature_point(point)
            assert one.feature_dim == columns.shape[1]
            assert torch.equal(one.features(x), columns)


@torch.inference_mode()
def test_resnets_points_are_the_means_of_its_stages() -> None:
    plain = load("torchvision/resnet18")
    x = pictures(plain)
    net = plain.backbone
    second = net.layer2(net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x))))))
    third = net.layer3(second)
    assert torch.equal(plain.with_feature_point("stride8").features(x), second.mean((2, 3)))
    assert torch.equal(plain.with_feature_point("stride16").features(x), third.mean((2, 3)))


@torch.inference_mode()
def test_efficientnets_points_are_the_means_of_its_stages() -> None:
    plain = load("starter/efficientnet_lite0")
    x = pictures(plain)
    net = plain.backbone
    second = net.blocks[:3](net.bn1(net.conv_stem(x)))
    fourth = net.blocks[3:5](second)
    assert torch.equal(plain.with_feature_point("stride8").features(x), second.mean((2, 3)))
    assert torch.equal(plain.with_feature_point("stride16").features(x), fourth.mean((2, 3)))


@torch.inference_mode()
def test_swins_axes_are_not_mixed_up() -> None:
    plain = load("timm/swin_tiny_patch4_window7_224")
    x = pictures(plain)
    net = plain.backbone
    third = net.layers[:3](net.patch_embed(x))
    assert third.shape == (2, 14, 14, 384)
    assert torch.equal(plain.with_feature_point("stride16").features(x), third.mean((1, 2)))


@torch.inference_mode()
def test_bninceptions_point_is_its_blocks_output_and_no_branch() -> None:
    plain = load("pretrainedmodels/bninception")
    x = pictures(plain)
    seen = []
    conv = plain.backbone.get_submodule("network.inception_4e_double_3x3_reduce")
    conv.register_forward_pre_hook(lambda _, given: seen.append(given[0].mean((2, 3))))
    point = plain.with_feature_point("stride16")
    seen.clear()
    assert torch.equal(point.features(x), seen[0])


class Cut(nn.Module):
    """A network that is no more than a stem and layers of one resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*(nn.Conv2d(3 if i == 0 else 8, 8, 3, 2, 1) for i in range(4)))
        self.body = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(8)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.stem(x)).mean((2, 3))


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224", "timm/levit_128s", "timm/test_vit", "cut"])
def test_a_network_of_one_resolution_is_refused(name: str) -> None:
    classifier = load("torchvision/resnet18" if name == "cut" else name)
    if name == "cut":
        classifier.backbone = Cut()
    assert classifier.with_feature_point("pooled") is classifier
    for point in ("stride8", "concat"):
        with pytest.raises(ModelError, match=f"feature point {point}; it has pooled$") as caught:
            classifier.with_feature_point(point)
        assert "use pooled" in caught.value.hint


def test_a_map_with_as_many_channels_as_rows_is_refused() -> None:
    """Whether channels are first or last cannot be told then."""
    classifier = load("torchvision/resnet18")
    widths = (4, 4, 28, 28, 14, 14, 6)
    layers = [
        nn.Sequential(nn.Conv2d(a, b, 3, stride, 1), nn.ReLU(), nn.ReLU(), nn.ReLU())
        for a, b, stride in zip((3, *widths), widths, (2, 2, 2, 1, 2, 1, 2), strict=False)
    ]
    classifier.backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match=r"it has pooled$"):
        classifier.with_feature_point("concat")
    layers[5] = nn.Sequential(nn.Conv2d(14, 10, 1), nn.ReLU(), nn.ReLU(), nn.ReLU())
    layers[6] = nn.Conv2d(10, 6, 3, 2, 1)
    classifier.backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert classifier.with_feature_point("stride16").feature_dim == 10


def test_an_unknown_point_is_refused() -> None:
    with pytest.raises(InputError, match="'stride4' is no feature point; they are pooled, stride16"):
        load("torchvision/resnet18").with_feature_point("stride4")


@torch.inference_mode()
def test_points_are_absolute() -> None:
    plain = load("torchvision/resnet18")
    x = pictures(plain)
    deep = plain.with_feature_point("concat")
    assert [each.feature_point for each in (plain, deep)] == ["pooled", "concat"]
    assert deep.with_feature_point("concat") is deep
    again = deep.with_feature_point("stride8")
    assert torch.equal(again.features(x), plain.with_feature_point("stride8").features(x))
    back = deep.with_feature_point("pooled")
    assert (back.head, back.feature_dim, back.feature_point) == (None, 512, "pooled")
    assert torch.equal(back.features(x), plain.features(x))
    hooks = [len(module._forward_pre_hooks) for each in (plain, back) for module in each.modules()]
    assert sum(hooks) == 0
    assert deep.features(x).shape == (2, 896)  # those of the one it came from are still there


@torch.inference_mode()
def test_a_head_and_preprocessing_leave_the_point_alone() -> None:
    deep = load("torchvision/resnet18").with_feature_point("stride16")
    assert (deep.head, deep.classify, deep.class_names) == (None, None, ())
    with pytest.raises(ModelError, match="no classifier of its own"):
        deep(torch.zeros(1, 3, 64, 64))
    headed = deep.with_head(nn.Linear(256, 3), ("a", "b", "c"))
    small = headed.with_preprocessing(with_resolution(headed.preprocessing, 64, fit="pad"))
    x = torch.randn(2, 3, 64, 64)
    assert [each.feature_point for each in (headed, small)] == ["stride16", "stride16"]
    assert small.with_logits_as_features() is small
    assert torch.equal(small(x), headed.head(deep.features(x)))


def test_the_place_does_not_depend_on_the_pictures_size() -> None:
    plain = load("pretrainedmodels/inceptionv3")
    small = plain.with_preprocessing(with_resolution(plain.preprocessing, 96, fit="pad"))
    places = [each.with_feature_point("concat").backbone.maps for each in (plain, small)]
    assert places[0] == places[1]
    assert [each.module for each in places[0]] == ["network.Mixed_7a", "network.Mixed_6a"]


def randomise_norms(network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)


@pytest.mark.parametrize("name", [*FEW, "pretrainedmodels/bninception"])
@torch.inference_mode()
def test_a_fused_network_gives_the_same_features(name: str) -> None:
    deep = load(name).with_feature_point("concat")
    randomise_norms(deep.backbone)
    x = pictures(deep)
    folded = fuse(deep.backbone, side=x.shape[-1])
    count = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (deep.backbone, folded)]
    assert count[1] < count[0] or count == [0, 0]
    expected, found = deep.features(x), folded(x)
    assert (expected - found).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", FEW)
@torch.inference_mode()
def test_features_survive_copies_layouts_and_bf16(name: str) -> None:
    deep = load(name).with_feature_point("concat")
    x = pictures(deep)
    expected = deep.features(x)
    copied = copy.deepcopy(deep.backbone)
    other = pictures(deep, seed=1)
    assert not torch.equal(copied(other), copied(x))
    assert torch.equal(copied(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(deep.backbone))(x), expected)
    last = copied.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.allclose(last, expected, rtol=1e-3, atol=1e-4)
    low = copied.to(torch.bfloat16)(x.bfloat16())
    assert low.dtype == torch.bfloat16
    assert torch.cosine_similarity(low.float(), expected).min() > 0.99


@pytest.mark.parametrize(
    ("name", "backend"), [("timm/test_resnet", "aot_eager"), ("timm/test_mambaout", "eager")]
)
@torch.no_grad()
def test_a_compiled_network_gives_the_same_features(name: str, backend: str) -> None:
    deep = load(name).with_feature_point("concat")
    compiled = torch.compile(copy.deepcopy(deep.backbone), backend=backend)
    for seed in (0, 1):
        x = pictures(deep, seed=seed)
        assert torch.allclose(compiled(x), deep.features(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("point", FEATURE_POINTS)
@torch.inference_mode()
def test_a_saved_folder_keeps_its_point(point: str, tmp_path: Path) -> None:
    deep = load("pretrainedmodels/resnet18").with_feature_point(point)
    classifier = deep.with_head(nn.Linear(deep.feature_dim, 3), ("a", "b", "c"), temperature=1.5)
    small = with_resolution(classifier.preprocessing, 64, fit="pad")
    classifier = classifier.with_preprocessing(small)
    x = torch.randn(2, 3, 64, 64)
    save_folder(classifier, tmp_path / "m")
    again = hs.load(str(tmp_path / "m"))
    save_folder(again, tmp_path / "n")
    for loaded in (again, hs.load(str(tmp_path / "n"))):
        assert torch.equal(loaded(x), classifier(x))
        assert (loaded.feature_point, loaded.feature_dim) == (point, deep.feature_dim)
        assert loaded.backbone_digest() == deep.backbone_digest()
        assert loaded.with_feature_point(point) is loaded
    record = json.loads((tmp_path / "m" / "headstart.json").read_text())
    assert record.get("feature_point", "pooled") == point
    assert ("feature_maps" in record) == (point != "pooled")


def test_a_checkpoint_has_the_points(tiny_models: tuple[str, str], tmp_path: Path) -> None:
    deep = hs.load(tiny_models[0]).with_feature_point("stride16")
    assert deep.feature_dim == 192
    head = nn.Linear(192, 2)
    save_folder(deep.with_head(head, ("a", "b")), tmp_path / "m")
    assert torch.equal(load_folder(tmp_path / "m").head.weight, head.weight)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ('"stride16"', '"stride4"', StorageError, "feature point 'stride4'"),
        ('"layer4"', '"layer9"', ModelError, "no module 'layer9'"),
        ('"feature_maps"', '"maps"', StorageError, "feature point 'stride16' at None"),
        ('"feature_point"', '"point"', ModelError, "do not fit"),  # as in a version that knows of no points
    ],
)
def test_a_record_of_a_point_that_is_none_is_refused(
    old: str, new: str, error: type[Exception], message: str, tmp_path: Path, tiny_models: tuple[str, str]
) -> None:
    deep = hs.load(tiny_models[0]).with_feature_point("stride16")
    save_folder(deep.with_head(nn.Linear(192, 2), ("a", "b")), tmp_path)
    record = tmp_path / "headstart.json"
    text = record.read_text()
    assert old in text
    record.write_text(text.replace(old, new))
    with pytest.raises(error, match=message):
        load_folder(tmp_path)


def test_a_place_that_was_not_run_is_an_error() -> None:
    network = nn.Sequential(nn.Flatten())
    network.spare = nn.Sequential()
    network.forward = lambda x: x.flatten(1)  # type: ignore[method-assign]
    backbone = PointFeatures(network, "stride16", (FeatureMap(module="spare", width=3),))
    with pytest.raises(ModelError, match="did not run"):
        backbone(torch.zeros(1, 3, 4, 4))
