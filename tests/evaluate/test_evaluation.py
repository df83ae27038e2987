"""The public function `evaluate`, and measured cost."""

import subprocess
import sys

import numpy as np
import pytest

from headstart import metrics
from headstart.core.errors import InputError
from headstart.core.records import dumps
from headstart.evaluate import evaluate, wilson

LABELS = np.array([0, 1, 2, 2, 1, 0])
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.5, 0.2, 0.3], [0.1, 0.1, 0.8], [0.1, 0.9, 0.0], [0.4, 0.3, 0.3]]
)


def test_holds_every_metric():
    result = evaluate(PROBABILITIES, LABELS)
    assert result.accuracy == wilson(5, 6)
    assert result.n == 6
    for name in ("balanced_accuracy", "macro_f1", "log_loss", "calibration_error"):
        assert getattr(result, name).value == pytest.approx(getattr(metrics, name)(LABELS, PROBABILITIES))
    assert dumps(result)


def test_top5_counts_the_true_class_among_the_five_most_probable():
    generator = np.random.default_rng(5)
    probabilities = generator.dirichlet(np.full(40, 0.5), 300).astype(np.float32)
    labels = generator.integers(0, 40, 300)
    labels[::2] = probabilities[::2].argsort(axis=1)[:, -4]  # the fourth best
    found = [
        label in sorted(range(40), key=lambda each: -row[each])[:5]
        for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True)
    ]
    result = evaluate(probabilities, labels)
    assert 150 < sum(found) < 200
    assert result.top5 == wilson(sum(found), 300)
    assert result.top5.value > result.accuracy.value


def test_of_equal_probabilities_the_first_five_are_guessed():
    even = np.full((8, 8), 0.125)
    result = evaluate(even, np.arange(8))
    assert (result.accuracy.value, result.top5.value) == (1 / 8, 5 / 8)


def test_top5_needs_more_than_five_classes():
    for num_classes in (2, 5):
        assert evaluate(np.full((4, num_classes), 1 / num_classes), np.array([0, 1, 1, 0])).top5 is None
    assert evaluate(np.full((4, 6), 1 / 6), np.array([0, 1, 5, 0])).top5 == wilson(3, 4)


def test_is_decided_by_its_seed():
    assert evaluate(PROBABILITIES, LABELS, seed=3) == evaluate(PROBABILITIES, LABELS, seed=3)


def test_arrays_the_wrong_way_round_are_refused():
    with pytest.raises(InputError, match="expected \\(N,\\) and \\(N, K\\)"):
        evaluate(LABELS, PROBABILITIES)


def test_neither_scipy_nor_scikit_learn_is_imported():
    code = (
        "import headstart.metrics, headstart.evaluate, headstart.train, sys;"
        "print([name for name in ('scipy', 'sklearn', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
