"""What a comparison leaves behind: plain records, saved as JSON, readable without what made them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from headstart.audit.pictures import Audit
from headstart.catalog.entry import Fit, ModelEntry, Preprocessing
from headstart.compare.advice_records import Advice
from headstart.compare.metric import Metric
from headstart.core.errors import StorageError
from headstart.core.paths import MODEL_FOLDER as MODEL_FOLDER
from headstart.data.dataset import Exclusion
from headstart.evaluate.records import Estimate, Evaluation, PairedDifference, Rejection
from headstart.models.history import History
from headstart.train.recipe import Recipe, choose_recipe

BatchNorm: TypeAlias = Literal["pretrained", "reestimated"]

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from headstart.models.classifier import Classifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What can be chosen about the fine-tuning of finalists; None takes the recipe's own setting.

    Attributes:
        recipe: its name, see `headstart.train.RECIPES`.
        epochs: passes over the training pictures, at most.
        batch_size: pictures behind one step.
        rate: learning rate of the head.
        budget: time for it: "10m"; "" is what is left of the comparison's budget, or without limit.
        trackers: names of trackers that are told about every epoch.
        max_candidates: how many of the finalists are tuned, the best ones.
    """

    recipe: str = "default"
    epochs: int | None = None
    batch_size: int | None = None
    rate: float | None = None
    budget: str = ""
    trackers: tuple[str, ...] = ()
    max_candidates: int = 1

    def recipe_for(self, class_counts: "npt.NDArray[np.int64]") -> Recipe:
        """Return the recipe for training pictures of these numbers a class, int64 of shape (K,).

        Raises:
            InputError: there is no such recipe, or a setting cannot be used.
        """
        recipe = choose_recipe(self.recipe, class_counts)
        return replace(
            recipe,
            epochs=recipe.epochs if self.epochs is None else self.epochs,
            batch_size=recipe.batch_size if self.batch_size is None else self.batch_size,
            rate=recipe.rate if self.rate is None else self.rate,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What can be chosen about a comparison besides models and pictures.

    Attributes:
        resolutions: sides of the input in pixels, "native" or "auto"; every model runs at each of them.
        fits: how a picture gets to the input's shape; None keeps what the weights came with. Every model runs
            with each of them.
        feature_points: where in the network the features are taken: "pooled", "stride16", "stride8" or
            "concat", see `Classifier.with_feature_point`. Every model runs with each of them.
        batch_norms: "pretrained" statistics, or "reestimated" ones: those of the training pictures. Every
            model runs with each of them.
        device: "auto" is cuda or mps where there is one.
        precision: "auto" is the fastest that passes a check on the user's own pictures.
        plan: "fast" or "exact", as in `PlanOptions`.
        max_unreadable: share of unreadable pictures above which to stop, in [0, 1].
        reference: model whose test accuracy is shown beside the chosen one's; "" is the candidate with the
            best published ImageNet accuracy: what one would take without trying.
        seed: of everything random.
        command: the command that makes this comparison again, for the record; "" when there is none.
        audit: "full" looks at pictures and labels with the chosen model's features, after the choice; see
            `headstart.audit`. It decides nothing.
        budget: what the comparison may spend: time, downloads included ("10m", "2h"), or pictures that go
            through networks ("50000images"). "" runs every candidate on all pictures.
        max_download_bytes: weights to fetch under a budget, in all; what does not fit is left out.
        max_latency_ms: under a budget, the best candidate that takes no longer for a picture stays in to the
            end; None protects nobody.
        keep_neighbours: puts small copies of training pictures into the model's folder, so that those most
            like a new one can be shown.
        tuning: how the finalists are fine-tuned; None leaves them as they are.
        keep_weights: False deletes, at the end, the weights that this run fetched for candidates that were
            not chosen.
    """

    resolutions: tuple[int | Literal["native", "auto"], ...] = ("auto",)
    fits: tuple[Fit | None, ...] = (None,)
    feature_points: tuple[str, ...] = ("pooled",)
    batch_norms: tuple[BatchNorm, ...] = ("pretrained",)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    plan: Literal["fast", "exact"] = "fast"
    max_unreadable: float = 0.1
    reference: str = ""
    seed: int = 0
    command: str = ""
    audit: Literal["quick", "full"] = "quick"
    budget: str = ""
    max_download_bytes: int = 5 * 10**9
    max_latency_ms: float | None = None
    keep_weights: bool = True
    keep_neighbours: bool = False
    tuning: Tuning | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a model costs to run, measured on this machine.

    Attributes:
        latency_ms: fastest pass of one picture through the network at batch 1, in milliseconds.
        pictures_per_second: rate of the embedding run, decoding included; None when all came from the cache.
        num_params: number of parameters, head included.
    """

    latency_ms: float
    pictures_per_second: float | None
    num_params: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """Why a candidate of a race did not get to the end, and how it stood when it left.

    Attributes:
        exit: "worse" beyond doubt; "set aside" for want of budget; "running" where the race was stopped.
        reason: in words.
        num_train: training pictures it had seen; 0 where it never ran.
        num_val: validation pictures it had seen.
        accuracy: mean of two heads, a linear probe of one strength and nearest neighbours, on all of them,
            each predicted by a head that had not seen it; None where it never ran.
        neighbours: accuracy of the nearest neighbours on the same pictures, in [0, 1].
        h_score: regularised H-score of the training pictures, at least 0.
        log_me: LogME of the training pictures, in nats a picture.
    """

    exit: str
    reason: str
    num_train: int = 0
    num_val: int = 0
    accuracy: Estimate | None = None
    neighbours: float | None = None
    h_score: float | None = None
    log_me: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceSummary:
    """What a race under a budget did.

    Attributes:
        budget: as it was given: "10m".
        rungs: training pictures, validation pictures and number of candidates of every rung; the last is that
            of the finalists.
        expected: what it was said to take, in seconds or pictures, before it started.
        spent: what it took, in the same unit; of all its starts where it was stopped in between.
        unit: "seconds" or "pictures".
        num_pictures: how often a picture went through a network or its features came from the cache.
    """

    budget: str
    rungs: tuple[tuple[int, int, int], ...]
    expected: float
    spent: float
    unit: str
    num_pictures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something about a candidate that looks like a mistake.

    Attributes:
        name: short and fixed: "at-chance".
        text: what was seen, with figures.
        cause: what most likely causes it, and what to do.
    """

    name: str
    text: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One candidate of a comparison, with its evidence or its error.

    Attributes:
        name: the model's full name, with "@" and what differs behind it where one model ran in several ways.
        model: the model's full name, as in the catalogue.
        entry: the catalogue's row; None when the name could not be resolved.
        resolution: side of the network's input in pixels; 0 when it failed before that was known.
        error: "" or why this candidate has no evidence.
        hint: how to mend the error.
        validation: metrics on the validation pictures; None when it failed.
        behind_best: accuracy of the best row minus this one's, paired on the same pictures, with an interval
            corrected for the number of comparisons; None for the best row itself and for failed ones.
        tied: whether it is not significantly worse than the best row.
        regularization: strength that the probe chose.
        plan: how the features were computed, in words: "bf16, channels-last, batch 64".
        cost: measured cost; None when it failed.
        feature_dim: D of the features; 0 when it failed.
        screening: how it left a race before the end; None for those that ran in full.
        alarms: what looks like a mistake in how the model was used; they change neither ranking nor choice.
    """

    name: str
    model: str
    entry: ModelEntry | None
    resolution: int
    error: str = ""
    hint: str = ""
    validation: Evaluation | None = None
    behind_best: PairedDifference | None = None
    tied: bool = False
    regularization: float | None = None
    plan: str = ""
    cost: Cost | None = None
    feature_dim: int = 0
    screening: Screening | None = None
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at the locked test set.

    Attributes:
        model: which row was looked at, by its name.
        role: "chosen" or "reference" (named before the data were seen).
        evaluation: metrics on the test pictures.
    """

    model: str
    role: str
    evaluation: Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One wrongly classified picture of those that the final estimate rests on.

    Attributes:
        id: the picture's id in the data set.
        true_class: name of its label's class.
        predicted_class: name of the class that got the highest probability.
        probability: that probability, in [0, 1].
        true_probability: probability of the true class, in [0, 1].
        thumbnail: path of a small JPEG without metadata, relative to the run's folder; "" when there is none.
        heat_map: the same of the network's input under what spoke for the predicted class; "" when there is
            none.
    """

    id: str
    true_class: str
    predicted_class: str
    probability: float
    true_probability: float
    thumbnail: str
    heat_map: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearTie:
    """A picture of those that the final estimate rests on, of which the model could not decide.

    Attributes:
        id: the picture's id in the data set.
        true_class: name of its label's class.
        classes: names of the two most probable classes.
        probabilities: theirs, in [0, 1], the higher first.
        thumbnail: as of a `Mistake`.
    """

    id: str
    true_class: str
    classes: tuple[str, str]
    probabilities: tuple[float, float]
    thumbnail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtedLabel:
    """A label that may well be wrong, by predictions that did not see the picture.

    Attributes:
        id: the picture's id in the data set.
        label: name of the class that it has.
        suggested: name of the class that is more probable.
        probability: of `label`, in [0, 1].
        suggested_probability: of `suggested`.
        thumbnail: as of a `Mistake`.
    """

    id: str
    label: str
    suggested: str
    probability: float
    suggested_probability: float
    thumbnail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlikeGroup:
    """Pictures that show the same.

    Attributes:
        ids: of all of them.
        classes: names of their labels' classes, in the same order.
        is_exact: whether their files have the same content; else they are only nearly the same.
        thumbnails: of the first ones, as of a `Mistake`.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    is_exact: bool
    thumbnails: tuple[str, ...]

    @property
    def is_conflict(self) -> bool:
        """Whether their labels differ, so that one of them is wrong."""
        return len(set(self.classes)) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Pictures of like confidence.

    Attributes:
        confidence: mean of their largest probabilities, in [0, 1].
        accuracy: share of them that is classified right, Wilson interval.
    """

    confidence: float
    accuracy: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Whether a model is right as often as it says, before its temperature and with it.

    Attributes:
        before: bins with equally many pictures each, by rising confidence, of plain probabilities.
        after: the same of the probabilities that the model gives, with its temperature.
        error_before: debiased expected calibration error, in [0, 1].
        error_after: the same with the temperature.
        is_fresh: whether the pictures had no say in the temperature.
    """

    before: tuple[ReliabilityBin, ...]
    after: tuple[ReliabilityBin, ...]
    error_before: float
    error_after: float
    is_fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How the evidence was gathered.

    Attributes:
        selection: "holdout" (a validation split) or "cross-validation" (too few pictures for one).
        estimate: "locked test"; "nested cross-validation", where there were too few pictures to lock some
            away; or "validation", where there was neither: the pictures that the choice rests on.
        num_train: pictures that the probes were fitted on for selection.
        num_validation: pictures that the ranking rests on.
        num_test: pictures of the locked test set; 0 when there is none.
        num_folds: folds of the cross-validation; 0 when it was not used.
        num_repeats: how often the folds were drawn; 0 when not used.
        given_splits: whether the data set brought its own test split.
        seed: of everything random.
    """

    selection: str
    estimate: str
    num_train: int
    num_validation: int
    num_test: int
    num_folds: int
    num_repeats: int
    given_splits: bool
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSummary:
    """How a candidate was fine-tuned, and what that did on the validation pictures.

    Attributes:
        name: of the fine-tuned candidate's row.
        probe: of the row that it comes from.
        history: recipe, epochs, the chosen one, notes.
        metric: what the gain is in: "accuracy" or "balanced_accuracy".
        gain: of the fine-tuned network over its probe, paired on the same pictures.
        probe_confusion: K rows of K counts, row = true class, column = predicted.
        tuned_confusion: the same of the fine-tuned network.
        sheet: path of a JPEG without metadata, relative to the run's folder: training pictures, a row each;
            as they are, and behind that as they are trained on in the first epochs. "" when there is none.
        sheet_classes: name of the class of each of its rows.
    """

    name: str
    probe: str
    history: History
    metric: Metric
    gain: PairedDifference
    probe_confusion: tuple[tuple[int, ...], ...]
    tuned_confusion: tuple[tuple[int, ...], ...]
    sheet: str = ""
    sheet_classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A whole comparison, or what there is of one that was stopped.

    Attributes:
        dataset_name: short name of the data set.
        dataset_location: what the data set was opened from, as given; the last part only of a path.
        fingerprint: the data set's fingerprint.
        class_names: K names.
        class_counts: pictures a class, in the order of `class_names`.
        rows: all candidates: by validation accuracy, best first; then those that left a race before the end,
            the most promising first; failed ones last.
        chosen: name of the chosen row; "" when all failed.
        reason: why that row, in one or two sentences.
        reference: name of the row that was named as reference beforehand; "" when there is none.
        looks: every look at the locked test set, in order; empty without one.
        final: the estimate for the chosen model: of its test look, or nested cross-validated.
        confusion: K rows of K counts, row = true class, column = predicted, of the final estimate.
        mistakes: the most confident ones first.
        excluded: pictures left out, with reasons.
        num_duplicates: pictures whose exact content occurs more than once.
        protocol: how the evidence was gathered.
        preprocessing: of the chosen model.
        temperature: the chosen model's logits are divided by this.
        decisions: what was decided on the way, in order, one line each.
        command: the command that makes this comparison again; "" when it was made from Python.
        versions: version of every package that matters, and of Python.
        machine: what it ran on, in words: processor, cores, memory, GPU.
        digests: sha256 by name: settings, data set, weights of each row.
        seconds: wall-clock time of the run that finished it.
        started: date and time of the start, ISO 8601 in UTC.
        audit: what is wrong with the pictures; None where it was not looked for.
        race: what was spent on what; None without a budget.
        advice: what else could be had, and what more pictures or fine-tuning would do; None where nothing
            was chosen.
        rejection: below which confidence the chosen model says "unknown", and what that buys; None where
            nothing was chosen.
        tunings: of the candidates that were fine-tuned, in the order in which they were.
        near_ties: pictures that the chosen model could hardly decide, the closest first.
        doubted_labels: labels that may well be wrong, the likeliest first; of validation and test pictures,
            or of all with a full audit.
        alike: pictures that show the same; those with different labels first.
        calibration: of the chosen model; None where nothing was chosen.
        folder: where it lies on this machine; None inside the file.
    """

    dataset_name: str
    dataset_location: str
    fingerprint: str
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    rows: tuple[Row, ...]
    chosen: str
    reason: str
    reference: str
    looks: tuple[Look, ...]
    final: Evaluation | None
    confusion: tuple[tuple[int, ...], ...]
    mistakes: tuple[Mistake, ...]
    excluded: tuple[Exclusion, ...]
    num_duplicates: int
    protocol: Protocol
    preprocessing: Preprocessing | None
    temperature: float
    decisions: tuple[str, ...]
    command: str
    versions: dict[str, str]
    machine: str
    digests: dict[str, str]
    seconds: float
    started: str
    audit: Audit | None = None
    race: RaceSummary | None = None
    advice: Advice | None = None
    rejection: Rejection | None = None
    tunings: tuple[TuningSummary, ...] = ()
    near_ties: tuple[NearTie, ...] = ()
    doubted_labels: tuple[DoubtedLabel, ...] = ()
    alike: tuple[AlikeGroup, ...] = ()
    calibration: Calibration | None = None
    folder: Path | None = None

    def __str__(self) -> str:
        """Return the ranking as a plain table."""
        lines = [f"{'model':<44} {'validation accuracy':<24} tied"]
        for row in self.rows:
            if row.screening is not None:
                lines.append(f"{row.name:<44} {row.screening.exit}: {row.screening.reason}")
                continue
            if row.validation is None:
                lines.append(f"{row.name:<44} failed: {row.error}")
                continue
            accuracy = row.validation.accuracy
            figures = f"{accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f})"
            lines.append(f"{row.name:<44} {figures:<24} {'yes' if row.tied else 'no'}")
        return "\n".join([*lines, self.reason])

    def load_best(self) -> "Classifier":
        """Return the chosen model, trained.

        Raises:
            StorageError: the comparison lies in no folder, or no candidate could be trained.
        """
        if self.folder is None or not self.chosen:
            raise StorageError(
                "this comparison has no trained model", hint="every candidate failed; see .rows"
            )
        from headstart.models import load_folder  # late: reading a comparison needs no torch

        return load_folder(self.folder / MODEL_FOLDER)


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with the ranking so far.

    Attributes:
        comparison: without a chosen model; it is saved nowhere.
    """

    def __init__(self, comparison: Comparison) -> None:
        super().__init__("stopped")
        self.comparison = comparison
