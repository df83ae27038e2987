"""One table of networks, one contract: whatever the provider, a `Classifier` behaves the same."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision

import headstart as hs
from headstart.catalog import find_model
from headstart.catalog.entry import ModelEntry
from headstart.core.errors import CorruptWeightsError, InputError, ModelError, StorageError
from headstart.models import CardFacts, load_folder, save_folder
from headstart.models.ports import build_port
from headstart.preprocess import with_resolution
from headstart.train.familiarity import fit_familiarity

WITH_HEAD = (
    "starter/efficientnet_lite0",
    "pretrainedmodels/se_resnet50",
    "pretrainedmodels/alexnet",
    "pretrainedmodels/densenet121",
    "pretrainedmodels/dpn68b",
    "pretrainedmodels/nasnetamobile",
    "torchvision/resnet18",
    "torchvision/mobilenet_v3_small",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/densenet121",
    "torchvision/inception_v3",
    "timm/mobilenetv3_small_050",
    "timm/ghostnet_100",
    "timm/regnetx_002",
    "timm/vit_tiny_patch16_224",
    "timm/convnext_atto",
    "timm/resnetv2_50x1_bit",
    "timm/mobilevit_xxs",
)
WITHOUT_HEAD = (
    "torchvision/squeezenet1_1",
    "pretrainedmodels/squeezenet1_1",
    "timm/deit_tiny_distilled_patch16_224",
    "timm/levit_128s",
)


def pictures(entry: ModelEntry) -> torch.Tensor:
    height, width = entry.weights.preprocessing.input_size
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", WITH_HEAD)
@torch.inference_mode()
def test_features_then_logits_are_the_whole_network(name: str) -> None:
    entry = find_model(name)
    x = pictures(entry)
    classifier = hs.load(entry, weights=None, seed=1)
    features = classifier.features(x)
    assert features.shape == (2, classifier.feature_dim)
    assert entry.feature_dim in (0, classifier.feature_dim)
    assert torch.allclose(classifier(x), classifier.logits(features))
    assert classifier(x).shape == (2, len(classifier.class_names))
    assert torch.allclose(classifier(x), reference(entry)(x), atol=1e-4, rtol=1e-3)


def reference(entry: ModelEntry) -> torch.nn.Module:
    """Build the same random network by the provider's own means, whole."""
    torch.manual_seed(1)
    if entry.provider == "torchvision":
        options = (
            {"transform_input": True, "init_weights": True} if entry.architecture == "inception_v3" else {}
        )
        network = torchvision.models.get_model(entry.architecture, weights=None, **options)
    elif entry.provider == "pretrainedmodels":
        network = build_port(entry.architecture)
    else:
        prefix = "tf_" if entry.provider == "starter" else ""
        network = timm.create_model(prefix + entry.architecture, num_classes=entry.weights.num_classes)
    return network.eval()


@pytest.mark.parametrize("name", WITHOUT_HEAD)
@torch.inference_mode()
def test_a_network_without_an_affine_head_classifies_as_a_whole(name: str) -> None:
    entry = find_model(name)
    x = pictures(entry)
    classifier = hs.load(entry, weights=None, seed=1)
    whole = reference(entry)
    features = classifier.features(x)
    assert features.shape == (2, classifier.feature_dim)
    assert classifier.head is None
    assert classifier.class_names[0] == "tench"
    assert classifier(x).shape == (2, 1000)
    assert torch.allclose(classifier(x), whole(x), atol=1e-5)
    assert classifier.num_params == sum(each.numel() for each in whole.parameters())  # none held twice
    with pytest.raises(ModelError, match="cannot be computed from its pooled features"):
        classifier.logits(features)


