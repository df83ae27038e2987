"""Weights come through the real download, from a real server, under whichever library's names."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save
from scripted_server import Server, running_server

import pretrainedmodels
from headstart.catalog.entry import ModelEntry, WeightsSource
from headstart.core.errors import CorruptWeightsError, InputError, UnknownModelError, UnreachableError
from pretrainedmodels.settings import entry_of


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def torchvisions() -> Any:
    torch.manual_seed(3)
    return torchvision.models.squeezenet1_1().eval()


@pytest.fixture
def served(server: Server, torchvisions: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let squeezenet1_1's row point to a file of torchvision's names on the server."""
    content = BytesIO()
    torch.save(torchvisions.state_dict(), content)
    server.files["/squeezenet1_1.pth"] = content.getvalue()
    point_to(f"{server.address}/squeezenet1_1.pth", monkeypatch)
    return "/squeezenet1_1.pth"


def point_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(name: str, tag: str) -> ModelEntry:
        row = entry_of(name, tag)
        source = WeightsSource(kind="url", location=address)
        return replace(row, weights=replace(row.weights, sources=(source,)))

    monkeypatch.setattr("pretrainedmodels.constructors.entry_of", entry)


@torch.inference_mode()
def test_weights_are_fetched_once_and_loaded(server: Server, served: str, torchvisions: Any) -> None:
    x = torch.randn(2, 3, 96, 96)
    for _ in range(2):
        network = pretrainedmodels.squeezenet1_1()
        assert network.training
        assert torch.allclose(network.eval()(x), torchvisions(x), atol=1e-5)
    assert len(server.requests) == 1
    assert network.input_size == [3, 224, 224]


@torch.inference_mode()
def test_num_classes_with_weights_is_a_new_head_on_the_same_features(served: str, torchvisions: Any) -> None:
    network = pretrainedmodels.__dict__["squeezenet1_1"](num_classes=10).eval()
    x = torch.randn(2, 3, 96, 96)
    assert network(x).shape == (2, 10)
    assert (network.last_linear.in_features, network.last_linear.out_features) == (512, 10)
    assert torch.equal(network.features(x), torchvisions.features(x))


def test_a_web_page_in_place_of_weights_is_refused(server: Server, served: str) -> None:
    server.files[served] = b"<!DOCTYPE html><html>gone</html>"
    with pytest.raises(OSError, match="web page"):
        pretrainedmodels.squeezenet1_1()


def test_a_program_in_place_of_weights_is_refused(server: Server, served: str) -> None:
    content = BytesIO()
    torch.save({"weight": print}, content)
    server.files[served] = content.getvalue()
    with pytest.raises(CorruptWeightsError, match="more than tensors"):
        pretrainedmodels.squeezenet1_1()


def test_digits_of_the_name_are_checked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/squeezenet1_1-f364aa15.pth"] = save({"weight": torch.ones(1)})
    point_to(f"{server.address}/squeezenet1_1-f364aa15.pth", monkeypatch)
    with pytest.raises(CorruptWeightsError, match="begins with f364aa15"):
        pretrainedmodels.squeezenet1_1()


def test_no_network_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(UnreachableError, match="HEADSTART_OFFLINE"):
        pretrainedmodels.se_resnet50()


@pytest.mark.parametrize("tag", ["imagenet21k", True])
def test_unknown_weights_are_named(tag: Any) -> None:
    with pytest.raises(KeyError) as caught:
        pretrainedmodels.inceptionv4(pretrained=tag)
    assert isinstance(caught.value, UnknownModelError)
    assert "'imagenet', 'imagenet+background'" in str(caught.value)


@pytest.mark.parametrize("name", ["dpn68b", "dpn92", "dpn107"])
def test_imagenet_means_the_only_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def entry(name: str, tag: str) -> ModelEntry:
        asked.append(tag)
        return entry_of(name, tag)

    monkeypatch.setattr("pretrainedmodels.constructors.entry_of", entry)
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(UnreachableError):
        pretrainedmodels.__dict__[name]()
    assert asked == ["imagenet+5k"]


def test_no_classes_is_an_error() -> None:
    with pytest.raises(InputError, match="num_classes is 0"):
        pretrainedmodels.resnet18(num_classes=0, pretrained=None)


def test_false_means_random_weights() -> None:
    assert pretrainedmodels.squeezenet1_1(pretrained=False).input_range == [0, 1]
