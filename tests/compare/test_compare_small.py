"""Few pictures: cross-validation chooses, and without a test set the estimate is nested."""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headstart as hs
from headstart.compare import CompareOptions, Comparison, compare
from headstart.compare.candidates import Candidate
from headstart.compare.choice import choose
from headstart.compare.evidence import Evidence, gather
from headstart.compare.final import nested_estimate
from headstart.compare.heads import count_folds, draw_folds
from headstart.compare.records import Cost
from headstart.core.errors import DataError
from headstart.core.progress import SILENT
from headstart.data import ImageDataset, Splits, dataset_from_arrays

evidence_module = importlib.import_module("headstart.compare.evidence")
heads_module = importlib.import_module("headstart.compare.heads")


def labelled(labels: Sequence[int], contents: Sequence[int] | None = None) -> ImageDataset:
    """A data set of which only labels and contents matter."""
    pictures = np.zeros((len(labels), 2, 2), np.uint8)
    dataset = dataset_from_arrays(pictures, np.asarray(labels, np.int64))
    digests = None if contents is None else tuple(f"{content:064x}" for content in contents)
    return replace(dataset, digests=digests)


def evidence_of(
    name: str, probabilities: npt.NDArray[np.float32], inner_losses: npt.NDArray[np.float32]
) -> Evidence:
    entry = hs.list_models("starter/*")[0]
    return Evidence(
        candidate=Candidate(name=name, entry=entry, resolution=64),
        probabilities=probabilities,
        inner_losses=inner_losses,
        resolution=64,
        regularization=1.0,
        plan="fp32",
        cost=Cost(latency_ms=1.0, pictures_per_second=None, num_params=1),
        feature_dim=2,
        backbone="",
    )


