"""Every one of the 45 networks has the original's tensors and computes the original's outputs."""

import numpy as np
import pytest
import torch
from golden_outputs import GOLDEN, NAMES, REPRESENTATIVES, fill, picture

from headstart.models.ports import build_port

LARGEST_ERROR = 1e-3  # over the row's root mean square; summation order differs between machines

each_network = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in REPRESENTATIVES else pytest.mark.slow) for name in NAMES]
)


@each_network
@torch.inference_mode()
def test_tensors_and_outputs_are_the_originals(name: str) -> None:
    golden = GOLDEN["models"][name]
    network = build_port(name).eval()

    own = [(key, list(tensor.shape)) for key, tensor in network.state_dict().items()]
    assert own == [(renamed(key), shape) for key, shape in golden["state_dict"].items()]
    assert sum(each.numel() for each in network.parameters()) == golden["parameters"]

    network.load_state_dict({key: fill(key, tuple(shape)) for key, shape in golden["state_dict"].items()})
    features = network.features(picture(name))
    logits = network.logits(features).flatten(1)[0].numpy()
    assert list(features.shape) == golden["features_shape"]
    scale = float(np.sqrt(np.mean(logits**2)))
    assert np.abs(logits[:16] - golden["logits_first"][0]).max() / scale < LARGEST_ERROR
    assert np.linalg.norm(logits) == pytest.approx(golden["logits_l2"][0], rel=LARGEST_ERROR)
    assert logits.sum() == pytest.approx(golden["logits_sum"][0], abs=LARGEST_ERROR * scale * logits.size)


def renamed(key: str) -> str:
    """Return our name of a tensor: SqueezeNet's classifier alone was called otherwise."""
    return key.replace("last_conv.", "last_linear.")


def test_every_family_has_a_representative() -> None:
    from headstart.models.ports import own_ports
    from headstart.models.torchvision_ports import FORMS

    kinds = {name: network for name, (network, _) in own_ports().items()} | dict(FORMS)
    assert set(kinds) == set(NAMES)
    assert {kinds[name] for name in REPRESENTATIVES} == set(kinds.values())
