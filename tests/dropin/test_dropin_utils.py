"""From a picture's path to a network's input, step by step as the original did it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

import pretrainedmodels
from pretrainedmodels import utils


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


def by_hand(path: Path, settings: dict, resize: int | tuple[int, int]) -> torch.Tensor:
    side = settings["input_size"][1]
    steps = transforms.Compose(
        [transforms.Resize(resize), transforms.CenterCrop(side), transforms.ToTensor()]
    )
    tensor = steps(Image.open(path).convert("RGB"))
    if settings["input_space"] == "BGR":
        tensor = tensor.flip(0)
    tensor = tensor * max(settings["input_range"])
    mean, std = (torch.tensor(settings[key])[:, None, None] for key in ("mean", "std"))
    return (tensor - mean) / std


@pytest.mark.parametrize(
    ("name", "resize"),
    [("resnet18", 256), ("inceptionv4", 341), ("bninception", 256), ("polynet", 378), ("dpn68", 256)],
)
def test_transform_follows_the_settings(name: str, resize: int, path: Path) -> None:
    settings = pretrainedmodels.pretrained_settings[name]["imagenet"]
    expected = by_hand(path, settings, resize)
    for opts in (settings, SimpleNamespace(**settings)):
        found = utils.TransformImage(opts)(Image.open(path).convert("RGB"))
        assert found.dtype == torch.float32
        assert torch.allclose(found, expected, atol=1e-4)
    assert torch.allclose(utils.LoadTransformImage(SimpleNamespace(**settings))(path), expected, atol=1e-4)


def test_squashed_and_random_crops(path: Path) -> None:
    settings = pretrainedmodels.pretrained_settings["resnet18"]["imagenet"]
    squashed = utils.TransformImage(settings, preserve_aspect_ratio=False)
    picture = utils.LoadImage()(path)
    assert torch.allclose(squashed(picture), by_hand(path, settings, (256, 256)), atol=1e-4)
    moving = utils.TransformImage(settings, random_crop=True, random_hflip=True, random_vflip=True)
    torch.manual_seed(0)
    assert not torch.equal(moving(picture), moving(picture))
    assert (moving.scale, moving.random_crop, moving.mean) == (0.875, True, settings["mean"])


def test_rectangular_input(path: Path) -> None:
    settings = {**pretrainedmodels.pretrained_settings["resnet18"]["imagenet"], "input_size": [3, 128, 192]}
    assert utils.LoadTransformImage(SimpleNamespace(**settings))(path).shape == (3, 128, 192)


def test_steps_leave_their_input_alone() -> None:
    tensor = torch.rand(3, 4, 4)
    before = tensor.clone()
    assert torch.equal(utils.ToSpaceBGR(True)(tensor), tensor.flip(0))
    assert torch.equal(utils.ToRange255(True)(tensor), tensor * 255)
    assert torch.equal(utils.ToSpaceBGR(False)(utils.ToRange255(False)(tensor)), before)
    assert torch.equal(tensor, before)
    assert torch.equal(utils.Identity()(tensor), tensor)


def test_grey_and_damaged_pictures(tmp_path: Path) -> None:
    Image.new("L", (40, 30), 128).save(tmp_path / "grey.png")
    assert utils.LoadImage()(tmp_path / "grey.png").mode == "RGB"
    assert utils.LoadImage("L")(str(tmp_path / "grey.png")).mode == "L"
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(OSError, match="cannot identify"):
        utils.LoadImage()(tmp_path / "empty.png")
