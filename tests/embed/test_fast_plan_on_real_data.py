"""What the fast plan costs in accuracy on real pictures: less than the estimate's own uncertainty."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.data import ImageDataset
from headstart.data.split import sample
from headstart.embed import Embeddings, PlanOptions, embed
from headstart.embed.check import smallest_cosine
from headstart.embed.plan import MIN_COSINE
from headstart.evaluate import Evaluation, evaluate


def embeddings_of(dataset: ImageDataset, plan: str, *, side: int) -> Embeddings:
    classifier = hs.load("efficientnet_lite0")
    sized = classifier.with_preprocessing(
        replace(classifier.preprocessing, input_size=(side, side), crop_fraction=1.0)
    )
    return embed(sized, dataset, options=PlanOptions(plan=plan, device="cpu"))  # type: ignore[arg-type]


def score(embeddings: Embeddings, num_train: int) -> Evaluation:
    """Fit a probe on some of the pictures, and evaluate it on the others."""
    order = np.random.default_rng(0).permutation(len(embeddings.ids))
    train, test = order[:num_train], order[num_train:]
    probe = hs.LinearProbe().fit(embeddings.features[train], embeddings.labels[train])
    return evaluate(probe.predict_proba(embeddings.features[test]), embeddings.labels[test])


def compare_plans(dataset: ImageDataset, *, side: int, num_train: int) -> None:
    exact, fast = (embeddings_of(dataset, plan, side=side) for plan in ("exact", "fast"))
    assert (exact.plan.exact, fast.plan.exact) == (True, False), str(fast.plan)
    assert smallest_cosine(exact.features, fast.features) > MIN_COSINE - 0.01  # on all, not the sample alone
    expected, found = score(exact, num_train).accuracy, score(fast, num_train).accuracy
    assert expected.value > 0.5
    assert abs(found.value - expected.value) <= (expected.high - expected.low) / 2


@pytest.mark.slow
def test_on_digits() -> None:
    compare_plans(hs.open_dataset("digits").select(range(900)), side=32, num_train=600)


@pytest.mark.slow
def test_on_photographs_in_jpeg(shared: Path) -> None:
    drawn = sample(hs.open_dataset(shared / "data" / "cifar10.zip"), train=1200, test=300)
    compare_plans(drawn.dataset, side=96, num_train=1000)
