"""Batch norms with the statistics of one's own pictures."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import headstart as hs
from headstart.core.errors import InputError, ModelError
from headstart.models import Classifier, has_batch_norms, reestimate_batch_norms, save_folder

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Small(nn.Module):
    """Two batch norms, the second after the pooling, and a dropout that must stay off."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.dropout, self.linear, self.second = nn.Dropout(0.5), nn.Linear(4, 5), nn.BatchNorm1d(5)
        self.unused = nn.BatchNorm2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(self.conv(x)).relu().mean((2, 3))
        return self.second(self.linear(self.dropout(x)))


def small() -> Classifier:
    """Return a classifier in float64 with the network above."""
    torch.manual_seed(0)
    classifier = hs.load("torchvision/resnet18", weights=None)
    classifier.backbone = Small()
    return classifier.double().eval()


def batches(*sizes: int, side: int = 10, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 3, side, side, generator=generator, dtype=dtype) * 2 + n for n in sizes]


def moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and unbiased variance of each channel."""
    rows = x.transpose(0, 1).flatten(1)
    return rows.mean(1), rows.var(1)


@torch.no_grad()
def test_statistics_are_those_of_a_hand_computation() -> None:
    classifier = small()
    inputs = batches(8, 8, 3)
    net = reestimate_batch_norms(classifier, inputs).backbone
    first: list[tuple[torch.Tensor, ...]] = []
    second: list[tuple[torch.Tensor, ...]] = []
    for x in inputs:
        convolved = net.conv(x)
        mean, var = moments(convolved)
        first.append((mean, var))
        biased = convolved.transpose(0, 1).flatten(1).var(1, unbiased=False)
        normed = (convolved - mean[:, None, None]) / (biased[:, None, None] + net.first.eps).sqrt()
        second.append(moments(net.linear(normed.relu().mean((2, 3)))))
    weights = torch.tensor([8, 8, 3], dtype=torch.float64) / 19
    for norm, batch_moments in ((net.first, first), (net.second, second)):
        for found, each in zip(
            (norm.running_mean, norm.running_var), zip(*batch_moments, strict=True), strict=True
        ):
            expected = (torch.stack(each) * weights[:, None]).sum(0)
            assert torch.allclose(found, expected, rtol=1e-12)
    together = net.conv(torch.cat(inputs)).transpose(0, 1).flatten(1).mean(1)
    assert torch.allclose(net.first.running_mean, together, rtol=1e-12)  # of all pictures, not of all batches
    assert torch.equal(net.unused.running_var, torch.ones(2).double())


@torch.no_grad()
def test_resnets_statistics_are_those_of_torchs_cumulative_mean() -> None:
    classifier = hs.load("torchvision/resnet18", weights=None)
    inputs = batches(4, 4, side=64, dtype=torch.float32)
    adapted = reestimate_batch_norms(classifier, inputs)
    expected = hs.load("torchvision/resnet18", weights=None).backbone
    for module in expected.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.train()
    for x in inputs:
        expected(x)
    found = adapted.backbone.state_dict()
    for name, tensor in expected.state_dict().items():
        assert torch.allclose(found[name].double(), tensor.double(), rtol=1e-4, atol=1e-6), name
    mean, _ = moments(classifier.backbone.conv1(torch.cat(inputs)))
    assert torch.allclose(adapted.backbone.bn1.running_mean, mean, rtol=1e-4, atol=1e-5)
    assert adapted.backbone.bn1.momentum == 0.1
    assert not any(module.training for module in adapted.modules())
    assert sum(len(module._forward_pre_hooks) for module in adapted.modules()) == 0


def test_it_is_a_copy_and_the_same_each_time() -> None:
    classifier = hs.load("torchvision/resnet18", weights=None)
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    digest = classifier.backbone_digest()
    inputs = batches(3, 2, side=40, dtype=torch.float32)
    once, twice = (reestimate_batch_norms(classifier, iter(inputs)) for _ in range(2))
    assert once.backbone_digest() == twice.backbone_digest() != digest == classifier.backbone_digest()
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), classifier.parameters(), strict=True))
    assert (once.class_names, once.preprocessing) == (classifier.class_names, classifier.preprocessing)


@pytest.mark.parametrize(("sizes", "joined"), [((4, 1), (5,)), ((1, 4), (5,)), ((4, 0, 3, 1), (4, 4))])
def test_a_single_picture_joins_its_neighbour(sizes: tuple[int, ...], joined: tuple[int, ...]) -> None:
    everything = torch.cat(batches(4, 4))[: sum(sizes)]
    first, second = (
        reestimate_batch_norms(small(), everything.split(cut)).backbone_digest()  # type: ignore[no-untyped-call]
        for cut in (sizes, joined)
    )
    assert first == second


def test_too_few_pictures_are_refused() -> None:
    for inputs in ([], batches(0)):
        with pytest.raises(InputError, match="no pictures"):
            reestimate_batch_norms(small(), inputs)
    with pytest.raises(ModelError, match="one picture is too few"):
        reestimate_batch_norms(small(), batches(1))


@pytest.mark.parametrize("name", ["timm/convnext_atto", "torchvision/squeezenet1_1"])
def test_a_network_without_batch_norms_is_refused(name: str) -> None:
    classifier = hs.load(name, weights=None)
    assert not has_batch_norms(classifier)
    with pytest.raises(ModelError, match="has no batch norms") as caught:
        reestimate_batch_norms(classifier, batches(2, side=64, dtype=torch.float32))
    assert "leave the option out" in caught.value.hint
    assert not has_batch_norms(nn.BatchNorm2d(3, track_running_stats=False))


@torch.inference_mode()
def test_what_classifies_as_a_whole_has_the_same_statistics() -> None:
    classifier = hs.load("timm/levit_128s", weights=None)
    adapted = reestimate_batch_norms(classifier, batches(4, side=224, dtype=torch.float32))
    whole = dict(adapted.classify.named_buffers())
    shared = [name for name, _ in adapted.backbone.named_buffers() if name.endswith("running_mean")]
    assert len(shared) == 50
    assert all(torch.equal(whole[name], adapted.backbone.get_buffer(name)) for name in shared)
    assert whole["head.bn.running_mean"].abs().max() > 0
    assert whole["stem.conv1.bn.running_mean"].abs().max() > 0


def keep(classifier: Classifier) -> Classifier:
    return classifier


def stride16(classifier: Classifier) -> Classifier:
    return classifier.with_feature_point("stride16")


@pytest.mark.parametrize("place", [keep, stride16])
@torch.inference_mode()
def test_a_saved_folder_has_the_statistics(place: Callable[[Classifier], Classifier], tmp_path: Path) -> None:
    plain = place(hs.load("starter/efficientnet_lite0", weights=None))
    inputs = batches(4, side=64, dtype=torch.float32)
    adapted = reestimate_batch_norms(plain, inputs)
    assert adapted.feature_point == plain.feature_point
    assert not torch.allclose(adapted.features(inputs[0]), plain.features(inputs[0]))
    headed = adapted.with_head(nn.Linear(adapted.feature_dim, 2), ("a", "b"))
    save_folder(headed, tmp_path)
    again = hs.load(str(tmp_path))
    assert torch.equal(again(inputs[0]), headed(inputs[0]))
    assert again.backbone_digest() == adapted.backbone_digest() != plain.backbone_digest()


def test_training_mode_changes_batch_norms_alone() -> None:
    """All norms of a network are found, whichever library's they are."""
    for name in ("timm/mobilenetv3_small_050", "pretrainedmodels/se_resnet50"):
        network = hs.load(name, weights=None)
        assert has_batch_norms(network)
        x = batches(2, side=64, dtype=torch.float32)
        adapted = reestimate_batch_norms(network, x)
        changed = [
            name
            for name, tensor in adapted.backbone.state_dict().items()
            if not torch.equal(tensor, network.backbone.state_dict()[name])
        ]
        norms = [name for name, module in network.backbone.named_modules() if isinstance(module, NORMS)]
        assert len(changed) == 3 * len(norms)  # mean, variance and number of batches
