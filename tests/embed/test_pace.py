"""Layouts and the compiler: chosen by what was measured, checked before they are used, never in the way."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.core.progress import SILENT
from headstart.embed import Engine
from headstart.embed import pace as pace_module
from headstart.embed.check import smallest_cosine
from headstart.embed.decoding import DecodedBatch
from headstart.embed.pace import Pace, Timings
from headstart.embed.plan import Plan, exact_plan
from headstart.models import Classifier

SIZE = 8
LONG = 104  # batches


@pytest.fixture(scope="module")
def classifier(tiny_models: tuple[str, str]) -> Classifier:
    loaded = hs.load(tiny_models[0])
    return loaded.with_preprocessing(replace(loaded.preprocessing, input_size=(32, 32)))


def fast_plan(**changes: object) -> Plan:
    plan = Plan(
        device="cpu",
        precision="fp32",
        decoder="fast",
        batch_size=SIZE,
        num_threads=torch.get_num_threads(),
        reason="",
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def batches(num: int, *, last: int = SIZE) -> Iterator[DecodedBatch]:
    generator = np.random.default_rng(0)
    for index in range(num):
        ids = tuple(f"{index}-{each}" for each in range(last if index == num - 1 else SIZE))
        pixels = generator.integers(0, 256, (len(ids), 32, 32, 3), np.uint8)
        yield DecodedBatch(order=ids, ids=ids, pixels=pixels, excluded=())


def paced(engine: Engine, num_pictures: int, cosine: float = 1.0) -> Pace:
    return Pace(
        engine, what="a network", num_pictures=num_pictures, min_cosine=lambda _: cosine, progress=SILENT
    )


def features_of(pace: Pace, num: int, *, last: int = SIZE) -> np.ndarray:
    rows = [features for _, features in pace.run(batches(num, last=last)) if features is not None]
    return np.concatenate(rows)


def test_a_guess_must_save_much_and_a_measurement_a_little() -> None:
    seen = Timings().with_seconds("channels-last", 0.02).with_seconds("channels-last", 0.01)
    assert seen.seconds == {"channels-last": 0.01}
    assert not Timings().worth_compiling(10**9, "fp32")
    assert not seen.worth_compiling(2_000, "fp32")
    assert seen.worth_compiling(200_000, "fp32")
    assert seen.worth_compiling(100_000 // 2, "bf16")
    measured = replace(seen.with_seconds("compiled", 0.005), compile_seconds=10.0)
    assert measured.worth_compiling(3_000, "fp32")
    assert not measured.worth_compiling(2_000, "fp32")
    assert not seen.with_seconds("compiled", 0.0099).worth_compiling(10**9, "fp32")
    assert not replace(seen, compile_error="no compiler").worth_compiling(10**9, "fp32")


def test_the_usual_layout_stays_unless_another_is_clearly_faster() -> None:
    usual = Timings().with_seconds("channels-last", 1.0)
    assert usual.best_layout("channels-last") == "channels-last"
    assert usual.with_seconds("contiguous", 0.99).best_layout("channels-last") == "channels-last"
    assert usual.with_seconds("contiguous", 0.99).best_layout("contiguous") == "contiguous"
    assert usual.with_seconds("contiguous", 0.9).best_layout("channels-last") == "contiguous"
    assert usual.with_seconds("compiled", 0.1).best_layout("contiguous") == "channels-last"
    assert Timings().best_layout("contiguous") == "contiguous"


def test_a_long_job_tries_layouts_and_remembers(classifier: Classifier, own_home: Path) -> None:
    engine = Engine(classifier, fast_plan())
    found = features_of(paced(engine, LONG * SIZE), LONG)
    exact = Engine(classifier, exact_plan(classifier.preprocessing, device="cpu", reason=""))
    expected = np.concatenate([exact.features(batch.pixels) for batch in batches(LONG)])
    assert smallest_cosine(expected, found) > 0.99999
    (file,) = (own_home / "plans").iterdir()
    record = json.loads(file.read_text())
    assert set(record["seconds"]) == {"channels-last", "contiguous"}
    # A second job begins with what is known, and tries nothing.
    record["seconds"] = {"channels-last": 1.0, "contiguous": 0.5}
    file.write_text(json.dumps(record))
    engine = Engine(classifier, fast_plan())
    features_of(paced(engine, 2 * SIZE), 2)
    assert (engine.plan.layout, engine.plan.compiled) == ("contiguous", False)
    file.write_text("{damaged")
    features_of(paced(Engine(classifier, fast_plan()), 2 * SIZE), 2)


def test_pictures_that_cannot_be_read_do_not_disturb_the_trials(classifier: Classifier) -> None:
    pace = paced(Engine(classifier, fast_plan()), LONG * SIZE)
    partly = (
        replace(batch, ids=batch.ids[1:], pixels=batch.pixels[1:]) if index else batch
        for index, batch in enumerate(batches(LONG))
    )
    rows = [features for _, features in pace.run(partly) if features is not None]
    assert sum(map(len, rows)) == LONG * SIZE - (LONG - 1)


def test_a_short_job_and_the_exact_plan_try_nothing(classifier: Classifier, own_home: Path) -> None:
    features_of(paced(Engine(classifier, fast_plan()), 3 * SIZE), 3)
    exact = replace(exact_plan(classifier.preprocessing, device="cpu", reason=""), batch_size=SIZE)
    features_of(paced(Engine(classifier, exact), LONG * SIZE), LONG)
    assert not (own_home / "plans").exists()


def eager_compiler(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let torch.compile trace and run without Inductor, which takes too long for a test; count its calls."""
    calls: list[object] = []
    real = torch.compile

    def compile_eagerly(network: torch.nn.Module, **options: object) -> object:
        calls.append(options)
        return real(network, backend="eager", dynamic=False)

    monkeypatch.setattr(torch, "compile", compile_eagerly)
    return calls