@pytest.fixture(scope="module")
def small(
    few_shapes: Path,
    tiny_models: tuple[str, str],
    options: CompareOptions,
    tmp_path_factory: pytest.TempPathFactory,
) -> Comparison:
    """45 pictures, opened and given as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(tmp_path_factory.mktemp("home")))
        return compare(
            tiny_models, hs.open_dataset(few_shapes), out=tmp_path_factory.mktemp("run"), options=options
        )


def test_nothing_is_locked_away_and_nothing_looked_at(small: Comparison) -> None:
    assert small.looks == ()
    assert small.protocol.selection == "cross-validation"
    assert small.protocol.estimate == "nested cross-validation"
    assert (small.protocol.num_train, small.protocol.num_validation, small.protocol.num_test) == (45, 45, 0)
    assert (small.protocol.num_folds, small.protocol.num_repeats) == (5, 3)
    assert not small.protocol.given_splits
    assert small.final is not None
    assert small.final.n == 45
    assert np.array(small.confusion).sum(axis=1).tolist() == [15, 15, 15]
    assert any("nested cross-validation" in each for each in small.decisions)
    assert small.rows[0].validation is not None
    assert small.rows[0].validation.n == 45
    assert small.load_best().class_names == small.class_names


def test_a_given_test_part_stays_locked_where_train_is_small(
    few_shapes: Path, tiny_models: tuple[str, str], options: CompareOptions, tmp_path: Path
) -> None:
    dataset = hs.open_dataset(few_shapes)
    parts = ("train", "train", "test")
    given_splits = tuple(parts[index % 3] for index in range(45))
    comparison = compare(
        tiny_models[:1], replace(dataset, given_splits=given_splits), out=tmp_path / "run", options=options
    )
    assert comparison.protocol.selection == "cross-validation"
    assert comparison.protocol.estimate == "locked test"
    assert comparison.protocol.given_splits
    assert (comparison.protocol.num_train, comparison.protocol.num_validation) == (30, 30)
    assert (comparison.protocol.num_test, comparison.protocol.num_folds) == (15, 5)
    assert [look.role for look in comparison.looks] == ["chosen"]
    assert comparison.final is not None
    assert comparison.final.n == 15 == np.array(comparison.confusion).sum()


@given(labels=st.lists(st.integers(0, 2), min_size=12, max_size=60), seed=st.integers(0, 50), data=st.data())
@settings(max_examples=40, deadline=None)
def test_folds_are_stratified_and_keep_contents_together(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    labels = [0, 0, 0, 1, 1, 1, 2, 2, 2, *labels]
    # Every later picture may be a copy of an earlier one of its class.
    contents = [
        index if index < 9 else data.draw(st.sampled_from([index, 3 * label]))
        for index, label in enumerate(labels)
    ]
    dataset = labelled(labels, contents)
    folds = draw_folds(dataset, seed=seed)
    num_folds = count_folds(dataset)
    assert folds.shape == (3, len(labels))
    assert sorted(set(folds.ravel())) == list(range(num_folds))
    first = np.unique(contents, return_index=True)[1]
    for repeat in folds:
        pairs = set(zip(contents, repeat.tolist(), strict=True))
        assert len(pairs) == len(set(contents))
        for label in range(3):
            counts = np.bincount(repeat[first][np.array(labels)[first] == label], minlength=num_folds)
            assert counts.max() - counts.min() <= 1
    assert np.array_equal(folds, draw_folds(dataset, seed=seed))


def test_repeats_and_seeds_draw_other_folds() -> None:
    dataset = labelled([0, 1] * 20)
    folds = draw_folds(dataset, seed=0)
    assert not np.array_equal(folds[0], folds[1])
    assert not np.array_equal(folds, draw_folds(dataset, seed=7))


def test_a_scarce_class_makes_for_fewer_folds() -> None:
    assert count_folds(labelled([0] * 20 + [1] * 3)) == 3
    assert draw_folds(labelled([0] * 20 + [1] * 3), seed=0).max() == 2
    assert count_folds(labelled([0] * 20 + [1] * 6)) == 5
    with pytest.raises(DataError, match="two different pictures of every class"):
        draw_folds(labelled([0] * 9 + [1] * 3, [*range(9), 50, 50, 50]), seed=0)


def test_every_picture_is_predicted_once_a_repeat_by_a_probe_that_never_saw_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = labelled([0, 1, 1] * 8, [0, 1, 2, 0, 1, 2, *range(6, 24)])
    features = np.arange(24, dtype=np.float32)[:, None]  # a picture's feature is its place
    predicted, again = [], []

    def fit(rows: npt.NDArray[np.float32], seen: ImageDataset, **options: Any) -> SimpleNamespace:
        is_first = options["regularization"] is None  # each chooses its own, and keeps it for fewer pictures
        assert is_first or options["regularization"] == 0.1
        places = rows[:, 0].astype(int)
        assert [dataset.ids[place] for place in places] == list(seen.ids)

        def predict_proba(held_out: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            (predicted if is_first else again).extend(held_out[:, 0].astype(int).tolist())
            assert len(places) + len(held_out) <= (24 if is_first else 21)  # a second fold was left out
            assert dataset.digests is not None
            known = {dataset.digests[place] for place in places}
            assert not known & {dataset.digests[place] for place in held_out[:, 0].astype(int)}
            return np.repeat(held_out / 100, 2, axis=1)

        return SimpleNamespace(
            predict_proba=predict_proba, inner_log_losses_=np.array([0.7, len(predicted)]), strength_=0.1
        )

    monkeypatch.setattr(heads_module, "fit_probe", fit)
    monkeypatch.setattr(evidence_module, "measure_cost", lambda embedded, runner: None)
    classifier = SimpleNamespace(
        preprocessing=SimpleNamespace(input_size=(64, 64)), feature_dim=1, backbone_digest=lambda: ""
    )
    embedded: Any = SimpleNamespace(
        rows=lambda part: features,
        classifier=classifier,
        embeddings=SimpleNamespace(plan="fp32"),
        head_device="cpu",
    )
    splits = Splits(train=dataset, val=None, test=None, given_test=False, seed=0)
    candidate = Candidate(name="x", entry=hs.list_models("starter/*")[0], resolution=64)
    found = gather(candidate, embedded, splits, seed=0, progress=SILENT)
    assert sorted(predicted) == sorted(again) == sorted([*range(24)] * 3)
    assert found.fewer is not None
    assert np.array_equal(found.fewer, np.tile(dataset.labels == 0, (3, 1)))  # of equal ones the first class
    assert np.allclose(found.probabilities[:, :, 0], features[:, 0] / 100)  # each in its own place
    assert found.inner_losses.shape == (3, 5)
    assert found.inner_losses[0, 0] == 0
    assert np.allclose(found.inner_losses.ravel()[1:], np.float32(0.7))


def test_the_nested_estimate_chooses_in_every_fold_by_the_loss_inside_it() -> None:
    dataset = labelled([0, 1] * 15)
    folds = draw_folds(dataset, seed=0)
    generator = np.random.default_rng(0)
    losses = generator.random((3, 3, 5)).astype(np.float32)
    probabilities = generator.dirichlet((1, 1), (3, 3, 30)).astype(np.float32)
    evidence = [evidence_of(str(place), probabilities[place], losses[place]) for place in range(3)]
    final = nested_estimate(evidence, dataset, seed=0)
    for repeat, picture in np.ndindex(3, 30):
        winner = losses[:, repeat, folds[repeat, picture]].argmin()
        assert np.array_equal(final.probabilities[repeat, picture], probabilities[winner, repeat, picture])
    accuracies = (final.probabilities.argmax(2) == dataset.labels).mean(1)
    assert final.evaluation.accuracy.value == pytest.approx(accuracies.mean())
    assert final.evaluation.n == 30


def test_the_nested_estimate_looks_at_what_more_pictures_would_bring() -> None:
    dataset = labelled([0, 1] * 50)
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet((1, 1), (3, 100)).astype(np.float32)
    evidence = evidence_of("x", probabilities, np.full((3, 5), 0.1, np.float32))
    right = (probabilities.argmax(2) == dataset.labels).astype(np.float32)
    steep = replace(evidence, fewer=right * (generator.random(100) < 0.5))
    plain, found = (
        nested_estimate([each], dataset, seed=0).evaluation.accuracy
        for each in (replace(evidence, fewer=right), steep)
    )
    assert found.value == plain.value
    assert found.high > plain.high
    assert found.low > plain.low


def test_the_nested_estimate_does_not_choose_by_what_is_held_out() -> None:
    dataset = labelled([0, 1] * 15)
    right = np.tile(np.eye(2, dtype=np.float32)[dataset.labels], (3, 1, 1))
    perfect = evidence_of("perfect where held out", right, np.full((3, 5), 0.9, np.float32))
    wrong = evidence_of("better inside", 1 - right, np.full((3, 5), 0.1, np.float32))
    final = nested_estimate([perfect, wrong], dataset, seed=0)
    assert final.evaluation.accuracy.value == 0
    assert choose([perfect, wrong], dataset.labels, seed=0).best == 0


def test_equal_accuracies_are_settled_by_log_loss_and_ties_are_named() -> None:
    labels = np.array([0, 1] * 30)
    sure = np.where(np.eye(2)[labels] == 1, 0.9, 0.1).astype(np.float32)[None]
    unsure = np.where(np.eye(2)[labels] == 1, 0.6, 0.4).astype(np.float32)[None]
    losses = np.zeros((1, 1), np.float32)
    candidates = [
        evidence_of("unsure", unsure, losses),
        evidence_of("wrong", 1 - sure, losses),
        evidence_of("sure", sure, losses),
    ]
    choice = choose(candidates, labels, seed=0)
    assert choice.best == 2
    assert [(row.name, row.tied) for row in choice.rows] == [
        ("sure", True),
        ("unsure", True),
        ("wrong", False),
    ]
    assert "Significantly worse: 1 of the others" in choice.reason
    fast = replace(candidates[0], cost=Cost(latency_ms=0.5, pictures_per_second=None, num_params=1))
    assert choose([fast, candidates[2]], labels, seed=0).reason.endswith("unsure is 2.0 times as fast.")
    only = choose(candidates[2:], labels, seed=0)
    assert "the only candidate" in only.reason
    assert only.rows[0].behind_best is None
