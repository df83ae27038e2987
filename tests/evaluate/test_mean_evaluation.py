"""The mean over repeats of a cross-validation: each figure for itself, on the same pictures."""

from dataclasses import fields

import numpy as np
import pytest

from headstart.core.errors import InputError
from headstart.evaluate import Evaluation, evaluate, mean_evaluation

LABELS = np.array([0, 1, 1, 0, 1, 0])
REPEATS = np.random.default_rng(2).dirichlet((9, 9, 1, 1, 1, 1, 1), (3, 6))


def test_every_figure_is_the_mean_of_its_own() -> None:
    evaluations = [evaluate(each, LABELS, seed=0) for each in REPEATS]
    mean = mean_evaluation(evaluations)
    assert len({each.accuracy.value for each in evaluations}) > 1
    for name in (field.name for field in fields(Evaluation) if field.name != "n"):
        figure, figures = getattr(mean, name), [getattr(each, name) for each in evaluations]
        for part in ("value", "low", "high"):
            assert getattr(figure, part) == pytest.approx(np.mean([getattr(each, part) for each in figures]))
        assert figure.low <= figure.value <= figure.high
        assert (figure.n, figure.method) == (6, figures[0].method)
    assert mean.n == 6  # repeats do not make more pictures


def test_the_mean_of_one_is_itself() -> None:
    evaluation = evaluate(REPEATS[0], LABELS)
    assert mean_evaluation([evaluation]) == evaluation


def test_few_classes_have_no_five_guesses() -> None:
    evaluations = [evaluate(each, LABELS) for each in np.random.default_rng(2).dirichlet((1, 1), (3, 6))]
    assert mean_evaluation(evaluations).top5 is None


def test_nothing_and_other_pictures_are_refused() -> None:
    with pytest.raises(InputError, match="one or more"):
        mean_evaluation([])
    with pytest.raises(InputError, match="same number"):
        mean_evaluation([evaluate(REPEATS[0], LABELS), evaluate(REPEATS[0][:5], LABELS[:5])])
