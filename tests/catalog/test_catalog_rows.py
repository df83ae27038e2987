"""Every row that comes with headstart: complete, unique, consistent with the others and with the packages."""

import json
import re
import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest

from headstart.catalog import ModelEntry, Preprocessing, WeightsSource, find_model, list_models
from headstart.catalog.entry import ACCURACY_SOURCES
from headstart.catalog.places import local_path
from headstart.catalog.rows import PROVIDERS, builtin_rows
from headstart.core.digest import digest_file
from headstart.core.records import from_json, to_json


@pytest.fixture(autouse=True)
def no_own_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEADSTART_CATALOG", raising=False)
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))


@pytest.fixture
def entries() -> dict[str, ModelEntry]:
    return {entry.name: entry for entry in list_models()}


def test_names_are_unique_and_made_of_their_parts(entries: dict[str, ModelEntry]) -> None:
    in_files = 0
    for provider in PROVIDERS:
        content = files("headstart.catalog").joinpath("data", f"{provider}.json").read_text(encoding="utf-8")
        in_files += len(json.loads(content)["rows"])
    assert len(entries) == in_files > 1900
    for name, entry in entries.items():
        assert name == f"{entry.provider}/{entry.architecture}.{entry.weights.tag}"
        assert entry.provider in PROVIDERS
        assert re.fullmatch(r"[A-Za-z0-9_]+", entry.architecture)
        assert entry.weights.tag
        assert entry.family


def test_every_row_can_be_had_from_somewhere(entries: dict[str, ModelEntry]) -> None:
    for entry in entries.values():
        assert entry.weights.sources, entry.name
        for source in entry.weights.sources:
            assert source.kind in ("url", "hub", "package"), entry.name
            if source.kind == "url":
                assert re.match(r"https?://[\w.-]+/", source.location), entry.name
                assert source.filename == ""
            else:
                assert source.filename, entry.name
        for source in entry.weights.sources:
            assert re.fullmatch(r"[0-9a-f]{8,10}|[0-9a-f]{64}|", source.sha256), entry.name
            assert source.sha256.startswith(digits_in_name(source)), entry.name
            assert source.size_bytes >= 0
        assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{4,5}(v\d+)?|", entry.paper), entry.name


def test_figures_are_in_their_ranges(entries: dict[str, ModelEntry]) -> None:
    for entry in entries.values():
        assert entry.num_params > 100_000, entry.name
        assert 1e6 < entry.num_macs < 1e14, entry.name
        assert entry.feature_dim >= 32, entry.name
        assert entry.weights.num_classes >= 0, entry.name
        weights = entry.weights
        for top1, top5 in (
            (weights.top1, weights.top5),
            (weights.real_top1, weights.real_top5),
            (weights.v2_top1, weights.v2_top5),
        ):
            assert (top1 is None) == (top5 is None)
            assert top1 is None or 0.1 < top1 < (top5 or 0) <= 1, entry.name
        assert (weights.top1 is None) == (weights.accuracy_source == ""), entry.name
        assert weights.accuracy_source in ("", *ACCURACY_SOURCES)


def test_multiply_adds_are_those_that_the_makers_publish(entries: dict[str, ModelEntry]) -> None:
    """ResNet-50: 4.1 G (He et al. count 3.8 G without the stride's move); ViT-B/16: 17.6 G."""
    for name, expected in (
        ("torchvision/resnet50.IMAGENET1K_V2", 4.089e9),
        ("pretrainedmodels/resnet50.imagenet", 4.089e9),
        ("timm/vit_base_patch16_224.augreg_in1k", 17.56e9),
        ("torchvision/vit_b_16.IMAGENET1K_SWAG_E2E_V1", 55.5e9),
    ):
        assert entries[name].num_macs == pytest.approx(expected, rel=0.01), name


def test_preprocessing_is_possible(entries: dict[str, ModelEntry]) -> None:
    for entry in entries.values():
        record = entry.weights.preprocessing
        assert isinstance(record, Preprocessing)
        assert all(16 <= side <= 1280 for side in record.input_size), entry.name
        assert 0 < record.crop_fraction <= 1, entry.name
        assert record.fit in ("crop", "squash", "pad")
        assert record.interpolation in ("nearest", "bilinear", "bicubic", "lanczos")
        assert len(record.mean) == len(record.std) == 3
        assert all(value > 0 for value in record.std)


def test_rows_with_the_same_tensors_all_know_each_other(entries: dict[str, ModelEntry]) -> None:
    assert sum(bool(entry.same_tensors_as) for entry in entries.values()) > 150
    for name, entry in entries.items():
        group = {name, *entry.same_tensors_as}
        assert len(group) == 1 + len(entry.same_tensors_as)
        for other in entry.same_tensors_as:
            assert {other, *entries[other].same_tensors_as} == group, (name, other)
            assert entries[other].num_params == pytest.approx(entry.num_params, rel=0.3)


def digits_in_name(source: WeightsSource) -> str:
    found = re.search(r"-([0-9a-f]{8,})\.pth$", source.location)
    return found[1] if found else ""


def test_starter_rows_are_the_installed_packages(entries: dict[str, ModelEntry]) -> None:
    starters = [entry for entry in entries.values() if entry.provider == "starter"]
    assert len(starters) == 3
    for entry in starters:
        source = entry.weights.sources[0]
        if find_spec(source.location) is None:
            pytest.skip("needs the extra starter")
        path = local_path(source)
        assert path is not None
        assert digest_file(path) == source.sha256
        assert path.stat().st_size == source.size_bytes


def test_rows_say_what_their_providers_say() -> None:
    lite = find_model("efficientnet_lite1").weights
    assert lite.preprocessing == Preprocessing(
        input_size=(240, 240),
        crop_fraction=0.875,
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    assert (lite.license, lite.top1) == ("Apache-2.0", 0.76674)
    port = find_model("se_resnet50")
    assert port.weights.preprocessing == Preprocessing()
    assert (port.num_params, port.feature_dim) == (28_088_024, 2048)
    assert port.weights.sources[0].sha256.startswith("ce0d4300")
    assert [source.location.split("/")[2] for source in port.weights.sources] == [
        "github.com",
        "data.lip6.fr",
    ]
    swag = find_model("torchvision/vit_b_16.IMAGENET1K_SWAG_E2E_V1")
    assert (swag.weights.license, swag.weights.preprocessing.input_size) == ("CC-BY-NC-4.0", (384, 384))
    assert swag.fixed_input_size
    hub = find_model("timm/resnet50.a1_in1k").weights
    assert (hub.sources[0].kind, hub.sources[0].filename) == ("hub", "model.safetensors")


def test_records_survive_json(entries: dict[str, ModelEntry]) -> None:
    for entry in list(entries.values())[::97]:
        assert from_json(ModelEntry, json.loads(json.dumps(to_json(entry)))) == entry


def test_rows_are_read_once() -> None:
    assert builtin_rows() is builtin_rows()


def test_catalogue_answers_without_heavy_imports() -> None:
    program = (
        "import sys, headstart.catalog as c; c.list_models('efficientnet*', available=True);"
        "c.find_model('resnet50');"
        "heavy = ('torch', 'torchvision', 'timm', 'PIL', 'numpy', 'huggingface_hub');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
