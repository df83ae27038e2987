"""Made-up comparisons of every shape that a report meets."""

import io
from collections.abc import Callable
from dataclasses import asdict, replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from headstart.catalog.entry import ModelEntry, Preprocessing, WeightsEntry, WeightsSource
from headstart.compare.records import (
    AlikeGroup,
    Calibration,
    Comparison,
    Cost,
    DoubtedLabel,
    Look,
    Mistake,
    NearTie,
    Protocol,
    ReliabilityBin,
    Row,
    TuningSummary,
)
from headstart.data.dataset import Exclusion
from headstart.evaluate.records import Estimate, Evaluation, KeptShare, PairedDifference, Rejection
from headstart.models.history import Epoch, History
from headstart.train.recipe import choose_recipe

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "🦄 & 'élan'",
    "x" * 250,
    "{{ 7 * 7 }}",
)

# Name, validation accuracy, latency in ms, parameters: the first is the best.
RACE = (
    ("timm/convnext_small.fb_in22k_ft_in1k", 0.957, 96.0, 50_223_688),
    ("starter/efficientnet_lite2@128", 0.951, 14.2, 6_092_072),
    ("starter/efficientnet_lite1@128", 0.944, 11.3, 5_416_680),
    ("starter/efficientnet_lite0@128", 0.937, 8.24, 4_652_008),
    ("torchvision/resnet50.IMAGENET1K_V2", 0.909, 41.0, 25_557_032),
    ("pretrainedmodels/se_resnet50", 0.883, 47.5, 28_088_024),
)


def estimate(value: float, *, n: int = 360, method: str = "wilson") -> Estimate:
    half = 1.96 * sqrt(max(value * (1 - value), 0.002) / n)
    return Estimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=n, method=method)


def evaluation(accuracy: float, *, n: int = 360) -> Evaluation:
    return Evaluation(
        accuracy=estimate(accuracy, n=n),
        balanced_accuracy=estimate(accuracy - 0.01, n=n, method="bootstrap"),
        macro_f1=estimate(accuracy - 0.015, n=n, method="bootstrap"),
        log_loss=Estimate(value=0.1834, low=0.142, high=0.2311, n=n, method="bootstrap"),
        calibration_error=estimate(0.021, n=n, method="bootstrap"),
        n=n,
    )


def entry(name: str, num_params: int) -> ModelEntry:
    provider, architecture = name.split("@")[0].split("/", 1)
    return ModelEntry(
        name=name,
        provider=provider,
        architecture=architecture,
        family=architecture.split("_")[0],
        weights=WeightsEntry(
            tag="imagenet",
            sources=(
                WeightsSource(kind="file", location="/home/ann/secret/my.safetensors", sha256="ab" * 32),
            ),
            license="Apache-2.0",
            pretrained_on="imagenet-1k",
            preprocessing=Preprocessing(),
        ),
        num_params=num_params,
        paper="https://arxiv.org/abs/1905.11946",
    )


def candidate(place: int, *, n: int = 288) -> Row:
    name, accuracy, latency_ms, num_params = RACE[place]
    behind = RACE[0][1] - accuracy
    return Row(
        name=name,
        model=name.split("@")[0],
        entry=entry(name, num_params),
        resolution=128 if "@128" in name else 224,
        validation=evaluation(accuracy, n=n),
        behind_best=None
        if place == 0
        else PairedDifference(value=behind, low=behind - 0.022, high=behind + 0.022, confidence=0.99, n=n),
        tied=behind < 0.022,
        regularization=0.0316,
        plan="bf16, channels-last, batch 64",
        cost=Cost(latency_ms=latency_ms, pictures_per_second=132.5, num_params=num_params),
        feature_dim=1280,
    )


def failed_candidate(name: str) -> Row:
    return Row(
        name=name,
        model=name,
        entry=None,
        resolution=0,
        error="no host that has 'resnest50.pth' answered: /home/ann/cache/resnest50.pth was not fetched",
        hint="set HEADSTART_MIRROR to a folder that holds it, or choose among: headstart models --available",
    )


def confusion_of(num_classes: int, total: int, *, accuracy: float = 0.95) -> tuple[tuple[int, ...], ...]:
    rng = np.random.default_rng(0)
    matrix = np.zeros((num_classes, num_classes), dtype=int)
    for true in rng.integers(0, num_classes, total):
        right = rng.random() < accuracy
        matrix[true, true if right else (true + rng.integers(1, min(4, num_classes))) % num_classes] += 1
    return tuple(tuple(int(number) for number in row) for row in matrix)


