"""Networks side by side as one row: which names mean it, what it says, where its weights are."""

from pathlib import Path

import pytest

from headstart.catalog import expand, find_model, weights_state
from headstart.catalog.entry import ModelEntry
from headstart.catalog.licenses import license_terms, permits_commercial_use
from headstart.core.errors import InputError, UnknownModelError
from headstart.core.records import from_json, to_json
from headstart.weights import fetch

PAIR = "efficientnet_lite0+efficientnet_lite1"


def names_of(name: str) -> list[str]:
    return [each.name for each in find_model(name).members]


def test_a_pair_says_what_both_are() -> None:
    first, second = find_model("efficientnet_lite0"), find_model("efficientnet_lite1")
    pair = find_model(PAIR)
    assert pair.members == pair.singles == (first, second)
    assert pair.name == f"{first.name}+{second.name}"
    assert (pair.architecture, pair.family) == (PAIR, "efficientnet")
    assert pair.num_params == first.num_params + second.num_params
    assert pair.num_macs == first.num_macs + second.num_macs
    assert pair.feature_dim == first.feature_dim + second.feature_dim
    assert pair.weights.preprocessing == first.weights.preprocessing != second.weights.preprocessing
    assert pair.weights.sources == first.weights.sources + second.weights.sources
    assert (pair.weights.top1, pair.weights.num_classes) == (None, 0)
    assert (first.members, first.singles) == ((), (first,))


def test_its_full_name_and_its_record_mean_the_same_row() -> None:
    for name in (PAIR, "dpn68b+efficientnet_lite0+resnet18"):
        row = find_model(name)
        assert find_model(row.name) == row
        assert from_json(ModelEntry, to_json(row)) == row


def test_a_plus_in_a_name_stays_in_it() -> None:
    assert find_model("dpn68b.imagenet+5k").members == ()
    assert names_of("dpn68b.imagenet+5k+efficientnet_lite0") == [
        "pretrainedmodels/dpn68b.imagenet+5k",
        "starter/efficientnet_lite0.in1k",
    ]
    assert names_of("efficientnet_lite0+dpn68b.imagenet+5k")[1] == "pretrainedmodels/dpn68b.imagenet+5k"


def test_a_plus_in_a_files_name_stays_in_it(tmp_path: Path) -> None:
    path = tmp_path / "my+own.pth"
    path.write_bytes(b"")
    checkpoint = f"timm/resnet18@{path}"
    assert find_model(checkpoint).members == ()
    assert names_of(f"{checkpoint}+efficientnet_lite0") == [checkpoint, "starter/efficientnet_lite0.in1k"]
    assert names_of(f"efficientnet_lite0+{checkpoint}") == ["starter/efficientnet_lite0.in1k", checkpoint]


@pytest.mark.parametrize(
    ("name", "unknown", "meant"),
    [
        ("efficientnet_lite0+efficientnet_lite9", "efficientnet_lite9", "efficientnet_lite2"),
        ("efficientnet_lit0+efficientnet_lite1", "efficientnet_lit0", "efficientnet_lite0"),
        ("efficientnet_lite0 +efficientnet_lite1", "efficientnet_lite0 ", "efficientnet_lite0"),
        ("efficientnet_lite0+", "", ""),
    ],
)
def test_an_unknown_part_is_told_like_an_unknown_name(name: str, unknown: str, meant: str) -> None:
    with pytest.raises(UnknownModelError, match=f"no model is called '{unknown}'") as caught:
        find_model(name)
    assert meant in caught.value.hint


def test_a_missing_file_of_a_part_is_told() -> None:
    with pytest.raises(InputError, match=r"'timm/resnet18@no\.pth' names the weights file .*does not exist"):
        find_model("timm/resnet18@no.pth+efficientnet_lite0")


@pytest.mark.parametrize(
    "name",
    [
        "efficientnet_lite0+efficientnet_lite0",
        "efficientnet_lite0+timm/tf_efficientnet_lite0",
        "timm/tf_efficientnet_lite0+resnet18+efficientnet_lite0",
    ],
)
def test_the_same_tensors_twice_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="are the same weights") as caught:
        find_model(name)
    assert caught.value.hint


def test_one_file_under_two_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.pth"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="are the same weights"):
        find_model(f"timm/resnet18@{path}+torchvision/resnet18@{path}")


def test_a_network_of_one_size_decides_the_size() -> None:
    row = find_model("timm/mobilenetv4_conv_medium.e500_r256_in1k+timm/vit_tiny_patch16_224")
    assert row.fixed_input_size
    assert row.members[0].weights.preprocessing.input_size == (256, 256)
    assert row.weights.preprocessing.input_size == (224, 224)
    assert row.weights.preprocessing.crop_fraction == row.members[0].weights.preprocessing.crop_fraction
    with pytest.raises(InputError, match=r"224 px only and .* of 518 px only") as caught:
        find_model("timm/vit_tiny_patch16_224+timm/vit_small_patch14_dinov2.lvd142m")
    assert caught.value.hint


def test_licences_are_joined_and_an_unknown_one_leaves_it_unknown() -> None:
    licenses = {
        name: find_model(name).weights.license
        for name in (
            PAIR,
            "efficientnet_lite0+pretrainedmodels/resnet18",
            "efficientnet_lite0+timm/resnext50_32x4d.fb_swsl_ig1b_ft_in1k",
        )
    }
    assert list(licenses.values()) == ["Apache-2.0", "", "Apache-2.0 AND CC-BY-NC-4.0"]


def test_joined_licences_permit_what_each_permits() -> None:
    assert permits_commercial_use("Apache-2.0 AND MIT") is True
    assert permits_commercial_use("Apache-2.0 AND CC-BY-NC-4.0") is False
    assert permits_commercial_use("CC-BY-NC-4.0 AND gemma") is False
    assert permits_commercial_use("MIT AND gemma") is None
    assert license_terms("MIT AND Apache-2.0").count("any use") == 2


def test_the_weights_are_where_those_are_that_are_farthest() -> None:
    assert weights_state(find_model(PAIR)) == "package"
    assert weights_state(find_model("efficientnet_lite0+timm/resnet18")) == "missing"
    assert weights_state(find_model("pretrainedmodels/polynet+timm/resnet18")) == "no source"


def test_there_is_no_one_file_to_fetch() -> None:
    with pytest.raises(InputError, match="no weights file of its own") as caught:
        fetch(find_model(PAIR))
    assert "members" in caught.value.hint


def test_a_pair_is_listed_once_beside_its_parts() -> None:
    found = expand([PAIR, "efficientnet_lite0", PAIR.replace("lite1", "lite1.in1k")]).entries
    assert [each.architecture for each in found] == [PAIR, "efficientnet_lite0"]
