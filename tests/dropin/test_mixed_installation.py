"""A folder `pretrainedmodels` that the original distribution also wrote to, or removed files from."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.cli.installation import IN_ORDER, drop_in_findings, drop_in_state
from headstart.core.drop_in import MENDING

SOURCES = Path(__file__).resolve().parents[2] / "src"
BOTH_COMMANDS = ("pip uninstall pretrainedmodels", "pip install --force-reinstall --no-deps headstart")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A folder with our `__init__.py` and one more file of ours."""
    folder = tmp_path / "site-packages" / "pretrainedmodels"
    folder.mkdir(parents=True)
    for name in ("__init__.py", "constructors.py"):
        (folder / name).touch()
    return folder


def state(ours: Path, *, found: Path | None = None, original: str = "") -> str:
    recorded = [ours / "__init__.py", ours / "constructors.py"]
    return drop_in_state(ours, found=found or ours, recorded=recorded, original=original)


def test_our_files_alone_are_in_order(ours: Path) -> None:
    assert state(ours) == IN_ORDER
    assert state(ours, original="0.7.4") == IN_ORDER  # installed elsewhere, and not what is imported


@pytest.mark.parametrize("name", ["version.py", "models/vggm.py"])
def test_files_of_the_original_are_noticed(ours: Path, name: str) -> None:
    (ours / "models").mkdir()
    (ours / name).touch()
    assert state(ours, original="0.7.4") == "mixed with the original distribution pretrainedmodels 0.7.4"
    assert state(ours) == "mixed with the original distribution pretrainedmodels"


def test_missing_files_are_noticed(ours: Path) -> None:
    (ours / "constructors.py").unlink()
    assert state(ours) == f"files of headstart missing: 1, such as {ours / 'constructors.py'}"
    (ours / "__init__.py").unlink()
    found = ours.with_name("pretrainedmodels.py")
    assert state(ours, found=found) == f"files of headstart missing: 2, such as {ours / '__init__.py'}"


def test_another_package_in_front_is_noticed(ours: Path, tmp_path: Path) -> None:
    assert state(ours, found=tmp_path / "other") == f"shadowed by {tmp_path / 'other'}"


def test_this_environment_is_in_order() -> None:
    assert drop_in_findings() == {"drop-in": IN_ORDER}


def test_the_hint_has_both_commands() -> None:
    assert all(command in MENDING for command in BOTH_COMMANDS)


def test_the_version_warns_in_a_mixed_folder(tmp_path: Path) -> None:
    """The version's module is the one that both distributions' `__init__.py` import."""
    shutil.copytree(SOURCES / "pretrainedmodels" / "version", tmp_path / "version")
    spec = importlib.util.spec_from_file_location("version", tmp_path / "version" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # warnings are errors: there is none
    (tmp_path / "version.py").touch()
    with pytest.warns(UserWarning, match="files are mixed") as caught:
        spec.loader.exec_module(module)
    assert all(command in str(caught[0].message) for command in BOTH_COMMANDS)


def test_importing_what_is_left_names_both_commands(tmp_path: Path) -> None:
    """After the original was uninstalled the folder has no `__init__.py`; the file beside it speaks."""
    shutil.copyfile(SOURCES / "pretrainedmodels.py", tmp_path / "pretrainedmodels.py")
    (tmp_path / "pretrainedmodels" / "version").mkdir(parents=True)
    (tmp_path / "pretrainedmodels" / "version" / "__init__.py").touch()
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(SOURCES)!r}]; import pretrainedmodels"
    ended = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert "ImportError: files of headstart's package 'pretrainedmodels' are missing" in ended.stderr
    assert all(command in ended.stderr for command in BOTH_COMMANDS)
