"""How good the chosen model is: one look at the locked test set, or nested cross-validation without one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from headstart.compare.choice import evaluate_repeats
from headstart.compare.evidence import Embedded, Evidence
from headstart.compare.heads import draw_folds, fit_probe
from headstart.data import ImageDataset, Splits
from headstart.data.dataset import concatenate
from headstart.data.partition import inseparable
from headstart.evaluate import Evaluation, Rejection, choose_rejection, evaluate, kept_share
from headstart.models import Classifier
from headstart.train import fit_temperature, fold_probe
from headstart.train.familiarity import fit_familiarity

_FLOOR = 1e-12  # of probabilities, before their logarithm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinalPredictions:
    """What the final estimate rests on.

    Attributes:
        dataset: the N pictures.
        probabilities: float32 of shape (R, N, K); R is 1 on a test set.
        evaluation: of these.
    """

    dataset: ImageDataset
    probabilities: npt.NDArray[np.float32]
    evaluation: Evaluation


def train_final(
    embedded: Embedded,
    splits: Splits,
    validation: npt.NDArray[np.float32],
    *,
    regularization: float | None = None,
    start: npt.NDArray[np.float32] | None = None,
    seed: int,
) -> Classifier:
    """Return a candidate with a head fitted on all pictures that are not locked away.

    Args:
        embedded: the candidate's network and features.
        splits: the head is fitted on train and val together; a test part is not looked at.
        validation: float32 of shape (R, N, K), its validation probabilities, which decide the temperature.
        regularization: strength that was chosen on the training part, None to choose it anew.
        start: float32 of shape (K, D + 1), the head of the training part at that strength, where the fit
            begins; None for none.
        seed: of the probe.
    """
    parts = [part for part in (splits.train, splits.val) if part is not None]
    everything = concatenate(parts)
    probe = fit_probe(
        embedded.rows(everything),
        everything,
        regularization=regularization,
        start=start,
        seed=seed,
        device=embedded.head_device,
    )
    labels = (splits.val or splits.train).labels
    repeated = np.tile(labels, len(validation))
    log_probabilities = np.log(np.maximum(validation.reshape(len(repeated), -1), _FLOOR))
    temperature = fit_temperature(log_probabilities, repeated)
    return embedded.classifier.with_head(fold_probe(probe), everything.class_names, temperature=temperature)


def look_at_test(
    classifier: Classifier, embedded: Embedded, test: ImageDataset, *, seed: int
) -> FinalPredictions:
    """Score a trained classifier on the locked test set. Every call is one look."""
    features = torch.from_numpy(embedded.rows(test))
    with torch.inference_mode():
        probabilities = classifier.probabilities(features).numpy()
    evaluation = evaluate(probabilities, test.labels, seed=seed)
    return FinalPredictions(dataset=test, probabilities=probabilities[None], evaluation=evaluation)


def know_training_pictures(
    classifier: Classifier, embedded: Embedded, pictures: ImageDataset, *, seed: int
) -> None:
    """Let a trained classifier know which pictures are unlike its training pictures.

    Args:
        classifier: the trained one, on the network of `embedded`.
        embedded: with features of `pictures`.
        pictures: that its network, as distinct from its head, was not fitted on.
        seed: of the folds.
    """
    features = np.asarray(embedded.rows(pictures), np.float32)
    classifier.familiarity = fit_familiarity(features, inseparable(pictures), seed=seed)


def find_rejection(
    classifier: Classifier,
    labels: npt.NDArray[np.int64],
    validation: npt.NDArray[np.float32],
    tested: FinalPredictions | None,
) -> Rejection:
    """Return below which confidence a trained classifier's answer is "unknown".

    Args:
        classifier: whose temperature the probabilities are brought to.
        labels: int64 of shape (N,), of the validation pictures.
        validation: float32 of shape (R, N, K), its validation probabilities.
        tested: its predictions of the locked test pictures, to show what the threshold does there; None
            without any.
    """
    powers = np.log(np.maximum(validation, _FLOOR)) / classifier.temperature
    calibrated = np.exp(powers - powers.max(axis=2, keepdims=True))
    calibrated /= calibrated.sum(axis=2, keepdims=True)
    found = choose_rejection(labels, calibrated)
    if found.threshold is None or tested is None:
        return found
    kept = kept_share(tested.dataset.labels, tested.probabilities[0], found.threshold)
    return replace(found, tested=kept)


def judge_on(val: ImageDataset, evidence: Evidence) -> FinalPredictions:
    """Return a candidate's validation, where there is nothing else: it was chosen on the same pictures."""
    probabilities = evidence.probabilities
    return FinalPredictions(
        dataset=val,
        probabilities=probabilities,
        evaluation=evaluate_repeats(probabilities, val.labels, seed=0),
    )


def nested_estimate(evidence: Sequence[Evidence], train: ImageDataset, *, seed: int) -> FinalPredictions:
    """Estimate how good the choice is, where there are too few pictures to lock some away.

    In every fold the candidate is chosen anew, by the log loss that its probe found inside the fold's own
    training part, and scored on the fold; so no picture helps to choose the model that it is scored with.
    Source: Cawley & Talbot 2010, https://jmlr.org/papers/v11/cawley10a.html
    """
    folds = draw_folds(train, seed=seed)
    losses = np.stack([each.inner_losses for each in evidence])  # (M, R, F)
    winners = losses.argmin(0)  # (R, F)
    chosen = np.take_along_axis(winners, folds, axis=1)  # (R, N)
    stacked = np.stack([each.probabilities for each in evidence])  # (M, R, N, K)
    repeats, pictures = np.indices(folds.shape)
    probabilities = stacked[chosen, repeats, pictures]  # (R, N, K)
    less = [each.fewer for each in evidence if each.fewer is not None]
    fewer = np.stack(less)[chosen, repeats, pictures] if len(less) == len(evidence) else None
    evaluation = evaluate_repeats(probabilities, train.labels, folds=folds, fewer=fewer, seed=seed)
    return FinalPredictions(dataset=train, probabilities=probabilities, evaluation=evaluation)
