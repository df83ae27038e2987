"""Fine-tuned networks as candidates, judged on the same pictures as the probes that they come from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from headstart.compare.candidates import Candidate
from headstart.compare.evidence import Embedded, Evidence, embed_pictures, measure_cost
from headstart.compare.heads import draw_folds, fit_probe
from headstart.compare.metric import Metric, picture_weights
from headstart.compare.mistakes import count_confusions
from headstart.compare.records import CompareOptions, Tuning, TuningSummary
from headstart.compare.sheet import write_sheet
from headstart.core.digest import digest_json
from headstart.core.errors import ModelError
from headstart.core.progress import Progress
from headstart.data import Splits
from headstart.embed import PixelStore
from headstart.evaluate.weighted import weighted_difference
from headstart.metrics import surprisals
from headstart.models import Classifier, load_folder, save_folder
from headstart.train import Recipe, TuneOptions, fine_tune, fit_temperature, fold_probe
from headstart.train.checkpoint import remove_checkpoint

TUNED_FOLDER = "tuned"
"""Of a run: a folder for each fine-tuned candidate, with its model and, while it trains, its checkpoint."""

SHEET_FILE = "augmented.jpg"

TRAINING_PASSES = 3
"""As how many pictures through a network one counts that is trained on: the way back takes about two more."""


def tuned_candidate(candidate: Candidate) -> Candidate:
    """Return a candidate's network as it will be when it was fine-tuned."""
    return replace(candidate, name=f"{candidate.name}, tuned", tuned_from=candidate.name)


def hold_out(splits: Splits, *, seed: int) -> Splits:
    """Return splits with a validation part: a fifth of the training pictures where there was none.

    Too few pictures for one are cross-validated otherwise; a whole network is not trained fifteen times.
    """
    if splits.val is not None:
        return splits
    held_out = draw_folds(splits.train, seed=seed)[0] == 0
    return replace(
        splits,
        train=splits.train.select(np.flatnonzero(~held_out)),
        val=splits.train.select(np.flatnonzero(held_out)),
    )


