"""Choosing rows by their facts: each condition keeps what fits, drops what does not and what is unknown."""

import json
from pathlib import Path
from typing import Any

import pytest

from headstart.catalog import ModelEntry, ModelFilter, list_models, search_models
from headstart.catalog.filters import data_set_key
from headstart.catalog.licenses import COMMERCIAL_USE, permits_commercial_use
from headstart.catalog.order import SORT_KEYS
from headstart.core.errors import InputError


@pytest.fixture(scope="module")
def everything() -> list[ModelEntry]:
    return list_models()


def where(**conditions: Any) -> list[ModelEntry]:
    return list_models(where=ModelFilter(**conditions))


CONDITIONS = [
    ({"license": "commercial"}, lambda entry: entry.weights.commercial_use is True),
    ({"license": "unknown"}, lambda entry: not entry.weights.license),
    ({"license": "cc-by-nc-4.0"}, lambda entry: entry.weights.license == "CC-BY-NC-4.0"),
    ({"pretrained_on": "in12k"}, lambda entry: "imagenet-12k" in entry.weights.pretrained_on),
    ({"num_classes": 0}, lambda entry: entry.weights.num_classes == 0),
    ({"max_macs": 1e9}, lambda entry: 0 < entry.num_macs <= 1e9),
    ({"max_feature_dim": 512}, lambda entry: 0 < entry.feature_dim <= 512),
    ({"max_resolution": 200}, lambda entry: max(entry.weights.preprocessing.input_size) <= 200),
    ({"min_top1": 0.78}, lambda entry: (entry.weights.top1 or 0) >= 0.78),
    ({"min_real": 0.88}, lambda entry: (entry.weights.real_top1 or 0) >= 0.88),
    ({"min_v2": 0.75}, lambda entry: (entry.weights.v2_top1 or 0) >= 0.75),
]


@pytest.mark.parametrize(
    ("condition", "fits"), CONDITIONS, ids=[str(condition) for condition, _ in CONDITIONS]
)
def test_condition_keeps_exactly_what_fits(
    everything: list[ModelEntry], condition: dict[str, Any], fits: Any
) -> None:
    expected = [entry.name for entry in everything if fits(entry)]
    assert 0 < len(expected) < len(everything)
    assert [entry.name for entry in where(**condition)] == expected


def test_conditions_are_joined_by_and(everything: list[ModelEntry]) -> None:
    found = list_models(
        "*net*", family="resnet", max_params=30e6, where=ModelFilter(min_top1=0.8, license="commercial")
    )
    assert found
    for entry in found:
        assert entry.family == "resnet"
        assert entry.num_params <= 30e6
        assert (entry.weights.top1 or 0) >= 0.8
        assert entry.weights.commercial_use
    assert len(found) < len(list_models("*net*", family="resnet", max_params=30e6))


@pytest.mark.parametrize("spelling", ["in22k", "in21k", "imagenet-22k", "ImageNet21K", "imagenet_22k"])
def test_imagenet_22k_is_found_however_it_is_written(spelling: str) -> None:
    found = {entry.weights.pretrained_on.split(", ")[0] for entry in where(pretrained_on=spelling)}
    assert {"imagenet-22k", "imagenet-21k"} <= found
    assert not any("imagenet-12k" in name or name == "imagenet-1k" for name in found)


def test_beginning_of_a_data_set_stands_for_all_that_begin_so() -> None:
    found = {entry.weights.pretrained_on.split(", ")[0] for entry in where(pretrained_on="laion")}
    assert {"laion-2b", "laion-400m", "laion-aesthetic"} <= found
    assert data_set_key("in1k") != data_set_key("in12k")
    assert not data_set_key("imagenet-12k").startswith(data_set_key("in1k"))


@pytest.mark.parametrize("family", ["inception_v4", "inceptionv4", "Inception-V4"])
def test_family_is_found_however_it_is_written(family: str) -> None:
    providers = {entry.provider for entry in list_models(family=family)}
    assert providers == {"pretrainedmodels", "timm"}


