"""The rows of the 45 models: all weight sets, the original library's settings, and where they live on."""

import gzip
import json
from pathlib import Path

import pytest

from headstart.catalog import ModelEntry, find_model, list_models
from headstart.catalog.rows import builtin_rows

ORIGINAL_HOST = "http://data.lip6.fr/cadene/pretrainedmodels/"
WITHOUT_LIVING_SOURCE = {
    "bninception",
    "polynet",
    "fbresnet152",
    "cafferesnet101",
    "nasnetamobile",
    "resnext101_32x4d",
    "resnext101_64x4d",
}
NUM_MODELS, NUM_ROWS = 45, 49


@pytest.fixture(scope="module")
def rows() -> list[ModelEntry]:
    return list_models(provider="pretrainedmodels")


def addresses(entry: ModelEntry) -> list[str]:
    return [source.location for source in entry.weights.sources]


def test_all_models_and_weight_sets_are_there(rows: list[ModelEntry]) -> None:
    assert len(rows) == NUM_ROWS
    assert len({row.architecture for row in rows}) == NUM_MODELS
    tags = {tag: {row.architecture for row in rows if row.weights.tag == tag} for tag in _tags(rows)}
    assert set(tags) == {"imagenet", "imagenet+5k", "imagenet+background"}
    assert tags["imagenet+5k"] == {"dpn68b", "dpn92", "dpn107"}
    assert tags["imagenet+background"] == {
        "inceptionv4",
        "inceptionresnetv2",
        "nasnetalarge",
        "pnasnet5large",
    }


def _tags(rows: list[ModelEntry]) -> set[str]:
    return {row.weights.tag for row in rows}


def test_what_every_row_must_say(rows: list[ModelEntry]) -> None:
    for row in rows:
        assert row.paper, row.name
        assert row.weights.pretrained_on.endswith("imagenet-1k"), row.name
        background = row.weights.tag == "imagenet+background"
        assert row.weights.num_classes == 1000 + background, row.name
        assert (row.weights.top1 is None) == background, row.name
        assert not row.fixed_input_size, row.name


def test_settings_are_the_originals(rows: list[ModelEntry], shared: Path) -> None:
    """To the last digit, in the original's order; addresses may be better ones, but its own stay listed."""
    settings = json.loads((shared / "facts" / "pretrained_settings.json").read_text(encoding="utf-8"))
    in_order = [name for name in builtin_rows().by_name if name.startswith("pretrainedmodels/")]
    assert in_order == [f"pretrainedmodels/{name}.{tag}" for name, tags in settings.items() for tag in tags]
    for row in rows:
        expected = settings[row.architecture][row.weights.tag]
        said = row.weights.preprocessing
        assert expected.pop("url") in addresses(row), row.name
        assert expected.pop("scale", said.crop_fraction) == said.crop_fraction, row.name
        assert expected == {
            "input_space": said.input_space,
            "input_size": [3, *said.input_size],
            "input_range": list(said.input_range),
            "mean": list(said.mean),
            "std": list(said.std),
            "num_classes": row.weights.num_classes,
        }, row.name


def test_sizes_are_those_of_the_reference_networks(rows: list[ModelEntry], shared: Path) -> None:
    models = json.loads(gzip.decompress((shared / "golden" / "pretrainedmodels.json.gz").read_bytes()))[
        "models"
    ]
    for row in rows:
        reference = models[row.architecture]
        extra = 0 if row.weights.num_classes == 1000 else row.feature_dim + 1
        assert row.num_params == reference["parameters"] + extra, row.name
        width = 512 if row.architecture.startswith("squeezenet") else reference["features_shape"][1]
        assert row.feature_dim == width, row.name


def test_odd_settings(rows: list[ModelEntry]) -> None:
    """Those that are easily lost, for machines without the original's table."""
    caffe = find_model("bninception").weights.preprocessing
    assert (caffe.input_space, caffe.input_range, caffe.mean) == ("BGR", (0.0, 255.0), (104.0, 117.0, 128.0))
    dpn = find_model("dpn107").weights.preprocessing
    assert dpn.std == (1 / (0.0167 * 255),) * 3
    assert find_model("xception").weights.preprocessing.crop_fraction == 0.8975
    assert {row.weights.preprocessing.input_size for row in rows} == {(224, 224), (299, 299), (331, 331)}


def test_every_living_source_is_named_before_the_originals_host(rows: list[ModelEntry]) -> None:
    for row in rows:
        hosts = [address.startswith(ORIGINAL_HOST) for address in addresses(row)]
        assert hosts == sorted(hosts), row.name
        assert len(set(addresses(row))) == len(addresses(row)), row.name
        assert all(address.startswith(("https://", ORIGINAL_HOST, "timm/")) for address in addresses(row))


def test_the_seven_without_a_living_source_say_so(rows: list[ModelEntry]) -> None:
    dead = {row.architecture for row in rows if not row.weights.has_living_source}
    # NASNet-A-Large lives on without its background class only.
    assert dead - {"nasnetalarge"} == WITHOUT_LIVING_SOURCE
    assert find_model("nasnetalarge").weights.has_living_source


def test_background_class_comes_from_files_that_have_it(rows: list[ModelEntry]) -> None:
    for row in rows:
        if row.weights.tag == "imagenet+background":
            assert all(source.kind == "url" for source in row.weights.sources), row.name
            assert f"pretrainedmodels/{row.architecture}.imagenet" in row.same_tensors_as


@pytest.mark.parametrize(
    ("name", "twins"),
    [
        ("resnet50", {"torchvision/resnet50.IMAGENET1K_V1", "timm/resnet50.tv_in1k"}),
        ("inceptionv3", {"torchvision/inception_v3.IMAGENET1K_V1", "timm/inception_v3.tv_in1k"}),
        ("alexnet", {"torchvision/alexnet.IMAGENET1K_V1"}),
        ("dpn92", {"timm/dpn92.mx_in1k"}),
        ("xception", {"timm/legacy_xception.tf_in1k"}),
        ("resnext101_64x4d", set()),  # timm's and torchvision's were trained anew
    ],
)
def test_rows_know_who_has_the_same_tensors(name: str, twins: set[str]) -> None:
    assert set(find_model(f"pretrainedmodels/{name}").same_tensors_as) == twins


def test_accuracies_are_those_of_the_rows_own_preprocessing() -> None:
    """timm measured DPN-92 with bicubic pictures, and so says the row; nobody else measured PolyNet."""
    dpn = find_model("dpn92").weights
    assert (dpn.preprocessing.interpolation, dpn.accuracy_source) == ("bicubic", "timm")
    assert dpn.top1 == find_model("timm/dpn92.mx_in1k").weights.top1 == pytest.approx(0.8003, abs=5e-4)
    polynet = find_model("polynet").weights
    assert (polynet.top1, polynet.accuracy_source, polynet.real_top1) == (0.81002, "pretrainedmodels", None)
    densenet = find_model("densenet121").weights
    assert (densenet.preprocessing.interpolation, densenet.accuracy_source) == (
        "bilinear",
        "pretrainedmodels",
    )
