"""Evidence of one candidate, from training and validation pictures only.

With a validation part the probe is fitted on the training part and predicts the other. Without one
(too few pictures) it is cross-validated: folds drawn several times, every picture predicted once each time by
a probe that never saw it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headstart.catalog.entry import Preprocessing
from headstart.compare.candidates import Candidate
from headstart.compare.records import Alarm, CompareOptions, Cost
from headstart.core.errors import DataError
from headstart.core.progress import Progress
from headstart.core.records import from_json, to_json
from headstart.core.runner import Runner, SerialRunner
from headstart.data import ImageDataset, Splits
from headstart.data.dataset import check_classes, concatenate
from headstart.data.partition import inseparable
from headstart.embed import (
    Embeddings,
    Engine,
    PixelStore,
    Plan,
    PlanOptions,
    choose_resolution,
    embed,
    embed_all,
)
from headstart.embed.matrix import select_rows
from headstart.embed.reestimate import reestimate_on
from headstart.evaluate import measure_latency
from headstart.models import Classifier, load
from headstart.train import LinearProbe

NUM_FOLDS = 5
NUM_REPEATS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What training and validation pictures say of one candidate.

    Attributes:
        candidate: whom it is about.
        probabilities: float32 of shape (R, N, K): of the N validation pictures, predicted R times by
            probes that did not see them; R is 1 with a validation part.
        inner_losses: float32 of shape (R, F): the log loss by which each of F probes chose its own strength,
            from its own training part.
        resolution: side of the input in pixels.
        regularization: strength that the probe chose; the median over folds. None for a network that was
            fine-tuned.
        plan: how the network was run, in words.
        cost: measured on this machine.
        feature_dim: D.
        backbone: sha256 of the network's tensors.
        train_correct: float32 of shape (M,): 1 where the probe is right on a picture that it was fitted on;
            None where there are many probes, for candidates that are cross-validated.
        alarms: what looks like a mistake in how the candidate was used.
    """

    candidate: Candidate
    probabilities: npt.NDArray[np.float32]
    inner_losses: npt.NDArray[np.float32]
    resolution: int
    regularization: float | None
    plan: str
    cost: Cost
    feature_dim: int
    backbone: str
    train_correct: npt.NDArray[np.float32] | None = None
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """A candidate's network and its features of all pictures of the splits."""

    classifier: Classifier
    embeddings: Embeddings

    def rows(self, dataset: ImageDataset) -> npt.NDArray[np.float32]:
        """Return the features of a part, float32 of shape (N, D)."""
        return self.embeddings.rows(dataset.ids)

    @property
    def head_device(self) -> str:
        """Where heads are fitted: on a GPU that embedded the pictures and is here, else on the processor."""
        return "cuda" if self.embeddings.plan.device == "cuda" and torch.cuda.is_available() else "cpu"


def load_candidate(
    candidate: Candidate,
    train: ImageDataset,
    sides: npt.NDArray[np.int64],
    *,
    store: PixelStore,
    progress: Progress,
) -> Classifier:
    """Return a candidate's network as it is to be used.

    Args:
        candidate: whom to load.
        train: training pictures, for batch norms whose statistics are taken from them.
        sides: int64 of shape (N,): shorter sides of the pictures, for the resolution.
        store: the pixels that all candidates share.
        progress: told about the download.
    """
    classifier = load(candidate.entry, progress=progress)
    classifier = classifier.with_preprocessing(
        candidate_preprocessing(candidate, sides, native=classifier.preprocessing)
    )
    if candidate.feature_point != "pooled":
        classifier = classifier.with_feature_point(candidate.feature_point)
    if candidate.batch_norm == "reestimated":
        classifier = reestimate_on(classifier, train, store=store, progress=progress)
    return classifier


def embed_pictures(
    classifier: Classifier,
    parts: Sequence[ImageDataset],
    *,
    options: CompareOptions,
    store: PixelStore,
    plan: Plan | None = None,
    runner: Runner = SerialRunner(),
    progress: Progress,
) -> Embedded:
    """Return a network with its features of all pictures of some parts; no label is looked at.

    Args:
        classifier: the network.
        parts: of which no two share a picture.
        options: device, precision and plan.
        store: the pixels that all candidates share.
        plan: that was found for this network before; None finds one.
        runner: who runs the network.
        progress: told about every picture.
    """
    embeddings = embed(
        classifier,
        concatenate(parts),
        options=plan_options(options),
        store=store,
        plan=plan,
        runner=runner,
        progress=progress,
    )
    return Embedded(classifier=classifier, embeddings=embeddings)


