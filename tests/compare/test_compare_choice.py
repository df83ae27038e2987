"""The choice: ranked by accuracy, chosen among ties by what the probabilities say, too."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from headstart.catalog import find_model
from headstart.compare.candidates import Candidate
from headstart.compare.choice import choose, merits
from headstart.compare.evidence import Evidence
from headstart.compare.metric import picture_weights
from headstart.compare.records import Cost
from headstart.evaluate import corrected_best
from headstart.metrics import merit

LABELS = np.tile(np.arange(2), 100)


def evidence(name: str, right: npt.NDArray[np.bool_], sure: float, repeats: int = 1) -> Evidence:
    """Return evidence of a candidate that gives the class it names the probability `sure`."""
    named = np.where(right, LABELS, 1 - LABELS)
    probabilities = np.full((repeats, len(LABELS), 2), 1 - sure, np.float32)
    probabilities[:, np.arange(len(LABELS)), named] = sure
    return Evidence(
        candidate=Candidate(name=name, entry=find_model("efficientnet_lite0"), resolution=224),
        probabilities=probabilities,
        inner_losses=np.zeros((repeats, 1), np.float32),
        resolution=224,
        regularization=1.0,
        plan="exact",
        cost=Cost(latency_ms=1.0, pictures_per_second=None, num_params=1),
        feature_dim=4,
        backbone="",
    )


def first(count: int) -> npt.NDArray[np.bool_]:
    return np.arange(len(LABELS)) < count


def test_the_higher_accuracy_wins_where_the_probabilities_are_alike() -> None:
    choice = choose([evidence("a", first(150), 0.8), evidence("b", first(180), 0.8)], LABELS, seed=0)
    assert choice.best == 1
    assert choice.rows[0].name == "b"
    assert choice.reason.startswith("b has the highest accuracy on 200 validation pictures, 0.900.")


def test_among_ties_better_probabilities_win() -> None:
    lucky, sound = evidence("lucky", first(182), 0.999), evidence("sound", first(180), 0.9)
    choice = choose([lucky, sound], LABELS, seed=0)
    assert [row.name for row in choice.rows] == ["lucky", "sound"]  # the ranking is by accuracy
    assert choice.best == 1
    assert "cannot be told from the highest, 0.910 of lucky" in choice.reason
    assert "log loss" in choice.reason


def with_left_out(made: Evidence, right: npt.NDArray[np.bool_], sure: float) -> Evidence:
    """Return evidence whose heads say so of training pictures that they had not seen."""
    losses = -np.log(np.where(right, sure, 1 - sure))
    return replace(made, left_out=np.stack([right, losses]).astype(np.float32))


def test_among_ties_training_pictures_have_their_say() -> None:
    """200 validation pictures cannot tell the two apart, 800 training pictures can."""
    train_labels, many = np.tile(LABELS, 4), np.arange(800)
    lucky = with_left_out(evidence("lucky", first(182), 0.9), many < 680, 0.9)
    sound = with_left_out(evidence("sound", first(180), 0.9), many < 720, 0.9)
    assert choose([lucky, sound], LABELS, seed=0).best == 0
    choice = choose([lucky, sound], LABELS, train_labels=train_labels, seed=0)
    assert [row.name for row in choice.rows] == ["lucky", "sound"]  # the ranking is by validation
    assert choice.best == 1
    assert "800 training pictures are added" in choice.reason
    assert "its accuracy is 0.900 instead of 0.862" in choice.reason


def test_training_pictures_do_not_save_what_is_surely_worse() -> None:
    train_labels, many = np.tile(LABELS, 4), np.arange(800)
    good = with_left_out(evidence("good", first(180), 0.9), many < 600, 0.9)
    poor = with_left_out(evidence("poor", first(120), 0.9), many < 800, 0.9)
    assert choose([good, poor], LABELS, train_labels=train_labels, seed=0).best == 0


def test_where_one_of_them_was_trained_on_the_pictures_they_have_no_say() -> None:
    train_labels, many = np.tile(LABELS, 4), np.arange(800)
    lucky = evidence("lucky", first(182), 0.9)  # a fine-tuned network, say
    sound = with_left_out(evidence("sound", first(180), 0.9), many < 800, 0.9)
    assert choose([lucky, sound], LABELS, train_labels=train_labels, seed=0).best == 0


def test_what_is_surely_worse_is_not_chosen_for_its_probabilities() -> None:
    accurate, modest = evidence("accurate", first(170), 1 - 1e-7), evidence("modest", first(130), 0.66)
    assert merits(modest, LABELS).mean() > merits(accurate, LABELS).mean()
    choice = choose([accurate, modest], LABELS, seed=0)
    assert choice.best == 0
    assert not choice.rows[1].tied


def test_the_merit_is_accuracy_less_a_share_of_log_loss() -> None:
    found = merits(evidence("a", first(150), 0.8), LABELS)
    loss = -(0.75 * np.log(0.8) + 0.25 * np.log(0.2))
    assert found.mean() == pytest.approx(merit(0.75, loss), rel=1e-5)


def test_balanced_accuracy_ranks_where_it_is_asked_for() -> None:
    labels = np.array([0] * 180 + [1] * 20)

    def of(name: str, right: npt.NDArray[np.bool_]) -> Evidence:
        named = np.where(right, labels, 1 - labels)
        made = evidence(name, first(200), 0.8)
        made.probabilities[:] = 0.2
        made.probabilities[:, np.arange(200), named] = 0.8
        return made

    common, fair = of("common", labels == 0), of("fair", np.arange(200) % 10 > 1)
    assert choose([common, fair], labels, seed=0).rows[0].name == "common"
    assert choose([common, fair], labels, metric="balanced_accuracy", seed=0).rows[0].name == "fair"
    assert picture_weights(labels, "balanced_accuracy").mean() == pytest.approx(1)


def test_cross_validated_intervals_are_wider() -> None:
    one, other = evidence("a", first(150), 0.8, repeats=3), evidence("b", first(170), 0.8, repeats=3)
    folds = np.tile(np.arange(200) // 2 % 5, (3, 1))
    plain = choose([one, other], LABELS, seed=0)
    wider = choose([one, other], LABELS, folds=folds, seed=0)
    before, after = plain.rows[1].behind_best, wider.rows[1].behind_best
    assert before is not None
    assert after is not None
    assert after.high - after.low > before.high - before.low
    accuracies = [
        choice.rows[0].validation.accuracy for choice in (plain, wider) if choice.rows[0].validation
    ]
    assert accuracies[1].method == "repeated"
    assert accuracies[1].low < accuracies[0].low


def test_the_corrected_score_follows_the_rule_of_the_choice() -> None:
    generator = np.random.default_rng(0)
    correct = (generator.random((20, 400)) < 0.8).astype(float)
    by_luck = corrected_best(correct, seed=0)
    assert corrected_best(correct, by=correct, seed=0) == by_luck
    fixed = np.zeros((20, 400))
    fixed[7] = 1.0  # chosen whatever the pictures say: nothing is owed to luck
    assert corrected_best(correct, by=fixed, seed=0).value == pytest.approx(correct[7].mean())
