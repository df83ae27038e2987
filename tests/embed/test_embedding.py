import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import headstart as hs
from headstart.catalog.entry import Preprocessing
from headstart.core.errors import InputError, StorageError
from headstart.data import dataset_from_arrays
from headstart.data.scan import scan
from headstart.embed import Embeddings, Engine, PlanOptions, choose_resolution, embed
from headstart.embed.cache import EmbeddingCache
from headstart.embed.check import smallest_cosine, spread_sample
from headstart.embed.plan import batch_size, choose_plan, fast_layout
from headstart.embed.resolution import Resolution
from headstart.embed.rows import find_places
from headstart.models import Classifier

EXACT = PlanOptions(device="cpu", plan="exact")


@pytest.fixture(scope="module")
def classifier(tiny_models: tuple[str, str]) -> Classifier:
    loaded = hs.load(tiny_models[0])
    return loaded.with_preprocessing(replace(loaded.preprocessing, input_size=(64, 64)))


def run(classifier: Classifier, folder: Path, options: PlanOptions = EXACT) -> Embeddings:
    return embed(classifier, hs.open_dataset(folder), options=options)


def test_rows_are_the_backbones_features_of_the_prepared_picture(
    classifier: Classifier, few_shapes: Path
) -> None:
    from headstart.data.decode import decode
    from headstart.preprocess import to_input, to_pixels

    embeddings = run(classifier, few_shapes)
    path = few_shapes / embeddings.ids[7]
    pixels = to_pixels(decode(path.read_bytes()), classifier.preprocessing)
    with torch.inference_mode():
        expected = classifier.features(
            to_input(torch.from_numpy(pixels.copy())[None], classifier.preprocessing)
        )
    assert np.allclose(embeddings.features[7], expected[0].numpy(), atol=1e-5)
    assert embeddings.features.shape == (45, classifier.feature_dim)
    assert [embeddings.class_names[label] for label in embeddings.labels[::15]] == ["cross", "disc", "square"]


def test_a_second_run_does_no_forward_pass(
    classifier: Classifier, few_shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(classifier, few_shapes, PlanOptions())

    def fail(*_: object) -> None:
        raise AssertionError("a forward pass")

    monkeypatch.setattr(Engine, "launch", fail)
    second = run(classifier, few_shapes, PlanOptions())
    assert (first.num_computed, second.num_computed) == (45, 0)
    assert np.array_equal(first.features, second.features)


def test_only_new_pictures_are_computed(
    classifier: Classifier, tmp_path: Path, draw_folder: Callable[..., Path]
) -> None:
    draw_folder(tmp_path / "d", per_class=4)
    before = run(classifier, tmp_path / "d")
    draw_folder(tmp_path / "d", per_class=6)
    after = run(classifier, tmp_path / "d")
    assert after.num_computed == 6
    assert np.array_equal(after.rows(before.ids), before.features)


def test_pictures_of_the_same_content_are_computed_once(classifier: Classifier) -> None:
    grey = np.full((6, 20, 20), 90, np.uint8)
    grey[3:] = 120
    dataset = dataset_from_arrays(grey, np.array([0, 0, 0, 1, 1, 1]), class_names=("a", "b"))
    embeddings = embed(classifier, dataset, options=EXACT)
    assert embeddings.num_computed == 2
    assert np.array_equal(embeddings.features[0], embeddings.features[2])
    assert not np.array_equal(embeddings.features[0], embeddings.features[3])


@pytest.mark.parametrize(
    "change",
    [
        {"input_size": (32, 32)},
        {"fit": "pad"},
        {"crop_fraction": 1.0},
        {"interpolation": "lanczos"},
        {"mean": (0.0, 0.0, 0.0)},
    ],
)
def test_the_key_changes_with_every_ingredient(
    classifier: Classifier, few_shapes: Path, change: dict[str, Any]
) -> None:
    changed = classifier.with_preprocessing(replace(classifier.preprocessing, **change))
    assert run(changed, few_shapes).space != run(classifier, few_shapes).space


def test_the_key_changes_with_the_weights_and_the_precision_but_not_with_the_head(
    classifier: Classifier, tiny_models: tuple[str, str], few_shapes: Path
) -> None:
    reference = run(classifier, few_shapes)
    head = torch.nn.Linear(classifier.feature_dim, 2)
    assert run(classifier.with_head(head, ("a", "b")), few_shapes).space == reference.space
    other = hs.load("timm/test_resnet", weights=None, seed=3).with_preprocessing(classifier.preprocessing)
    assert run(other, few_shapes).space != reference.space
    fast = run(classifier, few_shapes, PlanOptions(device="cpu", precision="bf16"))
    assert fast.plan.precision == "fp32" or fast.space != reference.space


# What a loss of power may leave, for the files do not wait for the disk.
@pytest.mark.parametrize(
    "damaged",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"",
        lambda raw: bytes(len(raw)),
        lambda raw: raw[:-1024] + bytes(1024),
    ],
    ids=["half", "nothing", "zeros", "zeros at the end"],
)
def test_a_damaged_cache_file_is_computed_again(
    classifier: Classifier, few_shapes: Path, own_home: Path, damaged: Callable[[bytes], bytes]
) -> None:
    first = run(classifier, few_shapes)
    for path in (own_home / "embeddings" / first.space).glob("rows-*"):
        path.write_bytes(damaged(path.read_bytes()))
    again = run(classifier, few_shapes)
    assert again.num_computed == 45
    assert np.array_equal(first.features, again.features)


