"""Evidence of one candidate, from training and validation pictures only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.compare.candidates import Candidate, candidate_preprocessing, plan_options
from headstart.compare.heads import Judged, head_device, judge
from headstart.compare.records import Alarm, CompareOptions, Cost
from headstart.core.progress import Progress
from headstart.core.records import from_json, to_json
from headstart.core.runner import Runner, SerialRunner
from headstart.data import ImageDataset, Splits
from headstart.data.dataset import concatenate
from headstart.embed import Embeddings, Engine, PixelStore, Plan, embed
from headstart.embed.reestimate import reestimate_on
from headstart.evaluate import measure_latency
from headstart.models import Classifier, load


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
        fewer: float32 of shape (R, N): 1 where a probe is right that did not see the picture, nor those of a
            second fold; None with a validation part, with two folds, or for a network that was fine-tuned.
        head: float32 of shape (K, D + 1): weights and intercepts of the probe fitted on the training part;
            None where there are many probes, for candidates that are cross-validated.
        train_correct: float32 of shape (M,): 1 where that probe is right on a picture that it was fitted on;
            None likewise.
        left_out: float32 of shape (2, M): of each training picture, predicted by a probe that was fitted on
            others, 1 where it is right, and -log probability of the true class in nats. None where there are
            many pictures, or too few of a class, or where all of the above is of left out pictures.
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
    fewer: npt.NDArray[np.float32] | None = None
    head: npt.NDArray[np.float32] | None = None
    train_correct: npt.NDArray[np.float32] | None = None
    left_out: npt.NDArray[np.float32] | None = None
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
        """Where heads are fitted."""
        return head_device(self.embeddings.plan.device)


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


def gather(
    candidate: Candidate,
    embedded: Embedded,
    splits: Splits,
    *,
    judged: Judged | None = None,
    seed: int,
    runner: Runner = SerialRunner(),
    progress: Progress,
) -> Evidence:
    """Return the evidence of one candidate; the test part is not looked at.

    Args:
        candidate: whom it is about.
        embedded: its network and features.
        splits: training pictures, and validation pictures if there are some.
        judged: what its heads said where they were fitted before; None fits them here.
        seed: of the folds and the probe.
        runner: who runs the network.
        progress: told about the heads.
    """
    if judged is None:
        progress.start(f"training heads on {candidate.name}")
        judged = judge(splits, embedded.rows, seed=seed, device=embedded.head_device)
    return Evidence(
        candidate=candidate,
        probabilities=judged.probabilities,
        inner_losses=judged.inner_losses,
        resolution=embedded.classifier.preprocessing.input_size[0],
        regularization=judged.regularization,
        plan=str(embedded.embeddings.plan),
        cost=measure_cost(embedded, runner=runner),
        feature_dim=embedded.classifier.feature_dim,
        backbone=embedded.classifier.backbone_digest(),
        fewer=judged.fewer,
        head=judged.head,
        train_correct=judged.train_correct,
        left_out=judged.left_out,
    )


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
    more = {
        "fewer": evidence.fewer,
        "head": evidence.head,
        "train_correct": evidence.train_correct,
        "left_out": evidence.left_out,
    }
    arrays |= {name: array for name, array in more.items() if array is not None}
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
