"""The port computes what the original library computed.

`golden.json` holds outputs of `pretrainedmodels` 0.7.4 for tensors filled by the rule in `fill`.
"""

import json
from binascii import crc32
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.architectures.senet import SENet, se_resnet50

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


def generator(text: str) -> np.random.Generator:
    return np.random.default_rng(crc32((GOLDEN["salt"] + text).encode()))


def fill(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    rng = generator(name)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) == 1:
        values = rng.normal(0, 0.1, shape)
    else:
        values = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture(scope="module")
def network() -> SENet:
    network = se_resnet50().eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict({name: fill(name, shape) for name, shape in shapes.items()}, strict=True)
    return network


def test_names_shapes_and_order_are_the_originals(network: SENet) -> None:
    golden = GOLDEN["se_resnet50"]["state_dict"]
    assert [(name, list(tensor.shape)) for name, tensor in network.state_dict().items()] == list(
        golden.items()
    )
    assert sum(each.numel() for each in network.parameters()) == GOLDEN["se_resnet50"]["parameters"]


@torch.inference_mode()
def test_outputs_are_the_originals(network: SENet) -> None:
    golden = GOLDEN["se_resnet50"]
    picture = generator("se_resnet50").normal(0, 1, (1, *golden["input_size"])).astype(np.float32)
    features = network.features(torch.from_numpy(picture))
    logits = network.logits(features)[0].numpy()
    assert list(features.shape) == golden["features_shape"]
    assert float(features.norm()) == pytest.approx(golden["features_l2"][0], rel=1e-4)
    error = np.abs(logits[:16] - golden["logits_first"][0]).max() / np.sqrt(np.mean(logits**2))
    assert error < 1e-4
    assert np.linalg.norm(logits) == pytest.approx(golden["logits_l2"][0], rel=1e-4)


@torch.inference_mode()
def test_other_and_rectangular_sizes_go_through(network: SENet) -> None:
    assert network(torch.zeros(2, 3, 96, 160)).shape == (2, 1000)


def test_every_parameter_is_used() -> None:
    network = se_resnet50(num_classes=3)
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(each.grad is not None for each in network.parameters())
