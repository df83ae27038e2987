"""What is shown besides mistakes: calibration, near ties, doubted labels, pictures that show the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart import metrics
from headstart.compare.calibration import measure_calibration
from headstart.compare.exhibits import doubted_labels, near_ties, same_content
from headstart.compare.final import FinalPredictions
from headstart.data import ImageDataset, dataset_from_arrays
from headstart.evaluate import evaluate


def noise_of(num: int, *, seed: int = 0) -> ImageDataset:
    pictures = np.random.default_rng(seed).integers(0, 256, (num, 8, 8, 3), dtype=np.uint8)
    return dataset_from_arrays(pictures, np.arange(num) % 2, class_names=["a", "b"])


def draws(num: int, *, sharpened: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels that follow probabilities, and these probabilities made surer than they should be."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(num, 3)) * 2
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([generator.choice(3, p=row) for row in true])
    sharp = np.exp(logits * sharpened)
    return labels, (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("is_scaled", [False, True])
def test_the_right_temperature_mends_the_calibration(is_scaled: bool) -> None:
    labels, sharp = draws(4000, sharpened=3.0)
    _, true = draws(4000, sharpened=1.0)
    found = measure_calibration(labels, true if is_scaled else sharp, 3.0, is_scaled=is_scaled, is_fresh=True)
    assert found.error_before == pytest.approx(metrics.calibration_error(labels, sharp), abs=1e-4)
    assert found.error_after == pytest.approx(metrics.calibration_error(labels, true), abs=1e-4)
    assert found.error_after < 0.03 < 0.1 < found.error_before
    assert all(each.accuracy.low <= each.accuracy.value <= each.accuracy.high for each in found.after)


def test_near_ties_come_closest_first_and_clear_answers_not_at_all(tmp_path: Path) -> None:
    dataset = noise_of(20)
    first = np.linspace(0.5, 0.97, 20, dtype=np.float32)
    probabilities = np.stack([first, 1 - first], axis=1)
    final = FinalPredictions(
        dataset=dataset, probabilities=probabilities[None], evaluation=evaluate(probabilities, dataset.labels)
    )
    found = near_ties(final, tmp_path)
    assert [each.id for each in found] == list(dataset.ids[: len(found)])
    assert 3 <= len(found) <= 5  # 0.6 against 0.4 is the last
    assert found[1].classes == ("a", "b")
    assert (tmp_path / found[0].thumbnail).is_file()


def test_a_planted_wrong_label_is_doubted(tmp_path: Path) -> None:
    pytest.importorskip("cleanlab")
    parts = [noise_of(60, seed=1), noise_of(60, seed=2)]
    judged = []
    for part in parts:
        right = np.full(len(part), 0.95, np.float32)
        table = np.stack([1 - right, right], axis=1)
        table[part.labels == 0] = table[part.labels == 0][:, ::-1]
        judged.append((part, table))
    wrong = replace(parts[1], labels=np.where(np.arange(60) == 7, 1 - parts[1].labels, parts[1].labels))
    found = doubted_labels([judged[0], (wrong, judged[1][1])], tmp_path)
    assert [each.id for each in found] == [wrong.ids[7]]
    assert (found[0].label, found[0].suggested) == ("a", "b")
    assert found[0].suggested_probability == pytest.approx(0.95)


def test_the_same_file_under_two_labels_comes_first(tmp_path: Path) -> None:
    dataset = replace(noise_of(6), digests=[digit * 64 for digit in "ababcb"])  # classes a b a b a b
    conflict = replace(dataset, labels=np.array([0, 1, 0, 1, 0, 0]))
    found = same_content(conflict, tmp_path)
    assert [each.ids for each in found] == [
        (dataset.ids[1], dataset.ids[3], dataset.ids[5]),
        (dataset.ids[0], dataset.ids[2]),
    ]
    assert [each.is_conflict for each in found] == [True, False]
    assert all(each.is_exact for each in found)
    assert same_content(replace(dataset, digests=None), tmp_path) == ()