@pytest.mark.parametrize("name", WITHOUT_HEAD)
@torch.inference_mode()
def test_logits_can_stand_for_features(name: str) -> None:
    entry = find_model(name)
    x = pictures(entry)
    small = replace(entry.weights.preprocessing, interpolation="nearest")
    classifier = hs.load(entry, weights=None).with_preprocessing(small)
    scorer = classifier.with_logits_as_features()
    assert torch.equal(scorer.features(x), classifier(x))
    assert torch.allclose(scorer.probabilities(scorer.features(x)), classifier(x).softmax(dim=1))
    assert (scorer.class_names, scorer.preprocessing) == (classifier.class_names, small)
    assert scorer.backbone_digest() != classifier.backbone_digest()
    fresh = classifier.with_head(torch.nn.Linear(classifier.feature_dim, 2), ("a", "b"))
    assert fresh(x).shape == (2, 2)
    assert fresh.with_logits_as_features() is fresh


def test_a_network_without_any_classifier_says_so() -> None:
    entry = find_model("timm/vit_small_patch14_dinov2.lvd142m")
    classifier = hs.load(replace(entry, architecture="vit_tiny_patch16_224"), weights=None)
    assert classifier.class_names == ()
    for use in (classifier.with_logits_as_features, lambda: classifier.logits(torch.zeros(1, 192))):
        with pytest.raises(ModelError, match="no classifier of its own") as caught:
            use()
        assert "headstart probe" in caught.value.hint


