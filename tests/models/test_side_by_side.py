"""Networks side by side: each one's own features behind one another, whatever normalisation each expects."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import headstart as hs
from headstart.catalog import find_model
from headstart.catalog.entry import Preprocessing
from headstart.core.errors import InputError, ModelError, StorageError, UnreachableError
from headstart.models import Classifier, reestimate_batch_norms, resolve, save_folder
from headstart.models.side_by_side import InputMap
from headstart.preprocess import to_input, with_resolution

PAIR = "efficientnet_lite0+efficientnet_lite1"
NORMALISATIONS = {
    "ImageNet": Preprocessing(),
    "halves": Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    "Caffe": Preprocessing(
        input_space="BGR", input_range=(0.0, 255.0), mean=(104.0, 117.0, 124.0), std=(1.0, 1.0, 1.0)
    ),
    "signs": Preprocessing(input_range=(-1.0, 1.0), mean=(0.1, 0.2, -0.3), std=(0.7, 0.8, 0.9)),
}


def pixels(side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, side, side, 3), generator=generator, dtype=torch.uint8)


def at_size(classifier: Classifier, side: int = 64) -> Classifier:
    return classifier.with_preprocessing(with_resolution(classifier.preprocessing, side))


@torch.inference_mode()
def features(
    classifier: Classifier, side: int = 64, layout: torch.memory_format = torch.channels_last
) -> torch.Tensor:
    x = to_input(pixels(side), classifier.preprocessing).contiguous(memory_format=layout)
    return classifier.to(memory_format=layout).features(x)


@pytest.fixture
def pair_of(
    tiny_models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """A function that gives two small networks normalisations and returns the name of the pair."""

    def make(*normalisations: Preprocessing) -> str:
        rows = []
        for name, file, normalisation in zip("ab", tiny_models, normalisations, strict=True):
            architecture, _, path = file.partition("@")
            settings = {
                key: getattr(normalisation, key) for key in ("input_space", "input_range", "mean", "std")
            }
            row = {"name": f"mine/{name}", "architecture": architecture, "file": path}
            rows.append({**row, "preprocessing": settings})
        (tmp_path / "rows.json").write_text(json.dumps(rows))
        monkeypatch.setenv("HEADSTART_CATALOG", str(tmp_path / "rows.json"))
        return "mine/a+mine/b"

    return make


@pytest.mark.parametrize("given", NORMALISATIONS)
@pytest.mark.parametrize("wanted", NORMALISATIONS)
def test_an_input_in_one_normalisation_becomes_that_of_the_other(given: str, wanted: str) -> None:
    first, second = NORMALISATIONS[given], NORMALISATIONS[wanted]
    mapped = InputMap(first, second)(to_input(pixels(), first))
    expected = to_input(pixels(), second)
    assert torch.allclose(mapped, expected, atol=1e-6 * float(expected.abs().max()), rtol=0)
    if given == wanted:
        assert torch.equal(mapped, expected)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_features_are_those_of_each_network_to_the_bit(layout: torch.memory_format) -> None:
    pair, members = hs.load(PAIR), [hs.load(name) for name in PAIR.split("+")]
    assert pair.feature_dim == 2560
    assert (pair.head, pair.class_names, pair.license) == (None, (), "Apache-2.0")
    assert pair.network == "timm/tf_efficientnet_lite0+timm/tf_efficientnet_lite1"
    assert pair.num_params == sum(p.numel() for each in members for p in each.backbone.parameters())
    found, *expected = [features(at_size(each), layout=layout) for each in (pair, *members)]
    assert torch.equal(found, torch.cat(expected, dim=1))
    with pytest.raises(ModelError, match="no classifier of its own"):
        pair.logits(torch.zeros(1, pair.feature_dim))


@pytest.mark.parametrize("first", ["ImageNet", "Caffe"])
@pytest.mark.parametrize("second", NORMALISATIONS)
def test_every_network_gets_the_normalisation_that_it_knows(
    pair_of: Callable[..., str], first: str, second: str
) -> None:
    pair = hs.load(pair_of(NORMALISATIONS[first], NORMALISATIONS[second]))
    members = [hs.load(name) for name in ("mine/a", "mine/b")]
    assert pair.preprocessing == members[0].preprocessing
    found, expected = features(pair), [features(each) for each in members]
    assert torch.equal(found[:, : members[0].feature_dim], expected[0])
    assert torch.allclose(found[:, members[0].feature_dim :], expected[1], atol=1e-4, rtol=1e-3)


def test_the_network_of_one_size_sees_it_and_the_other_follows() -> None:
    pair = hs.load("timm/test_vit+timm/test_resnet", weights=None)
    assert pair.entry.fixed_input_size
    assert features(pair, 160).shape == (3, pair.feature_dim)


def test_three_stand_side_by_side_as_two_do(tiny_models: tuple[str, str]) -> None:
    names = [tiny_models[0], "efficientnet_lite0", tiny_models[1]]
    found = features(at_size(hs.load("+".join(names))))
    members = [hs.load(name) for name in names]
    same = replace(members[1].preprocessing, **{"input_size": (64, 64)})
    own = [features(each.with_preprocessing(replace(same, **_numbers(each)))) for each in members]
    assert torch.allclose(found, torch.cat(own, dim=1), atol=1e-4, rtol=1e-3)


def _numbers(classifier: Classifier) -> dict[str, Any]:
    return {"mean": classifier.preprocessing.mean, "std": classifier.preprocessing.std}


def test_both_networks_and_the_map_decide_the_digest(pair_of: Callable[..., str]) -> None:
    plain, caffe = NORMALISATIONS["ImageNet"], NORMALISATIONS["Caffe"]
    first = hs.load(pair_of(plain, plain))
    assert first.backbone_digest() == hs.load("mine/a+mine/b").backbone_digest()
    others = [hs.load("mine/b+mine/a"), hs.load(pair_of(plain, caffe))]
    changed = hs.load(pair_of(plain, plain))
    with torch.no_grad():
        list(changed.backbone.parameters())[-1].add_(1e-3)
    digests = {each.backbone_digest() for each in (first, *others, changed)}
    assert len(digests) == 4


@pytest.mark.parametrize("point", ["pooled", "stride16", "concat"])
@torch.inference_mode()
def test_a_saved_folder_needs_nothing_else_and_predicts_the_same_bits(
    pair_of: Callable[..., str], point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = hs.load(pair_of(NORMALISATIONS["Caffe"], NORMALISATIONS["signs"])).with_feature_point(point)
    torch.manual_seed(1)
    trained = pair.with_head(nn.Linear(pair.feature_dim, 4), tuple("abcd"), temperature=1.7)
    save_folder(trained, tmp_path / "m")
    monkeypatch.delenv("HEADSTART_CATALOG")
    again = hs.load(str(tmp_path / "m"))
    x = to_input(pixels(), trained.preprocessing)
    assert torch.equal(again(x), trained(x))
    assert torch.equal(again.probabilities(again.features(x)), trained.probabilities(trained.features(x)))
    assert again.backbone_digest() == trained.backbone_digest()
    assert again.feature_point == point
    assert sorted(each.suffix for each in (tmp_path / "m").iterdir()) == [".json", ".md", ".safetensors"]
    save_folder(again, tmp_path / "n")
    assert torch.equal(hs.load(str(tmp_path / "n"))(x), trained(x))


def test_a_feature_point_is_that_of_each_network() -> None:
    pair, members = hs.load(PAIR), [hs.load(name) for name in PAIR.split("+")]
    expected = [features(at_size(each.with_feature_point("stride16"))) for each in members]
    found = pair.with_feature_point("stride16")
    assert found.feature_dim == sum(each.shape[1] for each in expected)
    assert torch.equal(features(at_size(found)), torch.cat(expected, dim=1))
    with pytest.raises(ModelError, match="no feature map for the feature point stride16"):
        hs.load("timm/test_vit+timm/test_resnet", weights=None).with_feature_point("stride16")


@torch.inference_mode()
def test_batch_norms_of_both_are_estimated_anew(tiny_models: tuple[str, str]) -> None:
    def adapted(name: str) -> Classifier:
        loaded = hs.load(name)
        return reestimate_batch_norms(loaded, [to_input(pixels(), loaded.preprocessing)])

    expected = torch.cat([features(adapted(name)) for name in tiny_models], dim=1)
    assert torch.allclose(features(adapted("+".join(tiny_models))), expected, atol=1e-4, rtol=1e-3)


def test_weights_that_cannot_be_had_fail_with_their_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(UnreachableError) as alone:
        hs.load("timm/resnet18")
    with pytest.raises(UnreachableError) as caught:
        hs.load("efficientnet_lite0+timm/resnet18")
    assert (str(caught.value), caught.value.hint) == (str(alone.value), alone.value.hint)


def test_a_folder_whose_name_is_that_of_a_pair_wins(
    tiny_models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve(PAIR) == find_model(PAIR)
    save_folder(hs.load(tiny_models[0]), Path(PAIR))
    assert resolve(PAIR).provider == "folder"
    assert hs.load(PAIR).network == "timm/test_resnet"


def test_a_folder_is_no_part_of_a_pair(tiny_models: tuple[str, str], tmp_path: Path) -> None:
    save_folder(hs.load(tiny_models[0]), tmp_path / "m")
    with pytest.raises(InputError, match="is a saved model folder") as caught:
        resolve(f"{tmp_path / 'm'}+efficientnet_lite0")
    assert "timm/test_resnet@test_resnet.safetensors" in caught.value.hint  # not where it lay


def test_a_record_of_networks_without_their_models_is_refused(
    tiny_models: tuple[str, str], tmp_path: Path
) -> None:
    save_folder(hs.load("+".join(tiny_models), num_classes=2), tmp_path / "m")
    path = tmp_path / "m" / "headstart.json"
    record = json.loads(path.read_text())
    record["entry"]["members"].pop()
    path.write_text(json.dumps(record))
    with pytest.raises(StorageError, match="names 2 networks of 1 models"):
        hs.load(str(tmp_path / "m"))


def test_the_card_names_the_papers_and_the_licences(tmp_path: Path) -> None:
    name = "efficientnet_lite0+timm/resnext50_32x4d.fb_swsl_ig1b_ft_in1k"
    save_folder(hs.load(name, weights=None, num_classes=2), tmp_path / "m")
    card = (tmp_path / "m" / "README.md").read_text()
    assert "under Apache-2.0 AND CC-BY-NC-4.0, which does not permit commercial use" in card
    for each in find_model(name).members:
        assert f"Paper: <{each.paper}>" in card
