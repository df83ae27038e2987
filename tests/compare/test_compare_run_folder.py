"""A run's folder: whose it is, who holds it, what it keeps."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from headstart.compare import load_comparison
from headstart.compare.run_folder import RunFolder
from headstart.core.errors import InputError, RunMismatchError, StorageError


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", {"seed": 0})
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    name = "timm/net@/very/long/" + "ä" * 200
    with folder.hold():
        assert folder.load_piece(name) is None
        folder.save_piece(name, {"plan": "fp32"}, {"upright": array, "turned": array.T})
        record, arrays = folder.load_piece(name) or ({}, {})
    assert record == {"plan": "fp32"}
    assert np.array_equal(arrays["turned"], array.T)
    assert folder.load_piece(name + "ä") is None


def test_names_that_differ_in_a_mark_do_not_meet(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {})
    for name in ("a/b", "a-b", "a@b"):
        folder.save_piece(name, {"name": name}, {"x": np.zeros(1, np.float32)})
    assert [folder.load_piece(name)[0] for name in ("a/b", "a-b", "a@b")] == [  # type: ignore[index]
        {"name": "a/b"},
        {"name": "a-b"},
        {"name": "a@b"},
    ]


def test_a_folder_of_something_else_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with (
        pytest.raises(RunMismatchError, match="not empty and is not a run") as caught,
        RunFolder(tmp_path, {}).hold(),
    ):
        pass
    assert caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize("text", ["[]", '{"editor.fontSize": 12}', '"settings"'])
def test_settings_of_another_program_are_no_run(text: str, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(RunMismatchError, match="is not a run"), RunFolder(tmp_path, {}).hold():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_a_run_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"format": 99, "digest": "", "settings": {}}')
    with pytest.raises(StorageError, match="format 99"), RunFolder(tmp_path, {}).hold():
        pass


def test_a_run_killed_at_its_very_start_goes_on(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".settings.json.123.abcd.part").touch()
    with RunFolder(tmp_path, {"seed": 0}).hold():
        pass
    assert (tmp_path / "settings.json").is_file()


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(StorageError, match=r"cannot write .*run"), RunFolder(tmp_path / "run", {}).hold():
        pass


HOLDER = """
import sys
from pathlib import Path
from headstart.compare.run_folder import RunFolder
with RunFolder(Path(sys.argv[1]), {"seed": 0}).hold():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match="another process is working in") as caught,
            RunFolder(run, {"seed": 0}).hold(),
        ):
            pass
        other.communicate()
    assert "--out" in caught.value.hint
    assert other.returncode == 0
    with RunFolder(run, {"seed": 0}).hold():
        pass


def test_a_run_that_began_and_ended_meanwhile_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    late, acquire = RunFolder(tmp_path, {"seed": 1}), FileLock.acquire

    def acquire_late(lock: FileLock, *args: object, **keywords: object) -> object:
        monkeypatch.setattr(FileLock, "acquire", acquire)
        with RunFolder(tmp_path, {"seed": 0}).hold():
            pass
        return acquire(lock, *args, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(FileLock, "acquire", acquire_late)
    with pytest.raises(RunMismatchError, match="different: seed"), late.hold():
        pass


def test_a_write_that_fails_is_a_storage_error(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder = RunFolder(tmp_path, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match="cannot write"):
            folder.save_piece("model", {}, {"probabilities": np.zeros(1000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.load_piece("model") is None
    assert not list((tmp_path / "candidates").iterdir())


def test_the_log_has_a_time_on_each_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {})
    folder.log("first")
    folder.log("zweitens: ü")
    lines = (tmp_path / "run.log").read_text(encoding="utf-8").splitlines()
    assert [line[25:] for line in lines] == [" first", " zweitens: ü"]
    assert all(line[:25].endswith("+00:00") for line in lines)


def test_a_folder_without_a_comparison_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="holds no comparison"):
        load_comparison(tmp_path)
