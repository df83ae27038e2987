"""The command, run inside this process with what it prints kept, or as a process of its own."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import headstart as hs
from headstart.cli import main
from headstart.models import save_folder
from headstart.preprocess import with_resolution

Command = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    def error_lines(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]

    def hint_lines(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("hint: ")]


@pytest.fixture
def headstart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Command]:
    """A function that runs the command in this process, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "_exit", sys.exit)  # what ends the process after Ctrl-C

    def run(*words: str | Path, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["headstart", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Outcome(code=int(end.value.code or 0), out=said.out, err=said.err)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Command:
    """A function that runs the command as a process of its own, in an empty working folder."""

    def run(*words: str | Path, stdin: str = "", **environment: str) -> Outcome:
        ended = subprocess.run(
            [sys.executable, "-m", "headstart", *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            env={**os.environ, **environment},
            timeout=300,
            check=False,
        )
        return Outcome(code=ended.returncode, out=ended.stdout, err=ended.stderr)

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 224 kB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=224k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tiny_models: tuple[str, str]) -> Path:
    """A model folder that lies in no run, with the classes of the drawn shapes."""
    classifier = hs.load(tiny_models[1], num_classes=3)
    head = classifier.head
    small = with_resolution(classifier.preprocessing, 32)
    named = classifier.with_head(head, ("cross", "disc", "square")).with_preprocessing(small)  # type: ignore[arg-type]
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_folder(named, folder)
    return folder
