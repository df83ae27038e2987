"""Every class with how well it is found, and how far it can be believed, each with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.evaluate.records import Estimate
from headstart.report.confusion import Matrix
from headstart.report.numbers import percent


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One class.

    Attributes:
        name: the class.
        num_pictures: of the whole data set.
        num_judged: of those that the estimate rests on.
        found: share of its pictures that the model calls by its name; None without any.
        believed: share of the pictures that the model calls by its name that are of it; None without any.
        taken_for: the class that its pictures are taken for most often, with their number; "" for none.
    """

    name: str
    num_pictures: int
    num_judged: int
    found: Estimate | None
    believed: Estimate | None
    taken_for: str
    num_taken: int


def class_table(
    confusion: Matrix, class_names: Sequence[str], class_counts: Sequence[int]
) -> tuple[ClassRow, ...]:
    """Return a row for each class, in the order of the data set; () without a confusion matrix.

    Args:
        confusion: K rows of K counts, row = true class, column = predicted; () for none.
        class_names: K names.
        class_counts: pictures a class.
    """
    called = [sum(column) for column in zip(*confusion, strict=True)]
    rows = []
    for index, counts in enumerate(confusion):
        wrong = [(number, other) for other, number in enumerate(counts) if other != index and number]
        num_taken, other = max(wrong, key=lambda each: (each[0], -each[1]), default=(0, index))
        rows.append(
            ClassRow(
                name=class_names[index],
                num_pictures=class_counts[index],
                num_judged=sum(counts),
                found=_share(counts[index], sum(counts)),
                believed=_share(counts[index], called[index]),
                taken_for=class_names[other] if num_taken else "",
                num_taken=num_taken,
            )
        )
    return tuple(rows)


def share_words(share: Estimate | None) -> tuple[str, str]:
    """Return a share and its interval in percent, as text."""
    if share is None:
        return "none", ""
    return percent(share.value, digits=0), f"{100 * share.low:.0f} to {100 * share.high:.0f}"


def _share(number: int, total: int) -> Estimate | None:
    from headstart.evaluate.intervals import wilson  # late: it brings scipy

    return wilson(number, total) if total else None
