"""Three things that somebody should know before using the model, and what to do next."""

from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import bidirectional

from headstart.audit.records import DeepAudit
from headstart.compare.records import Comparison
from headstart.report.confusion import confused_pairs
from headstart.report.numbers import count, percent, points, shorten

_NAME_LIMIT = 40
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"  # Unicode's first strong isolate: for names from right to left


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One thing to know.

    Attributes:
        text: a sentence or two, with names of classes in it: text, whatever it holds.
        anchor: id of the section that shows it.
    """

    text: str
    anchor: str


def three_things(comparison: Comparison) -> tuple[Thing, Thing, Thing]:
    """Return what is mixed up most, which labels are in doubt, and whether anything leaks into the test."""
    return _worst_pair(comparison), _labels(comparison), _leaks(comparison)


def next_steps(comparison: Comparison) -> tuple[Thing, ...]:
    """Return what is worth doing now, the most useful first, besides using the model."""
    return tuple(_steps(comparison))


def _worst_pair(comparison: Comparison) -> Thing:
    if not comparison.confusion:
        return Thing(text="What it mixes up could not be measured.", anchor="quality")
    pairs = confused_pairs(comparison.confusion, comparison.class_names, limit=1)
    if not pairs:
        return Thing(text="No two classes were mixed up.", anchor="confusion")
    worst = pairs[0]
    true, taken = (shorten(each, _NAME_LIMIT) for each in (worst.true_class, worst.predicted_class))
    pictures = "picture" if worst.count == 1 else "pictures"
    return Thing(
        text=f"It mixes up {_named(true)} and {_named(taken)} most: it took {count(worst.count)} {pictures} "
        f"of {_named(true)} ({percent(worst.share, digits=0)}) for {_named(taken)}.",
        anchor="confusion",
    )


def _named(name: str) -> str:
    """Return a class's name in quotes, kept apart from the text around it whichever way it is written."""
    if any(bidirectional(character) in ("R", "AL") for character in name):
        name = f"{_ISOLATE}{name}{_END_ISOLATE}"
    return f"“{name}”"


def _labels(comparison: Comparison) -> Thing:
    conflicts = sum(group.is_conflict for group in comparison.alike)
    have = "picture has" if conflicts == 1 else "pictures have"
    same = f" {count(conflicts)} {have} copies with another label." if conflicts else ""
    number = num_doubted(comparison)
    if number:
        one = number == 1
        text = f"{count(number)} {'label is' if one else 'labels are'} in doubt.{same}"
        return Thing(text=text, anchor="labels" if comparison.doubted_labels else "left-out")
    if same:
        return Thing(text=same.strip(), anchor="alike")
    return Thing(text="No label is in doubt.", anchor="left-out")


def num_doubted(comparison: Comparison) -> int:
    """Return how many labels are in doubt, shown or not."""
    deep = comparison.audit.deep if comparison.audit else None
    return max(len(comparison.doubted_labels), len(deep.label_suspects) if deep else 0)


def _leaks(comparison: Comparison) -> Thing:
    """Return whether pictures of the test were seen in training, and what else may flatter the figure."""
    deep = comparison.audit.deep if comparison.audit else None
    near = deep.near_duplicates.across_splits if deep else ()
    if near:
        groups, lie = ("group", "lies") if len(near) == 1 else ("groups", "lie")
        text = (
            f"{count(len(near))} {groups} of nearly the same pictures {lie} in training and test"
            f"{_flattered(deep)}."
        )
        return Thing(text=text, anchor="alike")
    shortcuts = [each.source for each in (deep.shortcuts if deep else ()) if each.is_suspicious]
    if shortcuts:
        told = " and ".join(shortcuts)
        text = f"The class can be told from {told} alone: the model may have learnt that instead."
        return Thing(text=text, anchor="left-out")
    copies = comparison.num_duplicates
    if copies:
        text = f"{count(copies)} pictures are copies; those of one are kept on one side, so none leaked."
        return Thing(text=text, anchor="alike" if comparison.alike else "left-out")
    looked = "" if deep else " Near duplicates were not looked for: --audit full does."
    return Thing(text=f"No copy of a test picture was trained on.{looked}", anchor="left-out")


def _flattered(deep: DeepAudit | None) -> str:
    """Return what near duplicates on both sides do to the measured accuracy, as the end of a sentence."""
    found = deep.near_duplicates.inflation if deep else None
    if found is None:
        return ", which may flatter"
    if found.low > 0:
        return f": that flatters by about {points(found.value)}"
    return f": too few to see in its accuracy ({100 * found.low:+.1f} to {100 * found.high:+.1f} points)"


def _steps(comparison: Comparison) -> Iterator[Thing]:
    number, rejection, advice = num_doubted(comparison), comparison.rejection, comparison.advice
    if number:
        anchor = "labels" if comparison.doubted_labels else "left-out"
        labels = "label" if number == 1 else f"{count(number)} labels"
        yield Thing(text=f"Look at the {labels} in doubt and correct what is wrong.", anchor=anchor)
    if rejection is not None and rejection.kept is not None:
        sure = percent(rejection.kept.threshold)
        text = f"Answers less than {sure} sure come out as “unknown”: let a person look at those."
        yield Thing(text=text, anchor="threshold")
    curve = advice.learning_curve if advice else None
    if curve and curve.predictions and curve.predictions[0].gain.low > 0:
        gain = points(curve.predictions[0].gain.value)
        text = f"Collect more pictures: twice as many would gain about {gain} points."
        yield Thing(text=text, anchor="learning-curve")
    outlook = advice.fine_tuning if advice else None
    if outlook and outlook.verdict == "likely":
        text = "Train the whole network (headstart tune): it is likely to help."
        yield Thing(text=text, anchor="fine-tuning")
