"""What a comparison has to say on the card of its model."""

from headstart.compare.records import Comparison, Row
from headstart.compare.rejection_words import rejection_sentence
from headstart.evaluate.records import Estimate
from headstart.models.card import CardFacts, CardMetric

_FEW_PICTURES = 20  # of a class; with fewer no test set is locked away, and nothing about the class is sure

# Field of `Evaluation`, the hub's identifier, name, whether it is a share.
_METRICS = (
    ("accuracy", "accuracy", "Accuracy", True),
    ("balanced_accuracy", "balanced_accuracy", "Balanced accuracy", True),
    ("macro_f1", "f1", "Macro F1", True),
    ("top5", "top_5_accuracy", "Top-5 accuracy", True),
    ("log_loss", "log_loss", "Log loss", False),
    ("calibration_error", "expected_calibration_error", "Calibration error", False),
)


def card_facts(comparison: Comparison) -> CardFacts:
    """Return what the chosen model's card tells: how good it is, of what, and how it was made."""
    return CardFacts(
        dataset_name=comparison.dataset_name,
        class_counts=comparison.class_counts,
        estimate=comparison.protocol.estimate,
        measured=_measured(comparison),
        metrics=_metrics(comparison),
        reason=_reason(comparison),
        limits=_limits(comparison),
        training=_training(comparison),
        command=comparison.command,
        started=comparison.started,
        machine=comparison.machine,
        versions=comparison.versions,
        digests={name: comparison.digests[name] for name in ("pictures", "settings")},
    )


def _metrics(comparison: Comparison) -> tuple[CardMetric, ...]:
    estimates = [
        (type_, name, getattr(comparison.final, field, None), is_share)
        for field, type_, name, is_share in _METRICS
    ]
    return tuple(
        CardMetric(
            type=type_, name=name, value=found.value, low=found.low, high=found.high, is_share=is_share
        )
        for type_, name, found, is_share in estimates
        if isinstance(found, Estimate)
    )


def _measured(comparison: Comparison) -> str:
    if comparison.final is None:
        return ""
    num_pictures, protocol = comparison.final.n, comparison.protocol
    if protocol.estimate == "locked test":
        looks = len(comparison.looks)
        return (
            f"Measured on {num_pictures} test pictures that neither training nor choice had seen; looks at "
            f"them in all: {looks}."
        )
    if protocol.estimate == "validation":
        return f"Measured on the {num_pictures} validation pictures that it was chosen on: rather too good."
    return (
        f"Measured by nested cross-validation on {num_pictures} pictures ({protocol.num_folds} folds, drawn "
        f"{protocol.num_repeats} times): each was judged by models, chosen anew, that had not seen it. There "
        "were too few pictures to lock some away."
    )


def _reason(comparison: Comparison) -> str:
    if len(comparison.rows) == 1:
        return comparison.reason
    return f"Chosen among {len(comparison.rows)} candidates. {comparison.reason}"


def _limits(comparison: Comparison) -> tuple[str, ...]:
    named = list(zip(comparison.class_names, comparison.class_counts, strict=True))
    few = [f"{name} ({count})" for name, count in named if count < _FEW_PICTURES]
    limits = [rejection_sentence(comparison.rejection)] if comparison.rejection is not None else []
    limits.append(_mixed_up(comparison))
    if few:
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        limits.append(f"Classes with fewer than {_FEW_PICTURES} pictures: {', '.join(few[:5])}{more}.")
    limits += [f"{alarm.text} {alarm.cause}" for alarm in _chosen(comparison).alarms]
    return tuple(each for each in limits if each)


def _mixed_up(comparison: Comparison) -> str:
    """Return which two classes are mixed up most often, "" where none are."""
    pairs = [
        (count, true, predicted)
        for true, row in enumerate(comparison.confusion)
        for predicted, count in enumerate(row)
        if true != predicted and count
    ]
    if not pairs:
        return ""
    count, true, predicted = max(pairs, key=lambda pair: pair[0])
    names = comparison.class_names
    return (
        f"Mixed up most often: {names[true]} taken for {names[predicted]}, {count} of "
        f"{sum(comparison.confusion[true])} times."
    )


def _training(comparison: Comparison) -> str:
    tuned = next((each for each in comparison.tunings if each.name == comparison.chosen), None)
    if tuned is not None:
        history = tuned.history
        return f"It was fine-tuned, recipe {history.recipe['name']}; validation chose epoch {history.chosen}"
    return "Only its last layer was trained, a logistic regression on the features of the pretrained network"


def _chosen(comparison: Comparison) -> Row:
    return next(row for row in comparison.rows if row.name == comparison.chosen)
