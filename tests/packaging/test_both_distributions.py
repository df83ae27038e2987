"""headstart and the original distribution `pretrainedmodels` in one environment, with the real packages."""

import json
import os
import subprocess
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.core.drop_in import MENDING

pytestmark = pytest.mark.slow  # environments are made, and the original is fetched and built

ROOT = Path(__file__).resolve().parents[2]
ORIGINAL = ("pretrainedmodels==0.7.4", "six", "munch")  # it imports six, but does not ask for it
WHERE = (
    "import pretrainedmodels; print(pretrainedmodels.__version__, 'constructors' in dir(pretrainedmodels))"
)
OURS, THE_ORIGINAL = "0.7.4+headstart.0.1 True", "0.7.4+headstart.0.1 False"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs a command in a new environment, which has torch from the present one."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    (site_packages,) = home.rglob("site-packages")
    (site_packages / "present.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"HEADSTART_HOME": str(tmp_path / "cache"), "HEADSTART_OFFLINE": "1"}

    def run_here(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [str(scripts / words[0]), *words[1:]],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
            timeout=500,
        )
        assert ended.returncode == code, ended.stdout[-2000:] + ended.stderr[-3000:]
        return ended

    return run_here


def install_original(run: Run) -> None:
    run("python", "-m", "pip", "install", "--quiet", "--no-deps", *ORIGINAL)


def install_ours(run: Run, wheel: Path) -> None:
    """With the second command of the hint, for pip also sees the headstart of the present environment."""
    run("python", "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", str(wheel))


def follow_the_hint(run: Run, wheel: Path) -> None:
    first, second = (command.split() for command in MENDING.split(", then "))
    assert second[-1] == "headstart"
    run("python", "-m", *first, "--yes")
    run("python", "-m", *second[:-1], "--quiet", str(wheel))


def doctor(run: Run) -> str:
    findings = json.loads(run("headstart", "doctor", "--json").stdout)
    assert ("drop-in hint" in findings) == (findings["drop-in"] != "in order")
    assert findings.get("drop-in hint", MENDING) == MENDING
    return str(findings["drop-in"])


def check_in_order(run: Run) -> None:
    assert doctor(run) == "in order"
    assert run("python", "-W", "error", "-c", WHERE).stdout.strip() == OURS


def check_mixed(run: Run, in_force: str) -> None:
    assert doctor(run) == "mixed with the original distribution pretrainedmodels 0.7.4"
    said = run("python", "-c", WHERE)
    assert said.stdout.strip() == in_force
    assert "<string>:1: UserWarning" in said.stderr  # the line that imports it
    assert MENDING in said.stderr
    assert MENDING in run("python", "-W", "error::UserWarning", "-c", WHERE, code=1).stderr


def test_ours_over_the_original_and_the_original_uninstalled(run: Run, wheel: Path) -> None:
    install_original(run)
    install_ours(run, wheel)
    check_mixed(run, in_force=OURS)
    run("python", "-m", "pip", "uninstall", "--quiet", "--yes", "pretrainedmodels")
    assert doctor(run).startswith("files of headstart missing: ")
    said = run("python", "-c", WHERE, code=1).stderr
    assert "ImportError: files of headstart's package" in said
    assert MENDING in said
    follow_the_hint(run, wheel)
    check_in_order(run)


def test_the_original_over_ours(run: Run, wheel: Path) -> None:
    install_ours(run, wheel)
    check_in_order(run)
    install_original(run)
    check_mixed(run, in_force=THE_ORIGINAL)
    follow_the_hint(run, wheel)
    check_in_order(run)


def test_the_original_beside_a_checkout(run: Run) -> None:
    """What is installed in editable form stands behind the folder that the original is in."""
    install_original(run)
    run("python", "-m", "pip", "install", "--quiet", "--no-deps", "--editable", str(ROOT))
    state = doctor(run)
    assert state.startswith("shadowed by ")
    assert state.endswith(os.path.join("site-packages", "pretrainedmodels"))
    run("python", "-m", "pip", "uninstall", "--quiet", "--yes", "pretrainedmodels")
    check_in_order(run)
