"""A run that was stopped goes on where it stopped, and ends as if nothing had happened."""

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from headstart.compare import CompareOptions, Comparison, compare, load_comparison
from headstart.core.errors import RunMismatchError, StorageError
from headstart.data import Splits
from headstart.embed import Engine

race = importlib.import_module("headstart.compare.run")
evidence = importlib.import_module("headstart.compare.evidence")
plan = importlib.import_module("headstart.embed.plan")

Run = Callable[[], Comparison]


@pytest.fixture
def run(tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions) -> Run:
    """A comparison like `finished`, in a folder of its own."""
    return lambda: compare(
        tiny_models, holdout, out=tmp_path / "run", options=replace(options, reference=tiny_models[1])
    )


def watch(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[tuple[Any, Any]]:
    """Return a list that gets the first argument and the result of every call."""
    function, calls = getattr(module, name), []

    def watched(*args: Any, **keywords: Any) -> Any:
        result = function(*args, **keywords)
        calls.append((args[0], result))
        return result

    monkeypatch.setattr(module, name, watched)
    return calls


def stop_at(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, call: int) -> None:
    """Let the user press Ctrl-C in one call of a function."""
    function, calls = getattr(module, name), []

    def stopping(*args: Any, **keywords: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*args, **keywords)

    monkeypatch.setattr(module, name, stopping)


def snapshot(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def assert_as_undisturbed(comparison: Comparison, finished: Comparison) -> None:
    def lasting(row: Any) -> Any:
        return replace(row, cost=None)

    assert list(map(lasting, comparison.rows)) == list(map(lasting, finished.rows))
    for field in ("chosen", "reason", "looks", "final", "confusion", "mistakes", "temperature", "digests"):
        assert getattr(comparison, field) == getattr(finished, field), field
    assert comparison.folder is not None
    assert finished.folder is not None
    name = "model/model.safetensors"
    ours, theirs = load_file(comparison.folder / name), load_file(finished.folder / name)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


def test_stopped_while_training_the_second_candidate(
    run: Run, tiny_models: tuple[str, str], finished: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, race, "gather", 2)
        with pytest.raises(KeyboardInterrupt):
            run()
    gathered = watch(monkeypatch, race, "gather")
    embedded = watch(monkeypatch, race, "embed_pictures")
    comparison = run()
    assert [candidate.name for candidate, _ in gathered] == [tiny_models[1]]
    assert embedded
    assert [result.embeddings.num_computed for _, result in embedded] == [0] * len(embedded)
    assert f"{tiny_models[0]}: evidence kept from an earlier start" in comparison.decisions
    assert_as_undisturbed(comparison, finished)


def test_stopped_while_embedding_the_second_candidate(
    run: Run, tiny_models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plan._MAX_BATCH, "cpu", 256)  # two batches a candidate
    forward, large = Engine.launch, []

    def stopping(engine: Engine, pixels: Any) -> Any:
        large.extend([len(pixels)] * (len(pixels) > 1))  # single ones measure the latency
        if len(large) == 4:
            raise KeyboardInterrupt
        return forward(engine, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "launch", stopping)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert large == [256, 14, 256, 14]
    embedded = watch(monkeypatch, race, "embed_pictures")
    resumed = run()
    computed = [(candidate.name, result.embeddings.num_computed) for candidate, result in embedded]
    assert computed[0] == (tiny_models[1], 14)
    assert sum(count for _, count in computed) == 14
    assert resumed.folder is not None
    resumed = replace(resumed, folder=resumed.folder.rename(tmp_path / "resumed"))
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "empty"))
    assert_as_undisturbed(resumed, run())


@pytest.mark.parametrize("step", ["choose", "look_at_test", "save_folder"])
def test_stopped_after_the_evidence(
    step: str, run: Run, finished: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, race, step, 1)
        with pytest.raises(KeyboardInterrupt):
            run()
    gathered = watch(monkeypatch, race, "gather")
    assert_as_undisturbed(run(), finished)
    assert not gathered