def build(
    class_names: tuple[str, ...], *, total: int = 360, nested: bool = False, places: int = 6
) -> Comparison:
    rows = tuple(candidate(place) for place in range(places))
    chosen = rows[min(1, places - 1)].name
    confusion = confusion_of(len(class_names), total)
    right = sum(confusion[index][index] for index in range(len(class_names))) / total
    final = evaluation(right, n=total)
    looks = (
        ()
        if nested
        else (
            Look(model=chosen, role="chosen", evaluation=final),
            Look(model=rows[-1].name, role="reference", evaluation=evaluation(0.88, n=total)),
        )
    )
    return Comparison(
        dataset_name="allotment flowers",
        dataset_location="flowers",
        fingerprint="12" * 32,
        class_names=class_names,
        class_counts=tuple(100 + 7 * index for index in range(len(class_names))),
        rows=(*rows, failed_candidate("timm/resnest50d.in1k")),
        chosen=chosen,
        reason="Not measurably worse than the best on validation pictures, and the cheapest of those by far.",
        reference=rows[-1].name,
        looks=looks,
        final=final,
        confusion=confusion,
        mistakes=tuple(mistake(index, class_names) for index in range(7)),
        excluded=tuple(
            Exclusion(id=f"roses/broken {index}.jpg", reason="truncated: 812 bytes missing")
            for index in range(130)
        ),
        num_duplicates=14,
        protocol=Protocol(
            selection="cross-validation" if nested else "holdout",
            estimate="nested cross-validation" if nested else "locked test",
            num_train=1149,
            num_validation=total if nested else 288,
            num_test=0 if nested else total,
            num_folds=5 if nested else 0,
            num_repeats=2 if nested else 0,
            given_splits=False,
            seed=7,
        ),
        preprocessing=Preprocessing(input_size=(128, 128), interpolation="bicubic"),
        temperature=1.17,
        decisions=(
            "dropped timm/tf_efficientnet_lite0.in1k: same tensors as starter/efficientnet_lite0",
            "bf16 on this processor: smallest cosine 0.9991 on 32 pictures of /home/ann/flowers/roses",
        ),
        command="headstart compare '/home/ann/my flowers' --models 'starter/*' --out /srv/runs/fl --seed 7",
        versions={"python": "3.11.7", "headstart": "0.1.0", "torch": "2.6.0", "timm": "1.0.15"},
        machine="AMD EPYC 7B13, 2 cores, 8 GB memory, no GPU",
        digests={"settings": "34" * 32, "data set": "56" * 32, rows[0].name: "78" * 32},
        seconds=73.4,
        started="2026-07-01T12:30:11+00:00",
        rejection=rejection(),
        near_ties=tuple(near_tie(index, class_names) for index in range(2)),
        doubted_labels=tuple(doubted_label(index, class_names) for index in range(2)),
        alike=(
            AlikeGroup(
                ids=("a/1.jpg", "b/1 copy.jpg", "b/2.jpg"),
                classes=(class_names[0], class_names[1], class_names[1]),
                is_exact=True,
                thumbnails=("mistakes/000.jpg", "mistakes/000.jpg"),
            ),
        ),
        calibration=calibration(is_fresh=not nested),
    )


def rejection() -> Rejection:
    curve = tuple(
        KeptShare(
            threshold=1 - step / 20,
            coverage=estimate(step / 20),
            accuracy=estimate(1 - 0.003 * step, n=18 * step),
        )
        for step in range(1, 21)
    )
    return Rejection(target=0.97, risk=0.05, kept=curve[15], tested=replace(curve[14]), curve=curve)


def calibration(*, is_fresh: bool) -> Calibration:
    def bins(shift: float) -> tuple[ReliabilityBin, ...]:
        return tuple(
            ReliabilityBin(confidence=0.35 + 0.07 * step, accuracy=estimate(0.35 + 0.07 * step - shift, n=40))
            for step in range(9)
        )

    return Calibration(
        before=bins(0.08), after=bins(0.01), error_before=0.081, error_after=0.012, is_fresh=is_fresh
    )


def near_tie(index: int, class_names: tuple[str, ...]) -> NearTie:
    return NearTie(
        id=f"{class_names[0]}/tie {index}.jpg",
        true_class=class_names[0],
        classes=(class_names[1], class_names[0]),
        probabilities=(0.49, 0.48 - 0.02 * index),
        thumbnail=f"mistakes/{index:03}.jpg",
    )


def doubted_label(index: int, class_names: tuple[str, ...]) -> DoubtedLabel:
    return DoubtedLabel(
        id=f"{class_names[1]}/doubt {index}.jpg",
        label=class_names[1],
        suggested=class_names[0],
        probability=0.004,
        suggested_probability=0.97,
        thumbnail=f"mistakes/{index:03}.jpg",
    )


