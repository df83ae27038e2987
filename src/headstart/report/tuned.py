"""What fine-tuning did, in sentences and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headstart.compare.records import Comparison, TuningSummary
from headstart.report import confusion, words
from headstart.report.numbers import NBSP, count, duration, points
from headstart.report.pictures import picture_address
from headstart.report.training_curves import training_chart
from headstart.report.view import Confusion, confusion_view

MAX_NOTES = 20
_MAX_PAIRS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTuning:
    """A fine-tuning, as the report shows it.

    Attributes:
        number: from 1.
        name: of the network that was fine-tuned.
        sentences: whether it helped, which epoch was chosen, how long it took.
        chart: losses and accuracy by epoch; "" where no epoch has ended.
        notes: what happened besides, at most `MAX_NOTES`.
        num_more_notes: how many are not shown.
        pairs: what both networks mix up most often.
        before: confusion matrix of the probe; None where there is none.
        after: that of the fine-tuned network.
        sheet: pictures as they were trained on, as a data: address; "" where there are none.
        sheet_text: what is on that sheet, for those who do not see it.
        settings: of the recipe: name, value, meaning.
    """

    number: int
    name: str
    sentences: tuple[str, ...]
    chart: Markup
    notes: tuple[str, ...]
    num_more_notes: int
    pairs: tuple[confusion.ChangedPair, ...]
    before: Confusion | None
    after: Confusion | None
    sheet: str
    sheet_text: str
    settings: tuple[tuple[str, str, str], ...]


def shown_tunings(comparison: Comparison, run_dir: Path | None) -> tuple[ShownTuning, ...]:
    """Return what is to be shown of every fine-tuning, with pictures where `run_dir` holds them."""
    names = comparison.class_names
    return tuple(
        ShownTuning(
            number=number,
            name=words.shown_name(each.probe),
            sentences=tuning_sentences(comparison, each),
            chart=training_chart(each.history, number=number),
            notes=each.history.notes[:MAX_NOTES],
            num_more_notes=max(0, len(each.history.notes) - MAX_NOTES),
            pairs=confusion.changed_pairs(
                each.probe_confusion, each.tuned_confusion, names, limit=_MAX_PAIRS
            ),
            before=confusion_view(each.probe_confusion, names),
            after=confusion_view(each.tuned_confusion, names),
            sheet=picture_address(run_dir, each.sheet),
            sheet_text=sheet_text(each.sheet_classes),
            settings=recipe_rows(each.history.recipe),
        )
        for number, each in enumerate(comparison.tunings, start=1)
    )


def tuning_sentences(comparison: Comparison, tuning: TuningSummary) -> tuple[str, ...]:
    """Return whether a fine-tuning helped, which epoch was chosen, and how long it took, a sentence each."""
    sentences = [_gain_sentence(tuning), _choice_sentence(comparison, tuning), _epoch_sentence(tuning)]
    seconds = sum(each.seconds for each in tuning.history.epochs)
    if seconds:
        sentences.append(f"Training took {duration(seconds)}, validation included.")
    return tuple(filter(None, sentences))


def _gain_sentence(tuning: TuningSummary) -> str:
    gain = tuning.gain
    metric = tuning.metric.replace("_", " ")
    interval = f"95{NBSP}% interval {points(gain.low)} to {points(gain.high)}"
    where = f"on the same {count(gain.n)} validation pictures ({interval})"
    change = f"its {metric} is {points(abs(gain.value))} points"
    if gain.low > 0:
        return f"Fine-tuning helped: {change} above that of its probe, {where}."
    if gain.high < 0:
        return f"Fine-tuning did harm: {change} below that of its probe, {where}."
    if gain.value == 0:
        return f"Fine-tuning did not help: its {metric} is that of its probe, {where}."
    side = "above" if gain.value > 0 else "below"
    return (
        f"Whether fine-tuning helped cannot be told: {change} {side} that of its probe, {where}, and the "
        "interval includes zero."
    )


def _choice_sentence(comparison: Comparison, tuning: TuningSummary) -> str:
    if comparison.chosen == tuning.name:
        return "The fine-tuned network is the chosen one."
    if comparison.chosen == tuning.probe:
        return "So the network as it was, with its probe, is kept; it is the chosen one."
    return "Another model was chosen." if comparison.chosen else ""


def _epoch_sentence(tuning: TuningSummary) -> str:
    history = tuning.history
    if not history.epochs:
        return "No epoch came to its end."
    if not history.chosen:
        return f"No better one came of {_epochs(len(history.epochs))}, so these are the weights of the start."
    return (
        f"Of {_epochs(len(history.epochs))} number {history.chosen} was chosen, by the same validation "
        "pictures: what they say of it is a little too good."
    )


def _epochs(number: int) -> str:
    return "1 epoch" if number == 1 else f"{count(number)} epochs"


def sheet_text(classes: Sequence[str]) -> str:
    """Return what is on a sheet of training pictures; its rows are of these classes."""
    shown = "; ".join(each[:60] for each in classes)
    return (
        "Training pictures, a row each: on the left as the network sees it, then as it was shown in the "
        f"first epochs. From the top: {shown}"
    )


def recipe_rows(recipe: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Return name, value and meaning of every setting of a recipe."""
    return tuple(
        (name.replace("_", " "), _value(value), MEANINGS.get(name, "")) for name, value in recipe.items()
    )


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


MEANINGS = {
    "name": "the recipe that these settings come from",
    "start": "what is trained first",
    "layers": "which layers are trained",
    "epochs": "passes over the training pictures, at most",
    "chosen_by": "what chooses the epoch; merit is accuracy less 0.3 times the log loss",
    "patience": "epochs without a better one before it ends early; 0 never",
    "batch_size": "pictures behind one step",
    "optimizer": "how a step follows from the gradient",
    "rate": "learning rate of the head",
    "input_rate": "that of the first layers, as a share of it",
    "weight_decay": "how much weights are drawn to zero",
    "schedule": "how the rate falls",
    "warm_up": "share of all steps over which it rises before",
    "averaging": "share of all steps over which weights are averaged; 0 for none",
    "clipping": "largest length of a gradient; 0 for no limit",
    "batch_norm": "whether batch norms keep their statistics",
    "normalization": "mean and deviation that pixels are brought to",
    "resolution": "side of the input in pixels; 0 for the network's own",
    "first_side": "share of that side which training pictures begin with, to grow on the way",
    "smallest_crop": "least share of a picture that is shown; 1 for all of it",
    "flip": "whether half of the pictures are mirrored left to right",
    "colour": "by how much brightness, contrast and saturation vary",
    "mixup": "how strongly pairs of pictures are mixed; 0 for not at all",
    "label_smoothing": "share of a label that goes to all classes",
    "balance": "what is done where classes differ in size",
    "lora_rank": "rank of the additions to linear layers; 0 for none",
}
"""What each setting of a recipe is, in a few words."""