def test_a_finished_run_is_returned_as_it_is(
    finished: Comparison,
    tiny_models: tuple[str, str],
    holdout: Splits,
    options: CompareOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for step in ("embed_pictures", "gather", "choose", "look_at_test"):
        stop_at(monkeypatch, race, step, 1)
    assert finished.folder is not None
    before = snapshot(finished.folder)
    again = compare(
        tiny_models,
        holdout,
        out=str(finished.folder),
        options=replace(options, reference=tiny_models[1], command="another way to say it"),
    )
    assert again == finished
    assert snapshot(finished.folder) == before


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 1}, "seed"), ({"resolutions": (96,)}, "resolutions"), ({"fits": ("squash",)}, "fits")],
)
def test_other_settings_are_refused(
    change: dict[str, Any],
    named: str,
    finished: Comparison,
    tiny_models: tuple[str, str],
    holdout: Splits,
    options: CompareOptions,
) -> None:
    assert finished.folder is not None
    before = snapshot(finished.folder)
    with pytest.raises(RunMismatchError, match=rf"other settings \(different: {named}\)") as caught:
        compare(
            tiny_models,
            holdout,
            out=finished.folder,
            options=replace(options, reference=tiny_models[1], **change),
        )
    assert "--out" in caught.value.hint
    assert snapshot(finished.folder) == before


def test_other_models_pictures_and_references_are_refused(
    finished: Comparison, tiny_models: tuple[str, str], holdout: Splits, options: CompareOptions
) -> None:
    fewer = replace(holdout, train=holdout.train.select(range(150)))
    same = replace(options, reference=tiny_models[1])
    for models, pictures, chosen, named in (
        (tiny_models[::-1], holdout, same, "candidates, weights"),
        (tiny_models, fewer, same, "pictures"),
        (tiny_models, holdout, options, "reference"),
    ):
        with pytest.raises(RunMismatchError, match=rf"different: {named}\)"):
            compare(models, pictures, out=finished.folder, options=chosen)


def test_other_weights_in_the_same_file_are_another_run(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options: CompareOptions
) -> None:
    source = tiny_models[1].partition("@")[2]
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(Path(source).read_bytes())
    name = f"timm/test_efficientnet@{mine}"
    first = compare([name], holdout, out=tmp_path / "run", options=options)
    save_file({key: np.asarray(value * 2, value.dtype) for key, value in load_file(source).items()}, mine)
    with pytest.raises(RunMismatchError, match=r"different: weights\)"):
        compare([name], holdout, out=tmp_path / "run", options=options)
    second = compare([name], holdout, out=tmp_path / "other", options=options)
    assert second.digests[name] != first.digests[name]


@pytest.mark.parametrize("place", ["candidates", "embeddings"])
def test_a_full_disk_stops_the_run_and_keeps_what_was_done(
    place: str,
    run: Run,
    tiny_models: tuple[str, str],
    finished: Comparison,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if place in path.parts and list((tmp_path / "run" / "candidates").glob("*.json")):
            write(path, data[:10])
            raise OSError(28, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match="No space left on device") as caught:
            run()
    assert "free some space" in caught.value.hint
    assert len(list((tmp_path / "run" / "candidates").iterdir())) == 2
    with pytest.raises(StorageError, match="holds an unfinished comparison") as unfinished:
        load_comparison(tmp_path / "run")
    assert "again" in unfinished.value.hint
    gathered = watch(monkeypatch, race, "gather")
    assert_as_undisturbed(run(), finished)
    assert [candidate.name for candidate, _ in gathered] == [tiny_models[1]]


@pytest.mark.parametrize("damage", [b"", b'{"resolution": 64'])
def test_damaged_evidence_is_gathered_again(
    damage: bytes, run: Run, finished: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, race, "choose", 1)
        with pytest.raises(KeyboardInterrupt):
            run()
    records = sorted((tmp_path / "run" / "candidates").glob("*.json"))
    records[0].write_bytes(damage)
    records[1].with_suffix(".safetensors").write_bytes(damage)
    gathered = watch(monkeypatch, race, "gather")
    assert_as_undisturbed(run(), finished)
    assert len(gathered) == 2
