"""What a comparison says, in sentences for somebody who has never heard of a confidence interval."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.compare.records import MODEL_FOLDER, Comparison, Protocol, ReliabilityBin, Row
from headstart.evaluate.records import Estimate, Evaluation, Rejection
from headstart.report.numbers import (
    NBSP,
    count,
    duration,
    percent,
    percent_span,
    shorten,
    significant,
    without_absolute_paths,
)

# A tied model is worth a sentence when it is at least this much faster than the chosen one.
_WORTH_SAYING = 1.15
_NAME_LIMIT = 80


def row_named(comparison: Comparison, name: str) -> Row | None:
    """Return the first row called `name`, None where there is none."""
    return next((row for row in comparison.rows if row.name == name), None)


def shown_name(name: str) -> str:
    """Return a model's name as it is shown: without the folders of a checkpoint, and not endless."""
    return shorten(without_absolute_paths(name), _NAME_LIMIT)


def how_often(accuracy: Estimate) -> str:
    """Return an accuracy as a count that anybody can picture: "about 95 of 100 pictures"."""
    rounded = round(100 * accuracy.value)
    if accuracy.value >= 1:
        return f"all of the {count(accuracy.n)} pictures it was tried on"
    if rounded >= 100:
        return "more than 99 of 100 new pictures"
    if rounded < 1:
        return "fewer than 1 of 100 new pictures"
    return f"about {rounded} of 100 new pictures"


def how_sure(accuracy: Estimate, protocol: Protocol) -> str:
    """Return what the accuracy of the final estimate rests on, with its interval."""
    interval = f"95{NBSP}% interval {percent_span(accuracy.low, accuracy.high)}"
    pictures = "picture" if accuracy.n == 1 else "pictures"
    if protocol.estimate == "locked test":
        return f"{interval}, measured on {count(accuracy.n)} {pictures} never used before"
    if protocol.estimate == "validation":
        return f"{interval}, from the {count(accuracy.n)} {pictures} that it was chosen on: rather too good"
    return f"{interval}, from {count(accuracy.n)} {pictures}, each judged by a model that had not seen it"


def how_good(comparison: Comparison) -> str:
    """Return how good the chosen model is, in one sentence; "" where nothing could be measured."""
    if comparison.final is not None:
        accuracy = comparison.final.accuracy
        return f"It is right on {how_often(accuracy)} ({how_sure(accuracy, comparison.protocol)})."
    chosen = row_named(comparison, comparison.chosen)
    if chosen is None or chosen.validation is None:
        return ""
    accuracy = chosen.validation.accuracy
    return (
        f"It was right on {percent(accuracy.value)} of {count(accuracy.n)} validation pictures "
        f"(95{NBSP}% interval {percent_span(accuracy.low, accuracy.high)}). They also served to choose it, "
        "so expect a little less on new pictures."
    )


def guessing(comparison: Comparison) -> float | None:
    """Return the accuracy, in [0, 1], of giving every picture the most common class.

    None where there is no estimate.
    """
    totals = [sum(row) for row in comparison.confusion]
    return max(totals) / sum(totals) if totals and sum(totals) else None


def tied_rows(comparison: Comparison) -> tuple[Row, ...]:
    """Return the rows that are as good as the best one as far as can be told, without the chosen row."""
    return tuple(
        row
        for row in comparison.rows
        if row.validation is not None
        and row.name != comparison.chosen
        and (row.tied or row.behind_best is None)
    )


def ties(comparison: Comparison) -> str:
    """Return what a reader should know about models that tie with the best one; "" where none does."""
    others, chosen = tied_rows(comparison), row_named(comparison, comparison.chosen)
    if not others or chosen is None:
        return ""
    one = len(others) == 1
    start = "One other model does" if one else f"{len(others)} other models do"
    text = f"{start} just as well, as far as these pictures can tell."
    timed = [(row.cost.latency_ms, row) for row in others if row.cost is not None and row.cost.latency_ms > 0]
    if not timed or chosen.cost is None:
        return text
    latency_ms, fastest = min(timed, key=lambda each: each[0])
    ratio = chosen.cost.latency_ms / latency_ms
    if ratio < _WORTH_SAYING:
        return f"{text} It is not notably faster." if one else f"{text} None of them is notably faster."
    return (
        f"{text} {shown_name(fastest.name)} takes {significant(latency_ms)}{NBSP}ms a picture instead "
        f"of {significant(chosen.cost.latency_ms)}{NBSP}ms ({ratio:.1f} times as fast): prefer it where "
        "speed counts."
    )


