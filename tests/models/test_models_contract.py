"""One table of networks, one contract: whatever the provider, a `Classifier` behaves the same."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import torchvision

import headstart as hs
from headstart.catalog import find_model
from headstart.catalog.entry import ModelEntry
from headstart.core.errors import InputError, ModelError
from headstart.models import load_folder, save_folder
from headstart.preprocess import with_resolution

WITH_HEAD = (
    "starter/efficientnet_lite0",
    "pretrainedmodels/se_resnet50",
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
WITHOUT_HEAD = ("torchvision/squeezenet1_1", "timm/deit_tiny_distilled_patch16_224", "timm/levit_128s")


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
        from headstart.architectures.senet import se_resnet50

        network = se_resnet50()
    else:
        prefix = "tf_" if entry.provider == "starter" else ""
        network = timm.create_model(prefix + entry.architecture, num_classes=entry.weights.num_classes)
    return network.eval()


@pytest.mark.parametrize("name", WITHOUT_HEAD)
def test_a_network_without_an_affine_head_gives_features_and_says_what_it_lacks(name: str) -> None:
    entry = find_model(name)
    classifier = hs.load(entry, weights=None)
    with torch.inference_mode():
        features = classifier.features(pictures(entry))
    assert features.shape == (2, classifier.feature_dim)
    assert classifier.class_names == ()
    with pytest.raises(ModelError, match="no classifier of its own"):
        classifier.logits(features)


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
    classifier.temperature = 1.7
    save_folder(classifier, tmp_path / "m", summary="Right on 99 of 100.")
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
    assert again.backbone_digest() == classifier.backbone_digest()
    assert again.license == classifier.license
    assert "Right on 99 of 100." in (tmp_path / "m" / "README.md").read_text()


def test_a_spoilt_folder_is_refused(tmp_path: Path, tiny_models: tuple[str, str]) -> None:
    from headstart.core.errors import CorruptWeightsError, StorageError

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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "published"),
    [("efficientnet_lite0", 0.89), ("efficientnet_lite1", 0.86), ("efficientnet_lite2", 0.93)],
)
def test_starter_weights_and_preprocessing_are_right(name: str, published: float, shared: Path) -> None:
    """On 100 photographs whose class indices stand in their names, as measured elsewhere."""
    classifier = hs.load(name)
    rows = list(hs.predict(classifier, shared / "data" / "imagenet100.zip"))
    right = [int(row.probabilities.argmax()) == int(Path(row.path).name[:3]) for row in rows]
    assert len(right) == 100
    assert sum(right) / 100 == pytest.approx(published, abs=0.02)
