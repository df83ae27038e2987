"""On an NVIDIA GPU: the same features, in the order of the pictures, also when its memory is short."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.embed import Embeddings, Engine, PlanOptions, embed
from headstart.embed.check import smallest_cosine
from headstart.embed.plan import Plan, batch_size, exact_plan
from headstart.models import Classifier
from headstart.train import LinearProbe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

SIZE = 16


@pytest.fixture(scope="module")
def classifier(tiny_models: tuple[str, str]) -> Classifier:
    loaded = hs.load(tiny_models[0])
    return loaded.with_preprocessing(replace(loaded.preprocessing, input_size=(64, 64)))


@pytest.fixture(autouse=True)
def all_memory() -> Iterator[None]:
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def run(classifier: Classifier, folder: Path, **options: str) -> Embeddings:
    return embed(classifier, hs.open_dataset(folder), options=PlanOptions(**options))  # type: ignore[arg-type]


def fast_plan(size: int = SIZE) -> Plan:
    return Plan(device="cuda", precision="bf16", decoder="fast", batch_size=size, num_threads=1, reason="")


def draw_batches(count: int, side: int = 64) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (SIZE, side, side, 3), np.uint8) for _ in range(count)]


def test_the_fast_plan_is_half_precision_and_near_the_exact_one(classifier: Classifier, shapes: Path) -> None:
    fast, exact = run(classifier, shapes), run(classifier, shapes, device="cpu", plan="exact")
    assert fast.plan.device == "cuda"
    assert fast.plan.precision in ("bf16", "fp16")
    assert fast.plan.batch_size == batch_size(classifier.preprocessing, device="cuda")
    assert fast.ids == exact.ids
    assert smallest_cosine(exact.features, fast.features) > 0.995
    # Each row is its own picture's: the mean taken off, it resembles that picture's exact row most.
    centred = [each.features - exact.features.mean(0) for each in (fast, exact)]
    first, second = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in centred)
    assert np.mean((first @ second.T).argmax(1) == np.arange(len(first))) > 0.98


def test_the_exact_plan_is_whole_float32_and_repeats_its_bits(classifier: Classifier, shapes: Path) -> None:
    on_cpu = run(classifier, shapes, device="cpu", plan="exact").features
    engines = [
        Engine(classifier, exact_plan(classifier.preprocessing, device="cuda", reason="")) for _ in range(2)
    ]
    pixels = draw_batches(1)[0]
    first, second = (engine.features(pixels) for engine in engines)
    assert np.array_equal(first, second)
    on_gpu = run(classifier, shapes, device="cuda", plan="exact").features
    assert np.abs(on_gpu - on_cpu).max() <= 1e-4 * np.abs(on_cpu).max()


def test_batches_in_flight_keep_their_features(classifier: Classifier) -> None:
    engine, batches = Engine(classifier, fast_plan()), draw_batches(8)
    expected = [engine.features(batch) for batch in batches]
    launched = [engine.launch(batch) for batch in batches]
    assert len(engine.features(batches[0][:3])) == 3
    for each, features in zip(launched, expected, strict=True):
        assert np.array_equal(each.result(), features)


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_also_of_a_part_of_a_batch(classifier: Classifier) -> None:
    plain, compiled = Engine(classifier, fast_plan()), Engine(classifier, fast_plan())
    compiled.use_compiled(True)
    batches = [*draw_batches(4), draw_batches(1)[0][:3]]
    launched = [compiled.launch(batch) for batch in batches]
    for batch, each in zip(batches, launched, strict=True):
        found = each.result()
        assert len(found) == len(batch)
        assert smallest_cosine(plain.features(batch), found) > 0.999


def test_a_batch_that_does_not_fit_goes_in_parts(classifier: Classifier) -> None:
    classifier = classifier.with_preprocessing(replace(classifier.preprocessing, input_size=(224, 224)))
    engine, pixels = Engine(classifier, fast_plan(128)), np.concatenate(draw_batches(8, side=224))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    expected = engine.features(pixels)
    needed = torch.cuda.max_memory_allocated() - before
    torch.cuda.empty_cache()
    # Recordings of tests before this one may keep memory that nobody else can have.
    allowed = torch.cuda.memory_reserved() + 0.7 * needed
    torch.cuda.set_per_process_memory_fraction(allowed / torch.cuda.get_device_properties(0).total_memory)
    assert smallest_cosine(expected, engine.features(pixels)) > 0.999


def test_the_probe_finds_the_same_on_the_gpu() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 2000)
    features = generator.normal(size=(2000, 64)).astype(np.float32)
    features[np.arange(2000), labels] += 2
    host, device = LinearProbe().fit(features, labels), LinearProbe(device="cuda").fit(features, labels)
    assert host.strength_ == device.strength_
    assert np.abs(host.predict_proba(features) - device.predict_proba(features)).max() < 1e-3
