"""`fit_one`: a comparison with a single candidate, which must not fail."""

from dataclasses import replace
from pathlib import Path

import pytest

from headstart.compare import CompareOptions, fit_one, load_comparison
from headstart.core.errors import InputError, ModelError
from headstart.data import Splits


def test_one_model_is_trained_and_scored(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    comparison = fit_one(tiny_models[0], holdout, out=tmp_path / "run", options=options)
    assert [row.name for row in comparison.rows] == [comparison.chosen] == [tiny_models[0]]
    assert [look.role for look in comparison.looks] == ["chosen"]
    assert "only candidate" in comparison.reason
    assert comparison.load_best().class_names == ("cross", "disc", "square")


def test_several_resolutions_or_models_are_refused(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    with pytest.raises(InputError, match="one resolution, 2 were given"):
        fit_one(tiny_models[0], holdout, out=tmp_path / "run", options=replace(options, resolutions=(32, 64)))
    with pytest.raises(InputError, match="stands for 3 models"):
        fit_one("starter/efficientnet_lite*", holdout, out=tmp_path / "run", options=options)
    assert not (tmp_path / "run").exists()


def test_its_failure_is_an_error(
    tiny_models: tuple[str, str],
    holdout: Splits,
    tmp_path: Path,
    options: CompareOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(ModelError, match="no candidate could be trained; torchvision/mobilenet") as caught:
        fit_one("torchvision/mobilenet_v3_small", holdout, out=tmp_path / "run", options=options)
    assert caught.value.hint
    assert load_comparison(tmp_path / "run").rows[0].error