def test_what_is_compiled_gives_the_same_features_also_of_a_part_of_a_batch(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager_compiler(monkeypatch)
    engine, plain = Engine(classifier, fast_plan()), Engine(classifier, fast_plan())
    engine.use_compiled(True)
    for batch in batches(3, last=3):
        found = engine.features(batch.pixels)
        assert found.shape == (len(batch.ids), classifier.feature_dim)
        assert np.allclose(found, plain.features(batch.pixels), atol=1e-5)
    assert "compiled" in str(engine.plan)


@pytest.mark.parametrize(("cosine", "used"), [(1.0, True), (0.9, False)])
def test_what_is_compiled_is_checked_before_it_is_used(
    classifier: Classifier, own_home: Path, monkeypatch: pytest.MonkeyPatch, cosine: float, used: bool
) -> None:
    calls = eager_compiler(monkeypatch)
    monkeypatch.setattr(Timings, "worth_compiling", lambda *_: True)
    monkeypatch.setattr(pace_module, "_WORTH_SWITCHING", 1e9)  # whatever its speed
    engine = Engine(classifier, fast_plan())
    features_of(paced(engine, LONG * SIZE, cosine), LONG)
    assert (len(calls), engine.plan.compiled) == (1, used)
    record = json.loads(next((own_home / "plans").iterdir()).read_text())
    assert ("differ" in record["compile_error"]) is not used
    assert record["compile_seconds"] > 0


def test_a_network_that_cannot_be_compiled_is_run_as_it_was(
    classifier: Classifier, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Timings, "worth_compiling", lambda *_: True)

    def fail(_: Engine) -> float:
        raise RuntimeError("no working C++ compiler\nand much more")

    engine = Engine(classifier, fast_plan())
    pace = Pace(engine, what="a network", num_pictures=LONG * SIZE, min_cosine=fail, progress=SILENT)
    assert len(features_of(pace, LONG)) == LONG * SIZE
    assert not engine.plan.compiled
    record = json.loads(next((own_home / "plans").iterdir()).read_text())
    assert record["compile_error"] == "no working C++ compiler"