def embed_ahead(
    classifiers: Sequence[Classifier],
    parts: Sequence[ImageDataset],
    *,
    options: CompareOptions,
    store: PixelStore,
    runner: Runner,
    progress: Progress,
) -> list[Plan]:
    """Put the features of several networks into the cache together, and return the networks' plans.

    On other machines than this a picture is then decoded once for all of them.
    """
    found = embed_all(
        classifiers,
        concatenate(parts),
        options=plan_options(options),
        store=store,
        runner=runner,
        progress=progress,
    )
    return [replace(each.plan, compiled=False) for each in found]  # for a few more it would not pay


def plan_options(options: CompareOptions) -> PlanOptions:
    """Return what a comparison's user asks for of plans."""
    return PlanOptions(device=options.device, precision=options.precision, plan=options.plan)


def candidate_preprocessing(
    candidate: Candidate, sides: npt.NDArray[np.int64], *, native: Preprocessing
) -> Preprocessing:
    """Return what pictures go through for a candidate.

    Args:
        candidate: its resolution and fit.
        sides: int64 of shape (N,): shorter sides of the pictures.
        native: what its weights came with.

    Raises:
        InputError: the network does not take that resolution.
    """
    return choose_resolution(
        native,
        sides,
        resolution=candidate.resolution,
        fit=candidate.fit,
        fixed=candidate.entry.fixed_input_size,
    )


def gather(
    candidate: Candidate,
    embedded: Embedded,
    splits: Splits,
    *,
    seed: int,
    runner: Runner = SerialRunner(),
    progress: Progress,
) -> Evidence:
    """Return the evidence of one candidate; the test part is not looked at."""
    progress.start(f"training heads on {candidate.name}")
    train, train_correct = splits.train, None
    if splits.val is None:
        folds = draw_folds(train, seed=seed)
        probabilities, losses, strengths = _cross_validate(embedded, train, folds, seed)
    else:
        features = embedded.rows(train)
        probe = fit_probe(features, train, seed=seed, device=embedded.head_device)
        train_correct = (probe.predict(features) == train.labels).astype(np.float32)
        validation = probe.predict_proba(embedded.rows(splits.val)).astype(np.float32)
        probabilities = validation[None]
        losses, strengths = np.array([[probe.inner_log_losses_.min()]], np.float32), [probe.strength_]
    return Evidence(
        candidate=candidate,
        probabilities=probabilities,
        inner_losses=losses,
        resolution=embedded.classifier.preprocessing.input_size[0],
        regularization=float(np.median(strengths)),
        plan=str(embedded.embeddings.plan),
        cost=measure_cost(embedded, runner=runner),
        feature_dim=embedded.classifier.feature_dim,
        backbone=embedded.classifier.backbone_digest(),
        train_correct=train_correct,
    )


def fit_probe(
    features: npt.NDArray[np.float32],
    dataset: ImageDataset,
    *,
    regularization: float | None = None,
    seed: int,
    device: str,
) -> LinearProbe:
    """Return a probe fitted on a part's features, by the strength that is given or chooses itself.

    Raises:
        DataError: a class has no picture in this part.
    """
    check_classes(dataset)
    strengths = None if regularization is None else [regularization]
    return LinearProbe(strengths=strengths, seed=seed, device=device).fit(features, dataset.labels)


def count_folds(dataset: ImageDataset) -> int:
    """Return how many folds a part is cut into: 5, or less where a class has fewer different pictures."""
    _, labels = _contents(dataset)
    return min(NUM_FOLDS, int(np.bincount(labels, minlength=dataset.num_classes).min()))


