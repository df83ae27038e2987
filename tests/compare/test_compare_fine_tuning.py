"""When fine-tuning is called likely to pay, and that it says why."""

from dataclasses import replace

import pytest

from headstart.compare.fine_tuning import FineTuningFacts, FineTuningOutlook, fine_tuning_outlook
from headstart.core.records import from_json, to_json

PLAIN = FineTuningFacts(accuracy=0.93, train_accuracy=0.99, pictures_per_class=50)


def test_nothing_known_is_unclear_and_says_so() -> None:
    found = fine_tuning_outlook(PLAIN)
    assert (found.verdict, found.reasons) == ("unclear", ())
    assert "rule of thumb" in found.caveat


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        ({"train_accuracy": 0.9}, "likely", "own training pictures"),
        ({"pictures_per_class": 12}, "unlikely", "12 training pictures"),
        ({"accuracy": 0.99}, "unlikely", "little to gain"),
        ({"neighbours_accuracy": 0.7, "pictures_per_class": 500}, "likely", "23 points behind"),
        ({"resolution_share": 0.5, "gain_of_batch_norm": 0.03}, "likely", "50 % of the side"),
        ({"gain_of_double": 0.004, "pictures_per_class": 500}, "likely", "at most 0.4 points"),
        ({"accuracy": 0.7}, "unclear", "fits them still more easily"),
        ({"accuracy": 0.7, "pictures_per_class": 5}, "unlikely", "few to tune"),
        ({"accuracy": 0.5, "train_accuracy": 0.55, "pictures_per_class": 4000}, "likely", "fit 45 %"),
        ({"gain_of_double": 0.08}, "unclear", ""),
        ({"neighbours_accuracy": 0.9, "resolution_share": 1.0, "gain_of_batch_norm": -0.01}, "unclear", ""),
    ],
)
def test_verdict(change: dict[str, float], verdict: str, reason: str) -> None:
    found = fine_tuning_outlook(replace(PLAIN, **change))
    assert found.verdict == verdict
    assert reason in " ".join(found.reasons)


def test_hardly_an_error_left_outweighs_all() -> None:
    facts = FineTuningFacts(
        accuracy=0.985,
        train_accuracy=0.9,
        pictures_per_class=5000,
        neighbours_accuracy=0.5,
        resolution_share=0.2,
        gain_of_double=0.0,
        gain_of_batch_norm=0.1,
    )
    found = fine_tuning_outlook(facts)
    assert found.verdict == "unlikely"
    assert any(each.startswith("Against") for each in found.reasons)


def test_record_survives_json() -> None:
    found = fine_tuning_outlook(replace(PLAIN, accuracy=0.7))
    assert from_json(FineTuningOutlook, to_json(found)) == found