def next_command(run_dir: Path | None) -> str:
    """Return the command to try next, for a shell in the folder that the comparison was started from."""
    return f"headstart predict {shlex.quote(f'{_relative(run_dir)}/{MODEL_FOLDER}')} YOUR-PICTURES"


def _relative(run_dir: Path | None) -> str:
    if run_dir is None:
        return "RUN"
    here, there = Path.cwd(), run_dir.resolve()
    if there != here and there.is_relative_to(here):
        return there.relative_to(here).as_posix()
    return there.name or "RUN"


def selection_sentences(comparison: Comparison) -> tuple[str, ...]:
    """Return how the candidates were ranked and one of them chosen, a sentence each."""
    protocol = comparison.protocol
    if protocol.selection == "holdout":
        how = (
            "Each candidate's features were fed to a linear probe, trained on "
            f"{count(protocol.num_train)} pictures and ranked by its accuracy on "
            f"{count(protocol.num_validation)} others (validation)."
        )
    else:
        times = "" if protocol.num_repeats <= 1 else f", drawn {protocol.num_repeats} times"
        how = (
            f"Each candidate's features were fed to a linear probe and ranked by {protocol.num_folds}-fold "
            f"cross-validation{times}: {count(protocol.num_validation)} pictures, each judged by a probe "
            "that had not seen it."
        )
    tie = (
        "Models are compared with the best one on the same pictures. A model counts as tied when the "
        "interval of their difference, widened for the number of comparisons, includes zero."
    )
    tuned = tuple(_tuned_sentences(comparison))
    return (how, tie, *tuned, _after(comparison)) if comparison.chosen else (how, tie, *tuned)


def _tuned_sentences(comparison: Comparison) -> Iterator[str]:
    """Yield how fine-tuned networks were judged; nothing where there are none."""
    if comparison.tunings:
        yield (
            "The best candidates were fine-tuned as well, and judged on the same pictures. Such a network is "
            "chosen only where the interval of its gain over its own probe is above zero."
        )


def _after(comparison: Comparison) -> str:
    """Return what was done with the chosen model after the choice."""
    if comparison.chosen in {each.name for each in comparison.tunings}:
        return (
            "The chosen network is kept as it was judged: trained on the training pictures alone; validation "
            "pictures chose its epoch and its temperature."
        )
    return "The chosen model's head was then trained again, on all pictures that are not locked away."


def race_sentences(comparison: Comparison) -> tuple[str, ...]:
    """Return how a race under a budget went, a sentence each; () without one."""
    race = comparison.race
    if race is None or not race.rungs:
        return ()
    stages = [
        f"{num_candidates} saw {count(train + val)} pictures" for train, val, num_candidates in race.rungs
    ]
    spent = duration(race.spent) if race.unit == "seconds" else f"{count(round(race.spent))} pictures"
    return (
        f"Under the budget of {race.budget} the candidates raced: {', '.join(stages)}.",
        "Worse are those that fell behind the leader beyond doubt; the chance that the best is ever among "
        f"them is at most 5{NBSP}%.",
        "Set aside are those that the budget had no room for: the others looked more promising.",
        f"In all {spent} went into it.",
    )


def estimate_sentences(comparison: Comparison) -> tuple[str, ...]:
    """Return where the final figures come from, a sentence each."""
    protocol = comparison.protocol
    if comparison.final is None:
        return ("There is no final estimate: no candidate could be measured on pictures kept apart.",)
    if protocol.estimate == "locked test":
        origin = "The data set brought this test set itself; it" if protocol.given_splits else "It"
        return (
            f"The final figures come from a test set of {count(protocol.num_test)} pictures. {origin} was "
            "locked away and had no say in ranking, ties or choice.",
            looks_sentence(comparison),
        )
    if protocol.estimate == "validation":
        return (
            f"No test set was locked away. The figures come from the {count(protocol.num_validation)} "
            "validation pictures that ranking and choice rest on, and are rather too good.",
        )
    return (
        "No test set was locked away: that takes 500 pictures, and 20 of every class. The figures come from "
        "nested cross-validation instead: training and choosing were repeated inside each fold, and every "
        "picture was judged by a model trained and chosen without it.",
    )


