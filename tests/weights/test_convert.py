"""Pickles become safetensors in the cache: once, bit by bit, and for no other file than the one they were."""

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from headstart.catalog.entry import Preprocessing, WeightsEntry, WeightsSource
from headstart.core.errors import CorruptWeightsError
from headstart.core.progress import Silent
from headstart.weights import WeightsFile, fetch, fetched_tensors, read_tensors
from headstart.weights import convert as convert_module


class Noting(Silent):
    """A `Progress` that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def odd_tensors() -> dict[str, torch.Tensor]:
    """Return tensors of every kind that checkpoints hold, in an order that is none of any alphabet."""
    shared = torch.arange(12.0)
    return {
        "z.weight": torch.tensor([[1.0, float("nan"), -0.0], [float("inf"), 1e-45, -2.0]]),
        "a.num_batches_tracked": torch.tensor(7),
        "m.half": torch.arange(5, dtype=torch.bfloat16),
        "b.tied": shared,
        "a.tied": shared,
        "c.view": shared[3:7],
        "d.transposed": torch.arange(6.0).reshape(2, 3).t(),
        "e.every_second": torch.arange(8)[::2],
        "f.empty": torch.empty(0, 4),
        "g.bytes": torch.arange(3, dtype=torch.uint8),
        "h.flags": torch.tensor([True, False]),
        "i.float16": torch.ones(2, dtype=torch.float16),
        "j.double": torch.ones(1, 1, 1, dtype=torch.float64) / 3,
        "k.bias.\u00fc": torch.ones(1),
    }


def packaged(path: Path, content: object) -> WeightsFile:
    """Write a pickle and return it as `fetch` returns a fetched file."""
    torch.save(content, path)
    return as_fetched(path)


def as_fetched(path: Path) -> WeightsFile:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source = WeightsSource(kind="url", location=f"https://weights.test/{path.name}", sha256=digest)
    return WeightsFile(path=path, sha256=digest, source=source, state="cached")


def conversions(home: Path) -> list[Path]:
    return sorted(home.rglob("*.safetensors"))


def bits(value: torch.Tensor) -> bytes:
    return value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert found[name].shape == value.shape, name
        assert bits(found[name]) == bits(value), name


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pickles that are opened."""
    paths: list[Path] = []

    def read(path: Path) -> dict[str, torch.Tensor]:
        paths.append(path)
        return read_tensors(path)

    monkeypatch.setattr(convert_module, "read_tensors", read)
    return paths


def test_tensors_of_every_kind_survive_in_their_order(tmp_path: Path, home: Path, opened: list[Path]) -> None:
    file = packaged(tmp_path / "a.pth", odd_tensors())
    assert_same(fetched_tensors(file), odd_tensors())
    assert_same(fetched_tensors(file), odd_tensors())
    assert opened == [file.path]
    assert [path.stem for path in conversions(home)] == [file.sha256]
    assert file.path.exists()


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_form_of_pickle_is_converted(
    tmp_path: Path, name: str, zipped: bool, opened: list[Path]
) -> None:
    tensors = {"w": torch.arange(3.0), "b": torch.ones(2)}
    torch.save({"state_dict": tensors}, tmp_path / name, _use_new_zipfile_serialization=zipped)
    file = as_fetched(tmp_path / name)
    assert_same(fetched_tensors(file), tensors)
    assert_same(fetched_tensors(file), tensors)
    assert len(opened) == 1


def test_safetensors_and_own_files_are_read_where_they_lie(tmp_path: Path, home: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    assert_same(fetched_tensors(as_fetched(tmp_path / "a.safetensors")), {"w": torch.ones(2)})
    torch.save({"w": torch.ones(2)}, tmp_path / "my.pth")
    source = WeightsSource(kind="file", location=str(tmp_path / "my.pth"))
    entry = WeightsEntry(tag="my", sources=(source,), preprocessing=Preprocessing())
    assert_same(fetched_tensors(fetch(entry)), {"w": torch.ones(2)})
    assert conversions(home) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "no pin", "not safetensors"])
