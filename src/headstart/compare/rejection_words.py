"""When the chosen model does not trust its answer, as sentences."""

from typing import TYPE_CHECKING

from headstart.evaluate.records import Rejection

if TYPE_CHECKING:
    from headstart.models.familiarity import Familiarity


def rejection_sentence(rejection: Rejection) -> str:
    """Return what the threshold is and does, or why there is none."""
    goal = f"{rejection.target:.1%} of what is kept to be right"
    if rejection.kept is None:
        return f'No answer is "unknown": too few validation pictures to show a threshold for {goal}.'
    kept, where = rejection.kept, "validation"
    if rejection.tested is not None:
        kept, where = rejection.tested, "test"
    accuracy = kept.accuracy
    return (
        f'An answer below {kept.threshold:.4g} is "unknown": chosen on validation pictures for {goal}. Of '
        f"the {where} pictures it keeps {kept.coverage.value:.1%}, of which {accuracy.value:.1%} are right "
        f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})."
    )


def familiarity_sentence(familiarity: "Familiarity | None") -> str:
    """Return how pictures unlike those of training are told, or why they are not."""
    if familiarity is None:
        return "The pictures are too few to say which others are unlike them."
    return (
        "Pictures unlike those of training are told by their features: a limit that was set on "
        f"{familiarity.num_held_out} of these calls about {familiarity.false_alarm_rate:.1%} of pictures "
        "like them unlike."
    )
