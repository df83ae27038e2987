"""Names and patterns to rows, and the user's own rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from headstart.catalog import expand, fetched_path, find_model, list_models, weights_state
from headstart.core.errors import InputError, StorageError, UnknownModelError


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("HEADSTART_CATALOG", raising=False)
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def names(*args: Any, **options: Any) -> list[str]:
    return [entry.name for entry in list_models(*args, **options)]


class TestListModels:
    def test_starters_come_first_then_names(self) -> None:
        found = names()
        assert found[:3] == [f"starter/efficientnet_lite{n}.in1k" for n in range(3)]
        assert found[3:] == sorted(found[3:], key=str.lower)

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("efficientnet_lite?", "starter/efficientnet_lite2.in1k"),
            ("STARTER/*", "starter/efficientnet_lite0.in1k"),
            ("resnet50", "torchvision/resnet50.IMAGENET1K_V1"),
            ("resnet50.imagenet*", "torchvision/resnet50.IMAGENET1K_V2"),
            ("timm/resnet50*.a1_in1k", "timm/resnet50.a1_in1k"),
            ("timm/resnet[35]*", "timm/resnet34.a1_in1k"),
        ],
    )
    def test_pattern_fits_names_with_and_without_provider(self, pattern: str, expected: str) -> None:
        assert expected in names(pattern)

    def test_pattern_must_fit_the_whole_name(self) -> None:
        assert names("esnet50") == []
        assert not any(name.startswith("timm/wide") for name in names("resnet50*"))

    def test_provider_and_size_filter(self) -> None:
        assert {name.split("/")[0] for name in names(provider="torchvision")} == {"torchvision"}
        small = list_models(max_params=5e6)
        assert small
        assert max(entry.num_params for entry in small) <= 5e6

    def test_available_follows_files_on_this_machine(self) -> None:
        wanted = "torchvision/resnet18.IMAGENET1K_V1"
        assert wanted not in names(available=True)
        path = fetched_path(find_model(wanted).weights.sources[0])
        path.parent.mkdir(parents=True)
        path.touch()
        assert wanted in names(available=True)
        assert wanted not in names(available=False)
        assert weights_state(find_model(wanted)) == "cached"
        assert len(names(available=True)) + len(names(available=False)) == len(names())


class TestFindModel:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("efficientnet_lite0", "starter/efficientnet_lite0.in1k"),
            ("se_resnet50", "pretrainedmodels/se_resnet50.imagenet"),
            ("resnet50", "pretrainedmodels/resnet50.imagenet"),
            ("inceptionv4", "pretrainedmodels/inceptionv4.imagenet"),
            ("dpn92", "pretrainedmodels/dpn92.imagenet+5k"),
            ("resnet50.IMAGENET1K_V1", "torchvision/resnet50.IMAGENET1K_V1"),
            ("torchvision/resnet50", "torchvision/resnet50.IMAGENET1K_V2"),
            ("timm/resnet50", "timm/resnet50.a1_in1k"),
            ("resnet50.a1_in1k", "timm/resnet50.a1_in1k"),
            ("timm/resnet50.tv_in1k", "timm/resnet50.tv_in1k"),
        ],
    )
    def test_names_resolve_in_the_order_of_providers(self, name: str, expected: str) -> None:
        assert find_model(name).name == expected

    def test_unknown_name_offers_the_nearest_and_counts(self) -> None:
        with pytest.raises(UnknownModelError) as caught:
            find_model("resnet5O")
        assert str(caught.value) == f"no model is called 'resnet5O' ({len(names()):,} in the catalogue)"
        assert caught.value.hint == "did you mean 'resnet50'? See: headstart models 'resnet*'"

    def test_name_near_nothing_offers_the_list(self) -> None:
        with pytest.raises(UnknownModelError) as caught:
            find_model("qqqqqqqq")
        assert caught.value.hint == "see: headstart models"

    def test_own_checkpoint_of_a_known_architecture(self, tmp_path: Path) -> None:
        file = tmp_path / "my.safetensors"
        file.touch()
        entry = find_model(f"timm/resnet50@{file}")
        assert (entry.provider, entry.architecture) == ("checkpoint", "timm/resnet50")
        assert entry.name == f"timm/resnet50@{file}"
        assert entry.weights.preprocessing == find_model("timm/resnet50").weights.preprocessing
        assert [(source.kind, source.location) for source in entry.weights.sources] == [("file", str(file))]
        assert weights_state(entry) == "file"

    def test_own_checkpoint_must_exist_and_its_architecture_be_known(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no\.pth"):
            find_model(f"resnet50@{tmp_path}/no.pth")
        (tmp_path / "a.pth").touch()
        with pytest.raises(UnknownModelError, match="'resnet5O'"):
            find_model(f"resnet5O@{tmp_path}/a.pth")


class TestExpand:
    def test_order_is_kept_and_each_row_comes_once(self) -> None:
        found = expand(["efficientnet_lite1", "starter/*", "efficientnet_lite1"])
        assert [entry.architecture[-1] for entry in found.entries] == ["1", "0", "2"]
        assert found.notes == ()

    def test_twins_run_once_with_a_note(self) -> None:
        found = expand(["efficientnet_lite0", "timm/tf_efficientnet_lite0", "timm/tf_efficientnet_lite0*"])
        assert [entry.name for entry in found.entries] == ["starter/efficientnet_lite0.in1k"]
        assert len(found.notes) == 1
        assert "timm/tf_efficientnet_lite0.in1k" in found.notes[0]
        assert "starter/efficientnet_lite0.in1k" in found.notes[0]

    def test_what_fits_nothing_is_an_error(self) -> None:
        with pytest.raises(UnknownModelError, match="pattern 'qq"):
            expand(["qq*"])
        with pytest.raises(UnknownModelError):
            expand(["efficientnet_lite0", "resnet5O"])
        with pytest.raises(InputError):
            expand([])


GOOD = {"name": "mine/flowers", "architecture": "timm/resnet50", "file": "my.pth"}


class TestOwnRows:
    @pytest.fixture
    def write(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        def write(content: object) -> Path:
            path = tmp_path / "rows" / "catalog.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            monkeypatch.setenv("HEADSTART_CATALOG", str(path))
            return path

        return write

    def test_row_takes_from_the_known_model_what_it_leaves_out(self, write: Any) -> None:
        row = GOOD | {"num_classes": 12, "preprocessing": {"input_size": [160, 200], "fit": "squash"}}
        folder = write([row]).parent
        entry = find_model("mine/flowers")
        base = find_model("timm/resnet50")
        assert (entry.provider, entry.architecture, entry.family) == ("checkpoint", "timm/resnet50", "resnet")
        assert entry.weights.num_classes == 12
        assert entry.weights.preprocessing.input_size == (160, 200)
        assert entry.weights.preprocessing.fit == "squash"
        assert entry.weights.preprocessing.mean == base.weights.preprocessing.mean
        assert entry.weights.license == ""
        assert Path(entry.weights.sources[0].location) == folder / "my.pth"
        assert weights_state(entry) == "missing"
        (folder / "my.pth").touch()
        assert weights_state(entry) == "file"

    def test_rows_are_listed_and_found_with_and_without_folder(self, write: Any) -> None:
        write([GOOD])
        assert "mine/flowers" in names()
        assert names("mine/*") == names("flow*") == ["mine/flowers"]
        assert find_model("flowers").name == "mine/flowers"

    def test_sources_in_place_of_a_file(self, write: Any) -> None:
        row = {"name": "mine/net", "architecture": "resnet18"}
        write([row | {"sources": [["hub", "me/net", "a.safetensors"], ["url", "https://example.org/a.pth"]]}])
        assert [source.kind for source in find_model("mine/net").weights.sources] == ["hub", "url"]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": None}, "name"),
            ({"name": "resnet50"}, "name"),
            ({"architecture": "resnet5O"}, "architecture"),
            ({"num_classes": "twelve"}, "num_classes"),
            ({"num_classes": True}, "num_classes"),
            ({"num_clases": 12}, "num_clases"),
            ({"file": 3}, "file"),
            ({"top1": 76.1}, "top1"),
            ({"sha256": "XYZ"}, "sha256"),
            ({"preprocessing": {"fit": "stretch"}}, "preprocessing.fit"),
            ({"preprocessing": {"input_size": 224}}, "preprocessing.input_size"),
            ({"preprocessing": {"std": [1, 1, 0]}}, "preprocessing.std"),
            ({"preprocessing": {"size": 224}}, "preprocessing.size"),
            ({"sources": [["url", "https://example.org"]]}, "file"),
        ],
    )
    def test_mistake_names_file_row_and_field(self, write: Any, change: dict[str, Any], field: str) -> None:
        path = write([GOOD | {"name": "mine/first"}, GOOD | change])
        with pytest.raises(InputError) as caught:
            list_models()
        assert str(path) in str(caught.value)
        assert "row 2" in str(caught.value)
        assert f"field '{field}'" in str(caught.value)

    @pytest.mark.parametrize(
        ("missing", "field"), [("name", "name"), ("architecture", "architecture"), ("file", "file")]
    )
    def test_missing_field_is_named(self, write: Any, missing: str, field: str) -> None:
        write([{key: value for key, value in GOOD.items() if key != missing}])
        with pytest.raises(InputError, match=f"row 1.*field '{field}'"):
            find_model("mine/flowers")

    @pytest.mark.parametrize("source", [["ftp", "x"], ["hub", "me/net"], "x", ["url"]])
    def test_source_that_is_none_is_named(self, write: Any, source: object) -> None:
        write([{"name": "a/b", "architecture": "resnet18", "sources": [source]}])
        with pytest.raises(InputError, match="field 'sources'"):
            list_models()

    @pytest.mark.parametrize("content", [{"rows": []}, [3], [[]], 3])
    def test_other_content_is_an_input_error(self, write: Any, content: object) -> None:
        write(content)
        with pytest.raises(InputError):
            list_models()

    def test_second_row_of_a_name_is_refused(self, write: Any) -> None:
        write([GOOD, GOOD])
        with pytest.raises(InputError, match=r"row 2.*earlier row"):
            list_models()

    def test_broken_or_missing_file_is_a_storage_error(
        self, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write("[{")
        with pytest.raises(StorageError, match="not valid JSON"):
            list_models()
        monkeypatch.setenv("HEADSTART_CATALOG", str(tmp_path / "no.json"))
        with pytest.raises(StorageError, match="cannot read"):
            list_models()
