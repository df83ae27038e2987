"""What public programs do with the library, in our own words; docs/migrating.md says the same of each.

The weights are random: what a program does with a network is judged here, not where its weights come from.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import pretrainedmodels


@pytest.fixture(autouse=True)
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the constructors build what they would fetch weights for."""
    from headstart.models import ports

    def build(entry: Any, *, num_classes: int | None = None, progress: object = None) -> nn.Module:
        return ports.build_port(entry.architecture, num_classes=num_classes or entry.weights.num_classes)

    monkeypatch.setattr(ports, "pretrained_port", build)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "000001.jpg"
    Image.new("RGB", (400, 300), (90, 60, 30)).save(path)
    return path


def pictures(num_pictures: int, side: int, *, channels: int = 3) -> torch.Tensor:
    return torch.rand(num_pictures, channels, side, side, generator=torch.Generator().manual_seed(0))


def test_age_estimation_pytorch() -> None:
    """yu4u/age-estimation-pytorch, model.py: a head for 101 ages, and a pooling layer for any size."""
    import pretrainedmodels.utils

    model = pretrainedmodels.__dict__["se_resnext50_32x4d"](pretrained="imagenet")
    model.last_linear = nn.Linear(model.last_linear.in_features, 101)
    model.avg_pool = nn.AdaptiveAvgPool2d(1)
    assert model(pictures(2, 96)).shape == (2, 101)
    calls = []
    model.avg_pool.register_forward_hook(lambda *_: calls.append(1))
    model(pictures(2, 64))
    assert calls == [1]  # the layer that was put there is the one that runs


def test_kaggle_human_protein_baseline() -> None:
    """spytensor/kaggle_human_protein_baseline, models/model.py: four channels in, a deeper head out."""
    from pretrainedmodels.models import bninception

    assert inspect.isfunction(bninception)
    model = bninception(pretrained="imagenet")
    model.global_pool = nn.AdaptiveAvgPool2d(1)
    model.conv1_7x7_s2 = nn.Conv2d(4, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3))
    model.last_linear = nn.Sequential(nn.BatchNorm1d(1024), nn.Dropout(0.5), nn.Linear(1024, 28))
    assert model(pictures(2, 128, channels=4)).shape == (2, 28)


@pytest.mark.parametrize(
    ("name", "side", "num_features"), [("inceptionv3", 299, 2048), ("resnet152", 224, 2048)]
)
@torch.no_grad()
def test_video_caption_pytorch(name: str, side: int, num_features: int, photo: Path) -> None:
    """xiadingZ/video-caption.pytorch, prepro_feats.py: the features of a film's frames."""
    from pretrainedmodels import utils

    model = getattr(pretrainedmodels, name)(pretrained="imagenet")
    frame = utils.LoadTransformImage(model)(photo)
    assert frame.shape == (3, side, side)
    model.last_linear = utils.Identity()
    model = nn.DataParallel(model).eval()
    assert model(torch.stack([frame])).squeeze().shape[-1] == num_features


@torch.no_grad()
def test_imagenet_eval(photo: Path) -> None:
    """Cadene/pretrained-models.pytorch, examples/imagenet_eval.py: the library's own program."""
    import pretrainedmodels.utils

    names = sorted(
        name
        for name in pretrainedmodels.__dict__
        if not name.startswith("__") and name.islower() and callable(pretrainedmodels.__dict__[name])
    )
    assert names == sorted(pretrainedmodels.model_names)
    model = pretrainedmodels.__dict__["nasnetamobile"](num_classes=1000, pretrained="imagenet")
    assert round(max(model.input_size) / 0.875) == 256
    for preserve in (True, False):
        transform = pretrainedmodels.utils.TransformImage(model, scale=0.875, preserve_aspect_ratio=preserve)
        tensor = transform(Image.open(photo).convert("RGB"))
    output = nn.DataParallel(model).eval()(tensor[None])
    assert output.topk(5, 1, True, True).indices.shape == (1, 5)


def test_inception_classifier_of_doccano(photo: Path) -> None:
    """doccano/doccano, app/classifier/image/imagenet_classifier.py: the README's recipe."""
    import pretrainedmodels.utils as utils

    model = pretrainedmodels.__dict__["inceptionv3"](num_classes=1000, pretrained="imagenet")
    model.eval()
    tensor = utils.TransformImage(model)(utils.LoadImage()(photo)).unsqueeze(0)
    with torch.no_grad():
        features = model.features(torch.autograd.Variable(tensor, requires_grad=False))
        assert features.shape == (1, 2048, 8, 8)
        torch.testing.assert_close(model.logits(features), model(tensor))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_apache_tvm() -> None:
    """apache/tvm, tests/python/frontend/pytorch/test_forward.py: an example input from the attributes."""
    model = pretrainedmodels.resnet18().float().eval()
    tensor = torch.rand([1, *model.input_size]).float() * 256
    for channel in range(3):
        tensor[:, channel] -= model.mean[channel]
        tensor[:, channel] /= model.std[channel]
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.trace(model, tensor)(tensor), model(tensor))