def draw_folds(dataset: ImageDataset, *, seed: int) -> npt.NDArray[np.int64]:
    """Return int64 of shape (R, N): the fold that each picture is predicted in, in each of R drawings.

    Stratified; pictures of the same content or group are in the same fold.

    Raises:
        DataError: a class has fewer than two different pictures.
    """
    from sklearn.model_selection import StratifiedKFold

    num_folds = count_folds(dataset)
    if num_folds < 2:
        raise DataError(
            "cross-validation needs two different pictures of every class, none of which lies in another "
            "class as well",
            hint="headstart check DATA lists pictures that occur more than once",
        )
    content, labels = _contents(dataset)
    folds = np.empty((NUM_REPEATS, len(labels)), np.int64)
    for repeat in range(NUM_REPEATS):
        cut = StratifiedKFold(num_folds, shuffle=True, random_state=seed + repeat)
        for fold, (_, held_out) in enumerate(cut.split(labels, labels)):
            folds[repeat, held_out] = fold
    return folds[:, content]


def _contents(dataset: ImageDataset) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the number of each picture's content, of shape (N,), and the label of each content's first."""
    _, first, content = np.unique(inseparable(dataset), return_index=True, return_inverse=True)
    return content, dataset.labels[first]


def _cross_validate(
    embedded: Embedded, dataset: ImageDataset, folds: npt.NDArray[np.int64], seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], Sequence[float]]:
    features, num_folds = embedded.rows(dataset), int(folds.max()) + 1
    probabilities = np.empty((*folds.shape, dataset.num_classes), np.float32)
    losses = np.empty((len(folds), num_folds), np.float32)
    strengths = []
    for repeat, fold in np.ndindex(losses.shape):
        held_out = folds[repeat] == fold
        seen = dataset.select(np.flatnonzero(~held_out))
        known = select_rows(features, np.flatnonzero(~held_out))
        probe = fit_probe(known, seen, seed=seed, device=embedded.head_device)
        others = select_rows(features, np.flatnonzero(held_out))
        probabilities[repeat, held_out] = probe.predict_proba(others)
        losses[repeat, fold] = probe.inner_log_losses_.min()
        strengths.append(probe.strength_)
    return probabilities, losses, strengths


def measure_cost(embedded: Embedded, *, runner: Runner = SerialRunner()) -> Cost:
    """Return what a candidate's network costs to run where it was run."""
    embeddings, classifier = embedded.embeddings, embedded.classifier
    rate = embeddings.num_computed / embeddings.seconds if embeddings.num_computed else None
    return Cost(
        latency_ms=network_latency(classifier, embeddings.plan, runner=runner),
        pictures_per_second=rate,
        num_params=classifier.num_params,
    )


def network_latency(classifier: Classifier, plan: Plan, *, runner: Runner = SerialRunner()) -> float:
    """Return the time of one picture through a network, in milliseconds, where pictures are run."""
    (latency_ms,) = runner.map(partial(_latencies, classifier), [plan])
    return latency_ms


def _latencies(classifier: Classifier, plan: Plan) -> Iterator[float]:
    # One picture at a time is what nobody compiles a network of this size for.
    engine = Engine(classifier, replace(plan, compiled=False, batch_size=1))
    picture = np.zeros((1, *classifier.preprocessing.input_size, 3), np.uint8)
    yield measure_latency(lambda: engine.features(picture))


def write_evidence(evidence: Evidence) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]:
    """Return evidence as a JSON value and arrays by name, without the candidate."""
    record = {
        "resolution": evidence.resolution,
        "regularization": evidence.regularization,
        "plan": evidence.plan,
        "cost": to_json(evidence.cost),
        "feature_dim": evidence.feature_dim,
        "backbone": evidence.backbone,
        "alarms": to_json(evidence.alarms),
    }
    arrays = {"probabilities": evidence.probabilities, "inner_losses": evidence.inner_losses}
    if evidence.train_correct is not None:
        arrays["train_correct"] = evidence.train_correct
    return record, arrays


def read_evidence(
    candidate: Candidate, record: dict[str, Any], arrays: dict[str, npt.NDArray[np.float32]]
) -> Evidence:
    """Return the evidence of `candidate` that `write_evidence` took apart."""
    alarms = tuple(from_json(Alarm, each) for each in record["alarms"])
    return Evidence(
        **{
            **record,
            "candidate": candidate,
            "cost": from_json(Cost, record["cost"]),
            "alarms": alarms,
            **arrays,
        }
    )