def test_damaged_conversion_is_made_again(
    tmp_path: Path, home: Path, damage: str, opened: list[Path]
) -> None:
    file = packaged(tmp_path / "a.pth", odd_tensors())
    fetched_tensors(file)
    (converted,) = conversions(home)
    content = converted.read_bytes()
    converted.unlink()  # it may still be mapped
    if damage == "no pin":
        converted.write_bytes(content)
        converted.with_name(converted.name + ".json").unlink()
    else:
        spoilt = {"truncated": content[:-1], "flipped": content[:-1] + b"\x07", "empty": b""}
        converted.write_bytes(spoilt.get(damage, b"<html>" * 100))
    assert_same(fetched_tensors(file), odd_tensors())
    assert len(opened) == 2
    assert_same(fetched_tensors(file), odd_tensors())
    assert len(opened) == 2


def test_conversion_of_another_file_is_not_taken(tmp_path: Path, home: Path) -> None:
    """Renamed together with its pin, it is sound in itself; what it was made from stands inside."""
    first = packaged(tmp_path / "a.pth", {"w": torch.zeros(2)})
    second = packaged(tmp_path / "b.pth", {"w": torch.ones(2)})
    fetched_tensors(first)
    (converted,) = conversions(home)
    for path in (converted, converted.with_name(converted.name + ".json")):
        path.rename(path.with_name(path.name.replace(first.sha256, second.sha256)))
    assert_same(fetched_tensors(second), {"w": torch.ones(2)})


def test_original_that_was_renamed_meets_its_own_conversion(tmp_path: Path) -> None:
    zeros, ones = packaged(tmp_path / "a.pth", {"w": torch.zeros(2)}), tmp_path / "b.pth"
    fetched_tensors(zeros)
    packaged(ones, {"w": torch.ones(2)})
    ones.replace(zeros.path)
    assert_same(fetched_tensors(as_fetched(zeros.path)), {"w": torch.ones(2)})


def test_original_that_was_changed_behind_its_pin_is_not_converted(tmp_path: Path, home: Path) -> None:
    file = packaged(tmp_path / "a.pth", {"w": torch.zeros(2)})
    packaged(tmp_path / "a.pth", {"w": torch.ones(2)})
    with pytest.raises(CorruptWeightsError, match=f"expected {file.sha256}"):
        fetched_tensors(file)
    assert conversions(home) == []


def test_conversion_of_another_format_is_made_again(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, opened: list[Path]
) -> None:
    file = packaged(tmp_path / "a.pth", {"w": torch.zeros(2)})
    with monkeypatch.context() as later:
        later.setattr(convert_module, "CONVERSION_FORMAT", 99)
        fetched_tensors(file)
    assert_same(fetched_tensors(file), {"w": torch.zeros(2)})
    assert len(opened) == 2
    with safe_open(conversions(home)[0], framework="pt") as converted:
        assert json.loads(converted.metadata()["headstart"])["format"] == 1