class TestLicense:
    def test_commercial_counts_what_it_hides_for_not_knowing(self, everything: list[ModelEntry]) -> None:
        found = search_models(where=ModelFilter(license="commercial"))
        unknown = [entry for entry in everything if entry.weights.commercial_use is None]
        assert found.num_unknown_license == len(unknown) > 100
        forbidden = [entry for entry in everything if entry.weights.commercial_use is False]
        assert len(found.entries) + len(unknown) + len(forbidden) == len(everything)
        assert len(forbidden) > 50

    def test_only_what_fits_otherwise_is_counted(self) -> None:
        found = search_models("torchvision/resnet50*", where=ModelFilter(license="commercial"))
        assert (len(found.entries), found.num_unknown_license) == (0, 2)
        assert search_models("torchvision/*").num_unknown_license == 0

    def test_table_says_yes_no_and_why(self) -> None:
        assert permits_commercial_use("Apache-2.0") is True
        assert permits_commercial_use("apache-2.0") is True
        assert permits_commercial_use("CC-BY-NC-4.0") is False
        assert permits_commercial_use("dinov3-license") is None
        assert permits_commercial_use("") is None
        assert all(why for _, why in COMMERCIAL_USE.values())

    def test_licences_in_the_table_are_in_use(self, everything: list[ModelEntry]) -> None:
        assert set(COMMERCIAL_USE) <= {entry.weights.license for entry in everything}


class TestSorting:
    @pytest.mark.parametrize("key", SORT_KEYS)
    def test_every_order_can_be_turned_round_with_the_unknown_last(self, key: str) -> None:
        forward, backward = list_models("timm/vit_b*", sort=key), list_models("timm/vit_b*", sort=f"-{key}")
        assert {entry.name for entry in forward} == {entry.name for entry in backward}
        known = [entry for entry in forward if _value(entry, key) is not None]
        assert [_value(entry, key) for entry in known] == sorted(
            (_value(entry, key) for entry in known), reverse=key in ("top1", "real", "v2")
        )
        assert forward[: len(known)] == known
        values = [_value(entry, key) for entry in known]
        assert [_value(entry, key) for entry in backward[: len(known)]] == values[::-1]

    def test_unknown_order_names_the_known_ones(self) -> None:
        with pytest.raises(InputError, match="'speed'") as caught:
            list_models(sort="speed")
        assert "top1" in caught.value.hint


def _value(entry: ModelEntry, key: str) -> Any:
    return {
        "name": entry.name.lower(),
        "params": entry.num_params or None,
        "macs": entry.num_macs or None,
        "size": max(entry.weights.preprocessing.input_size),
        "top1": entry.weights.top1,
        "real": entry.weights.real_top1,
        "v2": entry.weights.v2_top1,
    }[key]


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "message", "hint"),
        [
            ({"family": "senett"}, "no model has the family 'senett'", "'senet'"),
            ({"provider": "tim"}, "no model has the provider 'tim'", "'timm'"),
            ({"provider": "x"}, "no model has the provider 'x'", "torchvision"),
            ({"max_params": 0}, "greatest num_params is 0", ""),
            ({"max_params": float("nan")}, "nan", ""),
        ],
    )
    def test_argument_that_nothing_can_meet(self, options: dict[str, Any], message: str, hint: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            list_models(**options)
        assert hint in caught.value.hint

    @pytest.mark.parametrize(
        ("conditions", "message", "hint"),
        [
            ({"license": "apache2"}, "licence 'apache2'", "Apache-2.0"),
            ({"license": "qqq"}, "licence 'qqq'", "'commercial', 'unknown', or one of "),
            ({"pretrained_on": "in33k"}, "'in33k'", "imagenet-22k"),
            ({"pretrained_on": ""}, "''", "imagenet-22k"),
            ({"min_top1": 78.0}, "least top1 is 78", "write 0.78"),
            ({"min_real": -0.1}, "least real_top1 is -0.1", ""),
            ({"min_v2": float("nan")}, "nan", ""),
            ({"max_macs": -1.0}, "greatest num_macs", ""),
            ({"max_resolution": 0}, "greatest resolution", ""),
            ({"num_classes": -1}, "number of classes is -1", ""),
        ],
    )
    def test_condition_that_makes_no_sense(self, conditions: dict[str, Any], message: str, hint: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            where(**conditions)
        assert hint in caught.value.hint


def test_own_rows_are_chosen_by_their_facts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"name": "mine/net", "architecture": "resnet18", "file": "my.pth", "top1": 0.9, "license": "MIT"}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    monkeypatch.setenv("HEADSTART_CATALOG", str(tmp_path / "rows.json"))
    assert "mine/net" in [entry.name for entry in where(min_top1=0.89, license="commercial")]
    assert "mine/net" in [entry.name for entry in list_models(provider="checkpoint", family="resnet")]
    assert "mine/net" not in [entry.name for entry in where(min_top1=0.91)]
    assert "mine/net" not in [entry.name for entry in where(pretrained_on="in1k")]
    # Nobody said how large it is, so it is not known to be small.
    assert "mine/net" not in [entry.name for entry in list_models(max_params=1e12)]