def looks_sentence(comparison: Comparison) -> str:
    """Return how often the locked test set was looked at, and for what."""
    looks = comparison.looks
    if not looks:
        return "The test set has not been looked at."
    times = {1: "once", 2: "twice"}.get(len(looks), f"{len(looks)} times")
    roles = " and ".join(dict.fromkeys(_ROLES.get(look.role, look.role) for look in looks))
    text = f"The test set was looked at {times}: for {roles}."
    if len(looks) > len({look.role for look in looks}):
        text += " Looking again and again makes an estimate too hopeful; treat it with some care."
    return text


_ROLES = {"chosen": "the chosen model", "reference": "a reference that was named beforehand"}


def repeat_sentences(comparison: Comparison) -> tuple[str, ...]:
    """Return what else decides the result: seed, calibration and time, a sentence each."""
    seed = f"Everything random follows from seed {comparison.protocol.seed}."
    intervals = f"Intervals are of 95{NBSP}%: accuracy by Wilson's formula, the other metrics by bootstrap."
    time = f"The run that finished this comparison took {duration(comparison.seconds)}."
    if comparison.temperature == 1:
        return seed, intervals, time
    calibrated = f"The chosen model's logits are divided by {comparison.temperature:.3g} to calibrate it."
    return seed, intervals, calibrated, time


def calibration_sentence(comparison: Comparison) -> str:
    """Return whether the chosen model is right as often as it says."""
    found = comparison.calibration
    if found is None:
        return ""
    before, after = percent(_mean_gap(found.before)), percent(_mean_gap(found.after))
    beyond = percent(found.error_before), percent(found.error_after)
    fresh = (
        "" if found.is_fresh else " The same pictures decided the temperature, so this is rather too good."
    )
    return (
        f"Of the pictures that the model is 80{NBSP}% sure of, 80{NBSP}% should be right: a dot on the "
        f"dashed line. Dividing its logits by the temperature {comparison.temperature:.3g} took the mean "
        f"distance from the line from {before} to {after}. Chance makes some of that: without its part it is "
        f"{beyond[0]} and {beyond[1]}.{fresh}"
    )


def _mean_gap(bins: Sequence[ReliabilityBin]) -> float:
    """Return the distance of confidence and accuracy on the mean over the pictures, in [0, 1]."""
    gaps = [each.accuracy.n * abs(each.confidence - each.accuracy.value) for each in bins]
    return sum(gaps) / max(1, sum(each.accuracy.n for each in bins))


def rejection_words(rejection: Rejection) -> str:
    """Return below which confidence an answer is "unknown" and what that buys, in words."""
    target = percent(rejection.target)
    if rejection.kept is None:
        return (
            f"No threshold could be shown to make {target} of the answers right: that takes more validation "
            "pictures. So it always answers."
        )
    kept = rejection.tested or rejection.kept
    where = (
        "test pictures, which had no say in it"
        if rejection.tested
        else "validation pictures it was chosen on"
    )
    return (
        f"An answer is “unknown” where the model is less than {percent(kept.threshold)} sure. Then "
        f"{percent(kept.coverage.value, digits=0)} of the pictures get an answer, and "
        f"{percent(kept.accuracy.value)} of these are right (95{NBSP}% interval "
        f"{percent_span(kept.accuracy.low, kept.accuracy.high)}), on the {where}. The aim was {target}: half "
        "the mistakes."
    )


METRICS = (
    ("accuracy", "Accuracy", "share of pictures that are classified right", True),
    ("balanced_accuracy", "Balanced accuracy", "the same, with every class counting alike", True),
    ("macro_f1", "Macro F1", "balance of found and falsely claimed, every class counting alike", True),
    ("log_loss", "Log loss", "how far the probabilities are off; lower is better", False),
    (
        "calibration_error",
        "Calibration error",
        "how far probabilities and facts disagree, less what chance makes of it; lower is better",
        True,
    ),
)
"""Field of `Evaluation`, title, meaning, and whether it is a share that is shown in percent."""


def metric_values(evaluation: Evaluation) -> tuple[tuple[str, str, str], ...]:
    """Return title, value and interval of every metric of `evaluation`, as text."""
    values = []
    for field, title, _, is_share in METRICS:
        estimate: Estimate = getattr(evaluation, field)
        if is_share:
            interval = f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
            values.append((title, percent(estimate.value), interval))
        else:
            values.append((title, f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}"))
    return tuple(values)
