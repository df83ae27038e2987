"""The pictures of the report with their captions: near ties, labels in doubt, pictures that show the same."""

from dataclasses import dataclass
from pathlib import Path

from headstart.compare.records import Comparison
from headstart.report.numbers import NBSP, percent
from headstart.report.pictures import picture_address


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPicture:
    """A picture with what is said of it.

    Attributes:
        id: the picture's id.
        address: as a data: address; "" where there is none.
        sayings: what says which class, the class, and its probability or "".
    """

    id: str
    address: str
    sayings: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownGroup:
    """Pictures that show the same.

    Attributes:
        pictures: the first ones.
        num_more: how many more there are.
        is_exact: whether their files are the same.
        is_conflict: whether their labels differ.
    """

    pictures: tuple[ShownPicture, ...]
    num_more: int
    is_exact: bool
    is_conflict: bool


def probability_words(value: float) -> str:
    """Return a probability in percent, without claiming that it is none or certain."""
    if 0 < value < 0.005:
        return f"<{NBSP}1{NBSP}%"
    if 0.995 <= value < 1:
        return f">{NBSP}99{NBSP}%"
    return percent(value, digits=0)


def near_ties(comparison: Comparison, run_dir: Path | None) -> tuple[ShownPicture, ...]:
    """Return the pictures that the model could hardly decide."""
    return tuple(
        ShownPicture(
            id=each.id,
            address=picture_address(run_dir, each.thumbnail),
            sayings=(
                ("The model says", each.classes[0], probability_words(each.probabilities[0])),
                ("or", each.classes[1], probability_words(each.probabilities[1])),
                ("The label says", each.true_class, ""),
            ),
        )
        for each in comparison.near_ties
    )


def doubted_labels(comparison: Comparison, run_dir: Path | None) -> tuple[ShownPicture, ...]:
    """Return the pictures whose labels may well be wrong."""
    return tuple(
        ShownPicture(
            id=each.id,
            address=picture_address(run_dir, each.thumbnail),
            sayings=(
                ("The label says", each.label, probability_words(each.probability)),
                ("More likely", each.suggested, probability_words(each.suggested_probability)),
            ),
        )
        for each in comparison.doubted_labels
    )


def alike(comparison: Comparison, run_dir: Path | None) -> tuple[ShownGroup, ...]:
    """Return groups of pictures that show the same."""
    return tuple(
        ShownGroup(
            pictures=tuple(
                ShownPicture(
                    id=picture_id,
                    address=picture_address(run_dir, thumbnail),
                    sayings=(("Label", class_name, ""),),
                )
                for picture_id, class_name, thumbnail in zip(
                    group.ids, group.classes, group.thumbnails, strict=False
                )
            ),
            num_more=len(group.ids) - len(group.thumbnails),
            is_exact=group.is_exact,
            is_conflict=group.is_conflict,
        )
        for group in comparison.alike
    )
