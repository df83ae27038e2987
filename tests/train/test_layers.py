"""Which layers are trained, how fast, and which stay as they are however the network is set to train."""

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import timm
import torch
from timm.layers.drop import DropPath
from torch import nn

from headstart.core.errors import InputError
from headstart.models import Classifier
from headstart.models.batch_norm import batch_norms
from headstart.train import Recipe
from headstart.train.layers import Trainee, untrained_backbone


def trainee_of(classifier: Classifier, recipe: Recipe) -> Trainee:
    assert isinstance(classifier.head, nn.Linear)
    return Trainee(copy.deepcopy(classifier.backbone), copy.deepcopy(classifier.head), recipe=recipe)


def rates(trainee: Trainee) -> dict[str, float]:
    """Return the learning rate of every parameter that is trained, by name, from input to head."""
    rate_of = {
        id(parameter): group["lr"]
        for group in trainee.groups()
        for parameter in group["params"]  # type: ignore[attr-defined]
    }
    return {
        name: rate_of[id(parameter)]
        for name, parameter in trainee.named_parameters()
        if id(parameter) in rate_of
    }


def test_rates_rise_from_input_to_head(begun: Classifier, brief: Recipe) -> None:
    trainee = trainee_of(begun, replace(brief, rate=1e-3, input_rate=0.1))
    found = rates(trainee)
    assert set(found) == {name for name, _ in trainee.named_parameters()}
    values = list(found.values())
    assert values == sorted(values)
    assert values[0] == pytest.approx(1e-4)
    assert found["head.weight"] == pytest.approx(1e-3)
    assert len(set(values)) > 4


def test_all_rates_are_the_same_where_the_recipe_says_so(begun: Classifier, brief: Recipe) -> None:
    found = rates(trainee_of(begun, replace(brief, input_rate=1.0)))
    assert set(found.values()) == {brief.rate}


def test_biases_and_norms_are_not_decayed(begun: Classifier, brief: Recipe) -> None:
    trainee = trainee_of(begun, brief)
    names = {id(parameter): name for name, parameter in trainee.named_parameters()}
    for group in trainee.groups():
        for parameter in group["params"]:  # type: ignore[attr-defined]
            decayed = group["weight_decay"] == brief.weight_decay
            assert decayed == (parameter.ndim > 1), names[id(parameter)]


def test_frozen_norms_and_dropout_stay_in_eval_mode(begun: Classifier, brief: Recipe) -> None:
    backbone = nn.Sequential(copy.deepcopy(begun.backbone), nn.Dropout(0.5), DropPath(0.5))
    trainee = Trainee(backbone, copy.deepcopy(begun.head), recipe=brief)  # type: ignore[arg-type]
    trainee.train()
    assert trainee.training
    assert backbone.training
    norms = [*batch_norms(backbone)]
    assert norms
    assert not any(module.training for module in [*norms, backbone[1], backbone[2]])
    thawed = Trainee(backbone, copy.deepcopy(begun.head), recipe=replace(brief, batch_norm="trained"))  # type: ignore[arg-type]
    thawed.train()
    assert all(module.training for module in norms)
    assert not backbone[1].training


def test_the_tutorials_network_is_frozen_and_in_train_mode(begun: Classifier, brief: Recipe) -> None:
    trainee = trainee_of(begun, replace(brief, layers="last", batch_norm="trained"))
    trainee.train()
    assert trainee.backbone.training
    assert all(norm.training for norm in batch_norms(trainee.backbone))
    assert not any(each.requires_grad for each in trainee.backbone.parameters())


def test_gradual_trains_the_head_alone_first_and_all_from_half_of_the_epochs_on(
    begun: Classifier, brief: Recipe
) -> None:
    trainee = trainee_of(begun, replace(brief, layers="gradual", epochs=8))
    trained = []
    for epoch in range(8):
        trainee.train_layers(epoch)
        trained.append({name for name, each in trainee.backbone.named_parameters() if each.requires_grad})
        assert all(each.requires_grad for each in trainee.head.parameters())
    everything = {name for name, _ in trainee.backbone.named_parameters()}
    assert trained[0] == set()
    assert all(before <= after for before, after in pairwise(trained))
    assert 0 < len(trained[1]) < len(trained[2]) < len(everything)
    assert trained[4:] == [everything] * 4
    deepest = [name for name, _ in trainee.backbone.named_parameters()][-1]
    assert deepest in trained[1]


@pytest.mark.parametrize("layers", ["last", "all"])
def test_what_is_trained_does_not_change_with_the_epoch(
    layers: str, begun: Classifier, brief: Recipe
) -> None:
    trainee = trainee_of(begun, replace(brief, layers=layers))
    for epoch in (0, 5):
        trainee.train_layers(epoch)
        assert {each.requires_grad for each in trainee.backbone.parameters()} == {layers == "all"}


def test_low_rank_additions_are_refused_where_there_is_no_linear_layer(
    begun: Classifier, brief: Recipe
) -> None:
    pytest.importorskip("peft")
    with pytest.raises(InputError, match="of which this network has none") as caught:
        Trainee(
            nn.Sequential(nn.Conv2d(3, 4, 1)),
            nn.Linear(4, 2),
            recipe=replace(brief, layers="lora", lora_rank=2),
        )
    assert "default recipe" in caught.value.hint


def test_low_rank_additions_begin_as_nothing_and_are_added_in(brief: Recipe) -> None:
    pytest.importorskip("peft")
    torch.manual_seed(0)
    backbone = timm.create_model("test_vit", num_classes=0, img_size=32).eval()
    names = set(backbone.state_dict())
    pictures = torch.randn(4, 3, 32, 32)
    before = backbone(pictures)
    trainee = Trainee(
        copy.deepcopy(backbone), nn.Linear(64, 3), recipe=replace(brief, layers="lora", lora_rank=2)
    ).eval()
    assert torch.equal(trainee.backbone(pictures), before)
    trained = [name for name, each in trainee.named_parameters() if each.requires_grad]
    assert {name for name in trained if "lora_" not in name} == {"head.weight", "head.bias"}
    assert len(rates(trainee)) == len(trained) > 2
    with torch.no_grad():
        for name, each in trainee.named_parameters():
            if "lora_B" in name:
                each.normal_(std=0.1)
    adapted = trainee.backbone(pictures)
    assert not torch.allclose(adapted, before, atol=1e-3)
    merged, head = trainee.merged()
    assert set(merged.state_dict()) == names
    torch.testing.assert_close(merged(pictures), adapted, atol=1e-5, rtol=1e-5)
    assert head is trainee.head


def test_an_untrained_network_shares_no_weight_with_the_trained_one(begun: Classifier) -> None:
    torch.manual_seed(1)
    fresh = untrained_backbone(begun)
    for name, each in fresh.named_parameters():
        before = begun.backbone.get_parameter(name)
        assert each is not before
        if each.ndim > 1:
            assert not torch.equal(each, before), name
    assert all(norm.running_mean.eq(0).all() for norm in batch_norms(fresh))  # type: ignore[union-attr]
