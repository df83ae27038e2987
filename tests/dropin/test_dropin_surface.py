"""The drop-in's names are the original's, and importing it is cheap."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pretrainedmodels

TAGS = {
    name: list(settings)
    for name, settings in pretrainedmodels.pretrained_settings.items()
    if len(settings) > 1
}


def test_there_are_45_models_with_their_weight_sets() -> None:
    assert len(pretrainedmodels.model_names) == len(set(pretrainedmodels.model_names)) == 45
    assert pretrainedmodels.model_names[0] == "fbresnet152"
    assert pretrainedmodels.model_names[-1] == "polynet"
    assert list(TAGS) == ["inceptionv4", "inceptionresnetv2", "nasnetalarge", "pnasnet5large"]
    assert all(tags == ["imagenet", "imagenet+background"] for tags in TAGS.values())


def test_settings_are_the_originals_but_for_better_addresses(shared: Path) -> None:
    original = json.loads((shared / "facts" / "pretrained_settings.json").read_text())
    assert list(original) == pretrainedmodels.model_names
    for name, tags in original.items():
        ours = pretrainedmodels.pretrained_settings[name]
        assert list(ours) == list(tags)
        for tag, settings in tags.items():
            assert {**ours[tag], "url": ""} == {**settings, "url": ""}, (name, tag)
            assert Path(ours[tag]["url"]).name == Path(settings["url"]).name


def test_recipe_of_old_scripts_lists_the_models() -> None:
    """Old scripts took every lower-case function of the package for a model."""
    names = [
        name
        for name, value in pretrainedmodels.__dict__.items()
        if name.islower() and not name.startswith("__") and callable(value)
    ]
    assert sorted(names) == sorted(pretrainedmodels.model_names)


def test_import_builds_nothing_and_brings_no_torch() -> None:
    code = "import sys, pretrainedmodels; print('torch' in sys.modules, 'torchvision' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    "statement",
    [
        "from pretrainedmodels import utils, datasets, models",
        "import pretrainedmodels.utils as utils; utils.TransformImage",
        "import pretrainedmodels.models.xception, pretrainedmodels.models as m; m.xception()",
        "from pretrainedmodels.models import *; se_resnet50",
        "from pretrainedmodels import *; se_resnet50, pretrained_settings, model_names",
        "import pretrainedmodels as p; p.datasets.Voc2007Classification, p.utils.Identity",
    ],
)
def test_old_imports(statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrainedmodels.constructors.construct", lambda *args: None)
    exec(statement, {})


def test_no_other_attribute() -> None:
    with pytest.raises(AttributeError, match="vggm"):
        pretrainedmodels.vggm  # noqa: B018