def mistake(index: int, class_names: tuple[str, ...]) -> Mistake:
    return Mistake(
        id=f"{class_names[index % len(class_names)]}/IMG {index:04}.jpg",
        true_class=class_names[index % len(class_names)],
        predicted_class=class_names[(index + 1) % len(class_names)],
        probability=0.998 - 0.04 * index,
        true_probability=0.001 + 0.02 * index,
        thumbnail=f"mistakes/{index:03}.jpg",
        heat_map=f"mistakes/{index:03}-heat.jpg",
    )


FLOWERS = (
    "anemone",
    "bluebell",
    "cornflower",
    "daisy",
    "foxglove",
    "iris",
    "lupin",
    "poppy",
    "rose",
    "tulip",
)


@pytest.fixture
def flowers() -> Comparison:
    return build(FLOWERS)


@pytest.fixture
def two_classes() -> Comparison:
    return build(("cat", "dog"))


@pytest.fixture
def many_classes() -> Comparison:
    return build(tuple(f"species number {index}" for index in range(200)), total=6000)


@pytest.fixture
def one_row() -> Comparison:
    return build(FLOWERS, places=1)


@pytest.fixture
def nested() -> Comparison:
    return build(FLOWERS, total=240, nested=True)


def tuned_history(num_epochs: int, *, chosen: int) -> History:
    return History(
        recipe=asdict(choose_recipe("default", np.full(10, 100))),
        epochs=tuple(
            Epoch(
                number=number,
                rate=5e-4 / number,
                train_loss=0.5 + 0.8 / number,
                log_loss=0.2 + 0.3 / number + 0.004 * number,
                accuracy=0.93 - 0.1 / number,
                pictures_per_second=48.5,
                seconds=25.0,
            )
            for number in range(1, num_epochs + 1)
        ),
        chosen=chosen,
        notes=("left out: /home/ann/flowers/rose/1.jpg: truncated",),
    )


def tuning(comparison: Comparison, probe: str, *, gain: float = 0.021, half: float = 0.015) -> TuningSummary:
    num_classes = len(comparison.class_names)
    return TuningSummary(
        name=f"{probe}, tuned",
        probe=probe,
        history=tuned_history(8, chosen=6),
        metric="accuracy",
        gain=PairedDifference(value=gain, low=gain - half, high=gain + half, confidence=0.95, n=288),
        probe_confusion=confusion_of(num_classes, 288, accuracy=0.8),
        tuned_confusion=confusion_of(num_classes, 288, accuracy=0.9),
        sheet="tuned/0a1b2c3d/augmented.jpg",
        sheet_classes=comparison.class_names[:6],
    )


def with_tunings(comparison: Comparison) -> Comparison:
    """A comparison whose two best candidates were fine-tuned; the first such network is chosen."""
    best, second = (row.name for row in comparison.rows[:2])
    row = replace(comparison.rows[0], name=f"{best}, tuned", regularization=None)
    return replace(
        comparison,
        rows=(row, *comparison.rows),
        chosen=row.name,
        tunings=(tuning(comparison, best), tuning(comparison, second, gain=-0.01)),
    )


@pytest.fixture
def tuned() -> Comparison:
    return with_tunings(build(FLOWERS))


@pytest.fixture
def tuned_many() -> Comparison:
    return with_tunings(build(tuple(f"species number {index}" for index in range(200)), total=6000))


@pytest.fixture
def tuned_hostile() -> Comparison:
    return with_tunings(build(HOSTILE))


@pytest.fixture
def hostile() -> Comparison:
    return build(HOSTILE)


@pytest.fixture
def all_failed() -> Comparison:
    base = build(FLOWERS)
    return replace(
        base,
        rows=(failed_candidate("timm/a"), failed_candidate("timm/b")),
        chosen="",
        reason="",
        looks=(),
        final=None,
        confusion=(),
        mistakes=(),
        preprocessing=None,
        temperature=1.0,
        num_duplicates=0,
        excluded=(),
        rejection=None,
        near_ties=(),
        doubted_labels=(),
        alike=(),
        calibration=None,
    )


def drawn_jpeg(index: int) -> bytes:
    rng = np.random.default_rng(index)
    image = Image.new("RGB", (96, 72 if index % 2 else 96), tuple(int(v) for v in rng.integers(60, 160, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, r = (int(v) for v in rng.integers(8, 70, 3))
        draw.ellipse((x, y, x + r // 2, y + r // 2), fill=tuple(int(v) for v in rng.integers(100, 255, 3)))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run's folder with the thumbnails of all mistakes but the last."""
    folder = tmp_path / "flowers-run"
    (folder / "mistakes").mkdir(parents=True)
    for index in range(6):
        (folder / "mistakes" / f"{index:03}.jpg").write_bytes(drawn_jpeg(index))
        (folder / "mistakes" / f"{index:03}-heat.jpg").write_bytes(drawn_jpeg(index + 50))
    return folder


BuildComparison = Callable[..., Comparison]


@pytest.fixture
def build_comparison() -> BuildComparison:
    return build
