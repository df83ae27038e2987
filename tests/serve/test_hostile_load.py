"""Good and hostile requests mixed: no wrong answer, no crash, nothing that grows."""

import asyncio
import gc
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from running_service import Running, encoded

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Any:
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are in the checkout only")
    for name in ("load", "hostile"):
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module: ModuleType = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
    return module


def attack(hostile: Any, service: Running, num_requests: int, **settings: Any) -> dict[str, Any]:
    good = []
    with service.client() as client:
        for seed in range(8):
            raw = encoded(seed, size=(64, 48))
            answer = client.post("/predict", files={"f": raw}).json()["predictions"][0]
            good.append(
                hostile.GoodPicture(
                    request=hostile.form_request(raw),
                    label=answer["label"],
                    probability=answer["probability"],
                )
            )
    outcome: dict[str, Any] = asyncio.run(hostile.Attack(service.port, good, **settings).run(num_requests))
    assert outcome["wrong"] == []
    assert outcome["unexpected"] == {}
    assert outcome["unanswered"] == 0
    assert sum(n for kind, n in outcome["answers"].items() if kind == "good: 200") >= num_requests // 4
    with service.client() as client:
        assert client.get("/ready").status_code == 200
    return outcome


def test_a_few_hundred(hostile: Any, service: Running) -> None:
    outcome = attack(hostile, service, 400, connections=16, slow=3, flood=40)
    kinds = {kind.rpartition(":")[0] for kind in outcome["answers"]}
    assert len(kinds) > 20


@pytest.mark.heavy
def test_thousands_leave_the_memory_as_it_was(hostile: Any, service: Running) -> None:
    process = psutil.Process()
    attack(hostile, service, 3000)
    gc.collect()
    before = process.memory_info().rss
    outcome = attack(hostile, service, 12_000)
    gc.collect()
    assert outcome["statuses_of_floods"]["503"] > 1000
    assert process.memory_info().rss - before < 100 * 2**20


@pytest.mark.slow
def test_the_benchmark_is_one_command(hostile: Any, tmp_path: Path) -> None:
    for seed in range(4):
        (tmp_path / f"{seed}.jpg").write_bytes(encoded(seed, size=(200, 150)))
    command = [sys.executable, str(BENCHMARKS / "serving.py"), str(tmp_path), "--turns", "1"]
    command += ["--num-images", "128"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
    assert "of the offline rate" in printed
    assert "same class as offline: 100.0%" in printed