def test_random_weights_depend_on_the_seed_alone() -> None:
    digests = [
        hs.load("torchvision/resnet18", weights=None, seed=seed).backbone_digest() for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_loading_leaves_torchs_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    hs.load("torchvision/squeezenet1_1", weights=None)
    assert torch.equal(torch.rand(1), expected)


def test_a_fresh_head_goes_on_pretrained_weights() -> None:
    pretrained = hs.load("starter/efficientnet_lite0")
    fresh = hs.load("starter/efficientnet_lite0", num_classes=3)
    assert pretrained.backbone_digest() == fresh.backbone_digest()
    assert fresh.class_names == ("class 0", "class 1", "class 2")
    assert pretrained.class_names[0] == "tench"
    with pytest.raises(InputError, match="num_classes is 0"):
        hs.load("starter/efficientnet_lite0", num_classes=0)


def test_a_checkpoint_of_ones_own_brings_its_own_number_of_classes(tiny_models: tuple[str, str]) -> None:
    classifier = hs.load(tiny_models[0])
    assert len(classifier.class_names) == 7
    assert classifier.entry.provider == "checkpoint"


@pytest.mark.parametrize("name", WITHOUT_HEAD)
def test_a_checkpoint_without_an_affine_head_brings_its_number_of_classes(name: str, tmp_path: Path) -> None:
    library, _, architecture = name.partition("/")
    create = timm.create_model if library == "timm" else torchvision.models.get_model
    network = create(architecture, num_classes=3).eval()
    torch.save(network.state_dict(), tmp_path / "three.pth")
    classifier = hs.load(f"{name}@{tmp_path / 'three.pth'}")
    x = pictures(classifier.entry)
    assert classifier.class_names == ("class 0", "class 1", "class 2")
    with torch.inference_mode():
        assert torch.allclose(classifier(x), network(x), atol=1e-5)


def test_a_checkpoint_of_another_architecture_is_refused(tiny_models: tuple[str, str]) -> None:
    path = tiny_models[0].partition("@")[2]
    with pytest.raises(ModelError, match="do not fit the network timm/test_efficientnet"):
        hs.load(f"timm/test_efficientnet@{path}")
    with pytest.raises(ModelError, match="do not fit the network torchvision/resnet18"):
        hs.load(f"torchvision/resnet18@{path}")
    with pytest.raises(ModelError, match="do not fit"):
        hs.load(f"pretrainedmodels/se_resnet50@{path}")


def test_an_architecture_unknown_to_the_installed_library_is_named() -> None:
    entry = replace(find_model("timm/resnet18"), architecture="resnet_of_tomorrow")
    with pytest.raises(ModelError, match="has no architecture 'resnet_of_tomorrow'"):
        hs.load(entry, weights=None)


@pytest.mark.parametrize(
    "name", ["starter/efficientnet_lite0", "pretrainedmodels/se_resnet50", "torchvision/resnet18"]
)
@torch.inference_mode()
def test_a_saved_folder_is_the_same_classifier(name: str, tmp_path: Path) -> None:
    classifier = hs.load(name, weights=None, num_classes=4)
    small = with_resolution(classifier.preprocessing, 64, fit="pad")
    classifier = classifier.with_preprocessing(small)
    classifier.temperature, classifier.threshold = 1.7, 0.83
    save_folder(classifier, tmp_path / "m", facts=CardFacts(reason="It won."))
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [
        "README.md",
        "headstart.json",
        "model.safetensors",
    ]
    again = hs.load(str(tmp_path / "m"))
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(again(x), classifier(x))
    assert torch.equal(
        again.probabilities(again.features(x)), classifier.probabilities(classifier.features(x))
    )
    assert again.class_names == classifier.class_names
    assert again.preprocessing == small
    assert (again.temperature, again.threshold) == (1.7, 0.83)
    assert again.backbone_digest() == classifier.backbone_digest()
    assert again.license == classifier.license
    assert "It won." in (tmp_path / "m" / "README.md").read_text()


def test_a_folder_keeps_what_is_known_of_training_pictures(
    tmp_path: Path, tiny_models: tuple[str, str]
) -> None:
    classifier = hs.load(tiny_models[0])
    generator = np.random.default_rng(0)
    features = generator.random((200, classifier.feature_dim), np.float32)
    classifier.familiarity = fit_familiarity(features, np.arange(200), seed=0)
    assert classifier.familiarity is not None
    transposed = np.asfortranarray(classifier.familiarity.axes)
    classifier.familiarity = replace(classifier.familiarity, axes=transposed)
    save_folder(classifier, str(tmp_path / "m"))
    again = load_folder(str(tmp_path / "m")).familiarity
    assert again is not None
    assert (again.limit, again.false_alarm_rate) == (
        classifier.familiarity.limit,
        classifier.familiarity.false_alarm_rate,
    )
    assert np.array_equal(again.mean, classifier.familiarity.mean)
    assert np.array_equal(again.axes, classifier.familiarity.axes)
    assert classifier.with_preprocessing(classifier.preprocessing).familiarity is classifier.familiarity
    other = classifier.with_preprocessing(with_resolution(classifier.preprocessing, 96))
    assert other.familiarity is None
    file = tmp_path / "m" / "familiarity.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptWeightsError, match=r"familiarity\.safetensors is not the file"):
        load_folder(tmp_path / "m")
    file.unlink()
    with pytest.raises(CorruptWeightsError, match=r"has no familiarity\.safetensors"):
        load_folder(tmp_path / "m")
    save_folder(classifier, tmp_path / "m")
    classifier.familiarity = None
    save_folder(classifier, tmp_path / "m")
    assert not file.exists()
    assert load_folder(tmp_path / "m").familiarity is None


def test_a_folder_of_old_has_no_threshold(tmp_path: Path, tiny_models: tuple[str, str]) -> None:
    save_folder(hs.load(tiny_models[0]), tmp_path / "m")
    record = tmp_path / "m" / "headstart.json"
    value = json.loads(record.read_text())
    del value["calibration"]["threshold"]
    record.write_text(json.dumps(value))
    assert load_folder(tmp_path / "m").threshold is None


def test_a_threshold_goes_with_its_probabilities() -> None:
    classifier = hs.load("timm/test_resnet", weights=None, num_classes=3)
    classifier.threshold = 0.5
    assert classifier.with_preprocessing(classifier.preprocessing).threshold == 0.5
    assert classifier.with_temperature(2.0).threshold is None
    assert classifier.head is not None
    assert classifier.with_head(classifier.head, ("a", "b", "c")).threshold is None


def test_a_spoilt_folder_is_refused(tmp_path: Path, tiny_models: tuple[str, str]) -> None:
    save_folder(hs.load(tiny_models[0]), tmp_path / "m")
    record = tmp_path / "m" / "headstart.json"
    tensors = tmp_path / "m" / "model.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CorruptWeightsError, match="sha256 differs"):
        load_folder(tmp_path / "m")
    tensors.unlink()
    with pytest.raises(CorruptWeightsError, match=r"has no model\.safetensors"):
        load_folder(tmp_path / "m")
    record.write_text(record.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(StorageError, match="format 99"):
        load_folder(tmp_path / "m")
