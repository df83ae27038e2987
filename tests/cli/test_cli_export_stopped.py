"""An export that a full disk or Ctrl-C ends: nothing half is left, and an earlier file stays as it was."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits are Unix's")

LIMIT_BYTES = 100_000
# The real command in a process that may write no larger file, which stands for a full disk.
LIMITED = f"""
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT_BYTES}, {LIMIT_BYTES}))
runpy.run_module("headstart", run_name="__main__")
"""
FORMATS = [
    "t.pt2",
    "t.safetensors",
    pytest.param("t.onnx", marks=pytest.mark.slow),
    pytest.param("t.xml", marks=pytest.mark.slow),
]


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A folder with an earlier export of every format."""
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("t.pt2", "t.safetensors", "t.onnx", "t.xml", "t.bin"):
        (folder / name).write_text(f"an earlier {name}")
        (folder / f"{name}.py").write_text(f"an earlier program for {name}")
    return folder


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """An empty folder for the command's temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def content(folder: Path) -> dict[str, str]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return {str(each.relative_to(folder)): each.read_text(errors="replace") for each in files}


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk(name: str, tiny_folder: Path, earlier: Path, temporary: Path) -> None:
    before = content(earlier)
    command = [sys.executable, "-c", LIMITED, "export", str(tiny_folder), "-o", str(earlier / name)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 1, ended.stderr
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "cannot write" in errors[0]
    assert "Traceback" not in ended.stderr
    assert content(earlier) == before
    assert content(temporary) == {}


@pytest.mark.slow
def test_a_full_disk_for_temporary_files(
    process: Callable, tiny_folder: Path, few_shapes: Path, small_disk: Path
) -> None:
    words = ["-o", "t.onnx", "--quantize", "int8", "--pictures", few_shapes]
    said = process("export", tiny_folder, *words, TMPDIR=str(small_disk))
    assert said.code == 1
    [error] = said.error_lines()
    assert f"cannot write {small_disk}" in error
    assert "free some space" in said.hint_lines()[0]
    assert content(small_disk) == {}
    assert not list(small_disk.parent.glob("*t.onnx*"))


def interrupted(command: list[str], *, stage: str, seconds: float, temporary: Path) -> tuple[int, str]:
    """Press Ctrl-C some seconds after a command says that a stage begins; return its code and words."""
    running = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        # A shell that runs the tests in its background has Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert running.stderr is not None
    said = []
    for line in running.stderr:
        said.append(line)
        if line.startswith(stage):
            break
    time.sleep(seconds)
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=120)
    return running.returncode, "".join(said) + rest


def assert_stopped(code: int, said: str) -> None:
    assert code == 130, said
    assert "error: stopped" in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said


def test_ctrl_c_while_the_file_is_proven(tiny_folder: Path, earlier: Path, temporary: Path) -> None:
    before = content(earlier)
    command = [sys.executable, "-m", "headstart", "export", str(tiny_folder), "-o", str(earlier / "t.pt2")]
    stopped = interrupted(command, stage="running the exported file", seconds=0, temporary=temporary)
    assert_stopped(*stopped)
    assert content(earlier) == before
    assert content(temporary) == {}


@pytest.mark.heavy
@pytest.mark.parametrize("words", [("t.onnx", "--quantize", "int8", "--max-loss", "1"), ("t.xml",)])
def test_ctrl_c_at_many_moments(
    tiny_folder: Path, few_shapes: Path, earlier: Path, temporary: Path, words: tuple[str, ...]
) -> None:
    before = content(earlier)
    chance = random.Random(3)
    name, *options = words
    command = [sys.executable, "-m", "headstart", "export", str(tiny_folder), "-o", str(earlier / name)]
    command += [*options, "--pictures", str(few_shapes)]
    stages = ["converting", "predicting", "running the exported file"]
    stages += ["taking ranges for int8"] if "int8" in words else []
    for stage in stages:
        most = 3.0 if stage == "converting" else 0.05
        code, said = interrupted(command, stage=stage, seconds=chance.uniform(0, most), temporary=temporary)
        assert_stopped(code, said)
        assert content(earlier) == before, stage
        assert content(temporary) == {}, stage