def test_cnn_finetune() -> None:
    """creafz/pytorch-cnn-finetune, contrib/pretrainedmodels.py: networks cut by their children."""
    from pretrainedmodels.models.dpn import adaptive_avgmax_pool2d
    from pretrainedmodels.models.xception import Xception, pretrained_settings

    assert adaptive_avgmax_pool2d(torch.rand(2, 10, 3, 4), pool_type="avgmax").shape == (2, 10, 1, 1)
    mobile = pretrainedmodels.nasnetamobile(pretrained=None)
    assert [name for name, _ in mobile.named_children()][-4:] == [
        "relu",
        "avg_pool",
        "dropout",
        "last_linear",
    ]
    resnet = pretrainedmodels.inceptionresnetv2(num_classes=1000, pretrained="imagenet")
    features = nn.Sequential(*list(resnet.children())[:-2]).eval()
    assert features(torch.rand(1, 3, 139, 139)).shape == (1, 1536, 3, 3)
    xception = Xception(num_classes=1000)
    xception.last_linear = xception.fc
    del xception.fc
    nn.Sequential(*list(xception.children())[:-1])
    assert pretrained_settings["xception"]["imagenet"]["scale"] == 0.8975
    assert pretrainedmodels.dpn68b().last_linear.in_channels == 832


def test_segmentation_models() -> None:
    """qubvel-org/segmentation_models.pytorch until 0.4, encoders/: subclasses, cut in stages."""
    from pretrainedmodels.models.senet import SENet, SEResNeXtBottleneck, pretrained_settings

    class Encoder(SENet):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            del self.last_linear
            del self.avg_pool

        def forward(self, x: torch.Tensor) -> Any:
            stages = (
                self.layer0[:-1],
                nn.Sequential(self.layer0[-1], self.layer1),
                self.layer2,
                self.layer3,
                self.layer4,
            )
            widths = []
            for stage in stages:
                x = stage(x)
                widths.append(x.shape[1])
            return widths

    encoder = Encoder(
        block=SEResNeXtBottleneck,
        layers=[3, 4, 6, 3],
        downsample_kernel_size=1,
        downsample_padding=0,
        dropout_p=None,
        groups=32,
        inplanes=64,
        input_3x3=False,
        num_classes=1000,
        reduction=16,
    )
    assert encoder(torch.rand(1, 3, 64, 64)) == [64, 256, 512, 1024, 2048]
    whole = pretrainedmodels.se_resnext50_32x4d(pretrained=None).state_dict()
    encoder.load_state_dict({key: value for key, value in whole.items() if not key.startswith("last_linear")})
    assert pretrained_settings["senet154"]["imagenet"]["url"].endswith("senet154-c7b49a05.pth")


def test_segmentation_models_inception_and_dpn() -> None:
    from pretrainedmodels.models.dpn import DPN
    from pretrainedmodels.models.inceptionv4 import InceptionV4

    inception = InceptionV4(num_classes=1001)
    x = torch.rand(1, 3, 139, 139)
    widths = []
    for start, stop in ((None, 3), (3, 5), (5, 9), (9, 15), (15, None)):
        x = inception.features[start:stop](x)
        widths.append(x.shape[1])
    assert widths == [64, 192, 384, 1024, 1536]
    dpn = DPN(
        b=True,
        groups=32,
        inc_sec=(16, 32, 32, 64),
        k_r=128,
        k_sec=(3, 4, 12, 3),
        num_classes=1000,
        num_init_features=10,
        small=True,
        test_time_pool=True,
    )
    dpn.load_state_dict(pretrainedmodels.dpn68b(pretrained=None).state_dict())
    paths = dpn.features[:4](torch.rand(1, 3, 64, 64))  # the residual and the dense one
    assert sum(path.shape[1] for path in paths) == 144


def test_replaced_pools_count() -> None:
    """Programs that put another pooling in the place of the network's own must get what it computes."""
    for name, pool in (
        ("bninception", "global_pool"),
        ("se_resnet50", "avg_pool"),
        ("inceptionresnetv2", "avgpool_1a"),
        ("resnet18", "avgpool"),
        ("nasnetamobile", "avg_pool"),
    ):
        model = pretrainedmodels.__dict__[name](pretrained=None).eval()
        x = torch.rand(1, 3, 139, 139)
        with torch.no_grad():
            before = model(x)
            setattr(model, pool, nn.AdaptiveMaxPool2d(1))
            assert not torch.allclose(model(x), before), name