def test_what_was_computed_before_an_error_stays(
    classifier: Classifier, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle: the whole batches before it are kept, and the result is the undisturbed one."""
    small = classifier.with_preprocessing(replace(classifier.preprocessing, input_size=(96, 96)))
    undisturbed = run(small, shapes)
    monkeypatch.setenv("HEADSTART_HOME", os.environ["HEADSTART_HOME"] + "-again")
    forward, calls = Engine.launch, []

    def stop_at_the_third(self: Engine, pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> object:
        calls.append(len(pixels))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(self, pixels)

    monkeypatch.setattr(Engine, "launch", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(small, shapes)
    monkeypatch.setattr(Engine, "launch", forward)
    again = run(small, shapes)
    assert again.num_computed == 540 - 2 * batch_size(small.preprocessing)
    assert np.array_equal(again.features, undisturbed.features)


def test_a_full_disk_is_a_clear_error(
    classifier: Classifier, few_shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        run(classifier, few_shapes)
    assert "headstart cache" in caught.value.hint


def test_two_writers_of_one_space_do_no_harm() -> None:
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    digests = ["aa" * 32, "bb" * 32]
    with EmbeddingCache({"space": 1}) as one, EmbeddingCache({"space": 1}) as two:
        one.append(digests, rows)
        two.append(digests[:1], rows[:1])
    out = np.zeros((3, 4), np.float32)
    found = EmbeddingCache({"space": 1}).load_into(out, find_places(["bb" * 32, "cc" * 32, "aa" * 32]))
    assert found.tolist() == [True, False, True]
    assert np.array_equal(out[[2, 0]], rows)


def test_a_picture_that_vanishes_after_the_scan_is_left_out_by_name(
    classifier: Classifier, tmp_path: Path, draw_folder: Callable[..., Path]
) -> None:
    draw_folder(tmp_path / "d", per_class=4)
    dataset = scan(hs.open_dataset(tmp_path / "d")).dataset
    (tmp_path / "d" / dataset.ids[2]).unlink()
    embeddings = embed(classifier, dataset, options=EXACT)
    assert len(embeddings.ids) == 11
    assert [each.id for each in embeddings.excluded] == [dataset.ids[2]]
    with pytest.raises(hs.HeadstartError, match="1 pictures have no features"):
        embeddings.rows(dataset.ids)


def test_a_fast_precision_that_is_not_good_enough_is_refused(classifier: Classifier) -> None:
    asked = PlanOptions(device="cpu", precision="bf16")
    cosines = {"bf16": 0.9985, "fp32": 1.0}
    good = choose_plan(classifier, options=asked, min_cosine=lambda plan: cosines[plan.precision])
    cosines["bf16"] = 0.9975
    bad = choose_plan(classifier, options=asked, min_cosine=lambda plan: cosines[plan.precision])
    assert (good.precision, bad.precision) == ("bf16", "fp32")
    assert "bf16 on cpu was refused" in bad.reason
    cosines["fp32"] = -2.0
    last = choose_plan(classifier, options=asked, min_cosine=lambda plan: cosines[plan.precision])
    assert (last.exact, last.decoder, last.precision) == (True, "exact", "fp32")
    assert "fp32 on cpu cannot be run" in last.reason
    assert choose_plan(classifier, options=EXACT, min_cosine=pytest.fail).exact
    with pytest.raises(InputError, match="exact plan computes in fp32"):
        choose_plan(classifier, options=PlanOptions(plan="exact", precision="bf16"), min_cosine=pytest.fail)


def test_a_device_that_is_not_here_is_named(classifier: Classifier) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(InputError, match="'cuda' is not usable here; usable: cpu"):
        choose_plan(classifier, options=PlanOptions(device="cuda"), min_cosine=lambda *_: 1.0)


def test_a_network_of_one_channel_has_no_depthwise_convolutions() -> None:
    assert fast_layout(nn.Sequential(nn.Conv2d(1, 8, 3)), "cuda") == "channels-last"


def test_depthwise_convolutions_are_run_contiguous_on_a_gpu() -> None:
    depthwise = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8))
    grouped = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=4))
    assert fast_layout(depthwise, "cuda") == "contiguous"
    assert fast_layout(depthwise, "cpu") == "channels-last"
    assert fast_layout(grouped, "cuda") == "channels-last"


def test_the_smallest_cosine() -> None:
    exact = np.array([[1, 0], [0, 0], [3, 4]], np.float32)
    assert smallest_cosine(exact, exact) == 1.0
    assert smallest_cosine(exact, np.array([[1, 0], [0, 0], [4, 3]], np.float32)) == pytest.approx(0.96)
    assert smallest_cosine(exact, np.array([[1, 0], [0, 0], [3, np.nan]], np.float32)) == -1.0
    assert smallest_cosine(exact, np.array([[1, 0], [0, 1], [3, 4]], np.float32)) == 0.0


@pytest.mark.parametrize(
    ("num", "expected"), [(0, 0), (3, 3), (4, 4), (100, 4), (250, 10), (400, 16), (9999, 16)]
)
def test_the_sample_is_small_against_the_job(num: int, expected: int) -> None:
    sample = spread_sample([str(index) for index in range(num)])
    assert len(set(sample)) == expected
    assert num < 25 or int(sample[-1]) >= num * 0.7


@pytest.mark.parametrize(
    ("resolution", "side", "expected"),
    [("auto", 32, 128), ("auto", 64, 224), ("native", 32, 224), (96, 500, 96), (256, 8, 256)],
)
def test_resolution(resolution: Resolution, side: int, expected: int) -> None:
    sides = np.full(9, side)
    chosen = choose_resolution(Preprocessing(), sides, resolution=resolution)
    assert chosen.input_size == (expected, expected)


def test_resolution_knows_its_bounds() -> None:
    sides = np.full(9, 32)
    with pytest.raises(InputError, match="between 32 and 2048"):
        choose_resolution(Preprocessing(), sides, resolution=8)
    with pytest.raises(InputError, match="224 px only, not 96"):
        choose_resolution(Preprocessing(), sides, resolution=96, fixed=True)
    assert choose_resolution(Preprocessing(), sides, fixed=True).input_size == (224, 224)
    assert choose_resolution(Preprocessing(), sides, fit="pad").fit == "pad"