def count_passes(splits: Splits, *, num_epochs: int) -> int:
    """Return how many pictures a fine-tuning counts as, in a budget of pictures that go through networks.

    The validation pictures go through before it, after every epoch, and at its end.
    """
    num_val = len(splits.val or splits.train)
    return TRAINING_PASSES * num_epochs * len(splits.train) + (num_epochs + 2) * num_val


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuner:
    """Fine-tunes candidates of a run.

    Attributes:
        recipe: all settings.
        tuning: what the user asked for.
        options: of the comparison: device, precision, seed.
        folder: of the run.
        store: the pixels that all candidates share.
        progress: told about everything that takes time.
    """

    recipe: Recipe
    tuning: Tuning
    options: CompareOptions
    folder: Path
    store: PixelStore
    progress: Progress

    def tune(
        self, evidence: Evidence, embedded: Embedded, splits: Splits, *, seconds: float
    ) -> tuple[Evidence, str]:
        """Fine-tune a candidate from its probe, keep it in the run's folder, and return its evidence.

        Args:
            evidence: of its probe.
            embedded: its network and features of the training pictures.
            splits: with validation pictures; a test part is not looked at.
            seconds: that there are for it; 0 for no limit.

        Returns:
            The evidence, and what happened on the way, in words.
        """
        candidate = tuned_candidate(evidence.candidate)
        train, seed = splits.train, self.options.seed
        probe = fit_probe(
            embedded.rows(train),
            train,
            regularization=evidence.regularization,
            seed=seed,
            device=embedded.head_device,
        )
        tuned = fine_tune(
            embedded.classifier.with_head(fold_probe(probe), train.class_names),
            replace(splits, test=None),
            recipe=self.recipe,
            out=self.folder_of(candidate),
            options=self._options(seconds),
            store=self.store,
            progress=self.progress,
        )
        found, tuned = self._judge(candidate, tuned, splits)
        if found.resolution == evidence.resolution:  # the same network, which costs the same
            found = replace(found, cost=evidence.cost)
        save_folder(tuned, self.folder_of(candidate))
        history = tuned.history
        notes = () if history is None else (f"epoch {history.chosen} was chosen", *history.notes)
        return found, "; ".join(notes)

    def within(self, num_pictures: float, splits: Splits) -> "Tuner | None":
        """Return one with as many epochs as there is room for; None where not one fits.

        Args:
            num_pictures: that may go through the network, see `count_passes`.
            splits: with validation pictures.
        """
        epochs = self.recipe.epochs
        while epochs and count_passes(splits, num_epochs=epochs) > num_pictures:
            epochs -= 1
        return replace(self, recipe=replace(self.recipe, epochs=epochs)) if epochs else None

    def summarize(
        self, evidence: Evidence, probe: Evidence, splits: Splits, *, metric: Metric
    ) -> TuningSummary:
        """Return how a candidate was fine-tuned and what came of it; draw its sheet of training pictures.

        Args:
            evidence: of the fine-tuned network.
            probe: of the candidate that it comes from.
            splits: with validation pictures, which both were judged on.
            metric: what candidates are ranked by.

        Raises:
            StorageError: its model folder cannot be read.
            ModelError: its model folder is one of a network that was not fine-tuned.
        """
        candidate, labels = evidence.candidate, (splits.val or splits.train).labels
        tuned = self.load(candidate)
        if tuned.history is None:
            raise ModelError(f"{self.folder_of(candidate)} holds a network that was not fine-tuned")
        sheet = self.folder_of(candidate) / SHEET_FILE
        classes = write_sheet(
            sheet,
            splits.train,
            preprocessing=tuned.preprocessing,
            recipe=Recipe(**tuned.history.recipe),
            seed=self.options.seed,
            store=self.store,
        )
        after, before = (each.probabilities[0] for each in (evidence, probe))
        gained = (after.argmax(1) == labels).astype(np.float64) - (before.argmax(1) == labels)
        return TuningSummary(
            name=candidate.name,
            probe=probe.candidate.name,
            history=tuned.history,
            metric=metric,
            gain=weighted_difference(gained, picture_weights(labels, metric)),
            probe_confusion=count_confusions(labels, before),
            tuned_confusion=count_confusions(labels, after),
            sheet=sheet.relative_to(self.folder).as_posix() if classes else "",
            sheet_classes=classes,
        )

    def forget(self, candidate: Candidate) -> None:
        """Delete the checkpoint of a fine-tuned candidate whose evidence is kept."""
        remove_checkpoint(self.folder_of(candidate))

    def load(self, candidate: Candidate) -> Classifier:
        """Return a fine-tuned candidate."""
        return load_folder(self.folder_of(candidate))

    def folder_of(self, candidate: Candidate) -> Path:
        """Return where a fine-tuned candidate is kept."""
        return self.folder / TUNED_FOLDER / digest_json(candidate.name)[:8]

    def _judge(self, candidate: Candidate, tuned: Classifier, splits: Splits) -> tuple[Evidence, Classifier]:
        """Return the evidence of a fine-tuned network, and the network with its temperature."""
        val = splits.val or splits.train
        embedded = embed_pictures(
            tuned, [val], options=self.options, store=self.store, progress=self.progress
        )
        features = embedded.rows(val)
        logits = log_probabilities(tuned, features)
        probabilities = np.exp(logits)
        calibrated = tuned.with_temperature(fit_temperature(logits, val.labels))
        evidence = Evidence(
            candidate=candidate,
            probabilities=probabilities[None],
            inner_losses=np.array([[surprisals(val.labels, probabilities).mean()]], np.float32),
            resolution=tuned.preprocessing.input_size[0],
            regularization=None,
            plan=str(embedded.embeddings.plan),
            cost=measure_cost(embedded),
            feature_dim=tuned.feature_dim,
            backbone=tuned.backbone_digest(),
        )
        return evidence, calibrated

    def _options(self, seconds: float) -> TuneOptions:
        precision: Literal["auto", "fp32", "bf16"] = "auto"
        if self.options.precision in ("fp32", "fp16"):  # fp16 has too small a range to train in
            precision = "fp32"
        elif self.options.precision == "bf16":
            precision = "bf16"
        return TuneOptions(
            budget_seconds=seconds,
            device=self.options.device,
            precision=precision,
            seed=self.options.seed,
            trackers=self.tuning.trackers,
            keep_checkpoint=True,  # until the evidence is kept, too
        )


def log_probabilities(classifier: Classifier, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the logarithms of a classifier's probabilities, float32 of shape (N, K)."""
    import torch

    with torch.inference_mode():
        logits = classifier.logits(torch.from_numpy(features)) / classifier.temperature
        found: npt.NDArray[np.float32] = torch.log_softmax(logits, dim=1).numpy()
    return found
