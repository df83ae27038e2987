"""Networks side by side, and features from earlier in a network, export as every other classifier does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_classifier import CLASSES

import headstart as hs
from headstart.export import ExportOptions, onnx_file, openvino_file, torch_file
from headstart.models import Classifier, save_folder
from headstart.preprocess import with_resolution

ONE, BOTH = "timm/test_efficientnet", "timm/test_resnet+timm/test_efficientnet"
LOADERS = {"t.onnx": onnx_file.load, "t.pt2": torch_file.load, "t.xml": openvino_file.load}


def saved(name: str, point: str, folder: Path) -> Classifier:
    """Return a network of random weights with a head, as it comes back from a model folder."""
    network = hs.load(name, weights=None).with_feature_point(point)
    network = network.with_preprocessing(with_resolution(network.preprocessing, 64))
    head = torch.nn.Linear(network.feature_dim, len(CLASSES))
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(0)))
        spread = float(head(network.features(random_input(seed=0))).std())
    # Probabilities that are all 0 or 1 would agree whatever the features are.
    save_folder(network.with_head(head, CLASSES, temperature=spread), folder)
    return hs.load(str(folder))


def random_input(seed: int) -> torch.Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "point", "file"),
    [
        (BOTH, "pooled", "t.onnx"),
        (ONE, "stride16", "t.onnx"),
        (BOTH, "concat", "t.onnx"),
        pytest.param(ONE, "stride8", "t.onnx", marks=pytest.mark.slow),
        pytest.param(BOTH, "concat", "t.pt2", marks=pytest.mark.slow),
        pytest.param(BOTH, "concat", "t.xml", marks=pytest.mark.slow),
    ],
)
def test_the_file_says_what_the_classifier_says(name: str, point: str, file: str, tmp_path: Path) -> None:
    classifier = saved(name, point, tmp_path / "model")
    assert classifier.feature_point == point
    exported = hs.export(classifier, tmp_path / file, options=ExportOptions(max_pictures=4))
    assert exported.parity.largest_difference < 1e-4
    x = random_input(seed=1)
    with torch.inference_mode():
        expected = classifier.probabilities(classifier.features(x)).numpy()
    assert expected.std(0).min() > 1e-3, "a classifier that says one thing only proves nothing"
    assert np.abs(LOADERS[file](tmp_path / file)(x.numpy()) - expected).max() < 1e-5


@pytest.mark.parametrize(("name", "point"), [(BOTH, "pooled"), (ONE, "stride16")])
def test_8_bits(name: str, point: str, tmp_path: Path, photos: Path) -> None:
    classifier = saved(name, point, tmp_path / "model")
    options = ExportOptions(quantize="int8", max_loss=1.0)
    exported = hs.export(classifier, tmp_path / "t.onnx", pictures=str(photos), options=options)
    assert exported.gain is not None
    assert exported.size_bytes < 0.5 * exported.gain.size_bytes
    assert 1e-4 < exported.parity.largest_difference < 0.5