def test_wrong_copy_never_gets_the_final_name(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read back is compared: here the second tensor comes back with one bit changed."""

    def spoilt(path: Path) -> dict[str, torch.Tensor]:
        tensors = load_file(path)
        tensors["b"] = -tensors["b"]  # of zeros: equal as numbers, not as bits
        return tensors

    file = packaged(tmp_path / "a.pth", {"a": torch.ones(2), "b": torch.zeros(2)})
    monkeypatch.setattr(convert_module, "load_file", spoilt)
    progress = Noting()
    assert_same(fetched_tensors(file, progress=progress), {"a": torch.ones(2), "b": torch.zeros(2)})
    assert "the tensors b do not come back as they were" in progress.notes[0]
    assert conversions(home) == []
    assert not [path for path in home.rglob("*") if path.name.endswith(".part")]


def test_dtype_that_safetensors_lacks_is_read_as_it_is(tmp_path: Path, home: Path) -> None:
    file = packaged(tmp_path / "a.pth", {"w": torch.ones(2, dtype=torch.complex128)})
    progress = Noting()
    assert fetched_tensors(file, progress=progress)["w"].dtype == torch.complex128
    assert len(progress.notes) == 1
    assert conversions(home) == []


def test_full_disk_costs_the_conversion_only(tmp_path: Path, home: Path) -> None:
    """A limit on the size of files stands for it: writing fails in the middle, as on a full disk."""
    resource = pytest.importorskip("resource")
    file = packaged(tmp_path / "a.pth", {"w": torch.arange(300_000.0)})
    progress = Noting()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        tensors = fetched_tensors(file, progress=progress)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert torch.equal(tensors["w"], torch.arange(300_000.0))
    assert "cannot be kept as safetensors" in progress.notes[0]
    assert file.path.exists()
    assert conversions(home) == []
    assert not [path for path in home.rglob("*") if path.name.endswith(".part")]
    fetched_tensors(file)
    assert len(conversions(home)) == 1


def test_unwritable_cache_costs_the_conversion_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = packaged(tmp_path / "a.pth", {"w": torch.ones(2)})
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "file" / "home"))
    progress = Noting()
    assert_same(fetched_tensors(file, progress=progress), {"w": torch.ones(2)})
    assert len(progress.notes) == 1


def test_program_in_a_fetched_pickle_does_not_run(tmp_path: Path, home: Path) -> None:
    class Program:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    with (tmp_path / "a.pth").open("wb") as file:
        pickle.dump({"w": Program()}, file)
    with pytest.raises(CorruptWeightsError):
        fetched_tensors(as_fetched(tmp_path / "a.pth"))
    assert not (tmp_path / "ran").exists()
    assert conversions(home) == []


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path, home: Path) -> None:
    file = packaged(tmp_path / "a.pth", {"w": torch.ones(2)})
    folder = home / "weights" / "@converted"
    folder.mkdir(parents=True)
    (folder / f".{file.sha256}.safetensors.123.abcd.part").write_bytes(b"half of a conver")
    fetched_tensors(file)
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]


def test_two_at_once_make_one_conversion(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = packaged(tmp_path / "a.pth", {"w": torch.ones(2)})
    both_read = threading.Barrier(2, timeout=20)
    written: list[Path] = []

    def read(path: Path) -> dict[str, torch.Tensor]:
        both_read.wait()  # neither has found a conversion, and each is about to make one
        return read_tensors(path)

    def write(tensors: dict[str, torch.Tensor], path: Path, **options: object) -> None:
        written.append(path)
        save_file(tensors, path, **options)

    monkeypatch.setattr(convert_module, "read_tensors", read)
    monkeypatch.setattr(convert_module, "save_file", write)
    with ThreadPoolExecutor(2) as pool:
        for tensors in pool.map(fetched_tensors, [file, file]):
            assert_same(tensors, {"w": torch.ones(2)})
    assert len(written) == 1
    assert_same(fetched_tensors(file), {"w": torch.ones(2)})


CONVERT_IN_A_PROCESS = """
import hashlib, sys
from pathlib import Path
from headstart.catalog.entry import WeightsSource
from headstart.weights import WeightsFile, fetched_tensors

path = Path(sys.argv[1])
digest = hashlib.sha256(path.read_bytes()).hexdigest()
source = WeightsSource(kind="url", location="https://weights.test/a.pth", sha256=digest)
file = WeightsFile(path=path, sha256=digest, source=source, state="cached")
print("ready", flush=True)
sys.stdin.readline()
print(float(sum(tensor.sum() for tensor in fetched_tensors(file).values())))
"""


@pytest.mark.slow  # importing torch twice
def test_two_processes_at_once_make_one_sound_conversion(tmp_path: Path, home: Path) -> None:
    file = packaged(tmp_path / "a.pth", {f"w{index}": torch.ones(1000) for index in range(200)})
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONVERT_IN_A_PROCESS, str(file.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [float(process.communicate(timeout=60)[0]) for process in processes] == [200_000.0] * 2
    (converted,) = conversions(home)
    pin = json.loads(converted.with_name(converted.name + ".json").read_text())
    assert as_fetched(converted).sha256 == pin["sha256"]
