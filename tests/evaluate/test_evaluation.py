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
