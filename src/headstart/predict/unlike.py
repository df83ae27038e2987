"""Whether pictures as a whole are unlike those that a classifier was trained on."""

from headstart.models.familiarity import Familiarity

BATCH_FALSE_ALARM_RATE = 0.001
"""How often, at most, pictures like those of training are called unlike them as a whole."""


def chance_of_so_many(familiarity: Familiarity, num_unlike: int, num_pictures: int) -> float:
    """Return how likely so many or more of pictures like the training's would each be called unlike them.

    The share that is called so is itself only known from the pictures that the limit was set on: it has a
    beta distribution, and so the number a beta-binomial one.

    Args:
        familiarity: what the classifier knows of its training pictures.
        num_unlike: how many were called unlike.
        num_pictures: of so many.

    Source: Vovk 2012, "Conditional validity of inductive conformal predictors",
        https://proceedings.mlr.press/v25/vovk12.html, proposition 2a: the beta distribution.
    """
    from scipy.stats import betabinom  # late: it takes half a second

    a = familiarity.num_beyond
    b = familiarity.num_held_out + 1 - a
    return float(betabinom.sf(num_unlike - 1, num_pictures, a, b)) if num_unlike else 1.0


def batch_warning(familiarity: Familiarity | None, num_unlike: int, num_pictures: int) -> str:
    """Return a warning where more pictures are unlike the training's than false alarms explain; else "".

    Args:
        familiarity: what the classifier knows of its training pictures; None where it knows nothing.
        num_unlike: how many of the pictures were called unlike.
        num_pictures: how many could be read.
    """
    if familiarity is None or num_pictures == 0:
        return ""
    if chance_of_so_many(familiarity, num_unlike, num_pictures) > BATCH_FALSE_ALARM_RATE:
        return ""
    expected = familiarity.false_alarm_rate
    return (
        f"{num_unlike} of {num_pictures} pictures are unlike those that the model was trained on "
        f"({num_unlike / num_pictures:.1%}; of pictures like those, {expected:.1%} would be called so): what "
        "it says of them, and how sure it is, may mean little. Of such sets that are like those, at most 1 "
        f"in {1 / BATCH_FALSE_ALARM_RATE:,.0f} gets this warning"
    )
