"""A fine-tuning on its way: epochs, validation, the choice of the epoch, and what is kept on disk."""

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headstart.core.errors import ModelError, TrainingError
from headstart.core.files import write_text
from headstart.core.interrupts import uninterrupted
from headstart.core.progress import Progress, duration
from headstart.core.records import from_json
from headstart.data import Exclusion, ImageDataset
from headstart.embed import Engine, Plan
from headstart.embed.decoding import Decoding, decode_batches
from headstart.embed.plan import batch_size, fast_layout
from headstart.metrics import accuracy, log_loss, merit
from headstart.models import Classifier
from headstart.models.history import Epoch, History
from headstart.train.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from headstart.train.feeding import Fed, Feeder
from headstart.train.growth import Growth, Sides
from headstart.train.layers import Trainee
from headstart.train.processes import Processes
from headstart.train.recipe import Recipe
from headstart.train.trackers import Tracker
from headstart.train.tuner import Tensors, Tuner

LOG_FILE = "tuning.jsonl"

_SAVING_SHARE = 0.05  # of the time, at most, goes into checkpoints within an epoch
_NAMED_PICTURES = 4  # of a batch, in a message
_VALIDATION_COST = 0.3  # of a picture, for one of training: a forward pass of a folded network
_TIMED_STEPS = {"cpu": 2, "cuda": 3}  # on a GPU the second one records
# On an NVIDIA GPU, until a step with pictures of another side is as fast as it will be: 9 to 12 s were seen
# for one network on an H200 where cuDNN makes kernels of depthwise convolutions ready, half a second else.
_SIDE_SECONDS, _SIDE_SECONDS_OF_KERNELS = 1.0, 10.0


@dataclass(slots=True, kw_only=True)
class State:
    """Where a training is, tensors apart.

    Attributes:
        num_steps: of the whole training.
        sides: that training pictures have in turn, in pixels, rising.
        epoch: the one that runs, from 0.
        in_epoch: steps of it that were taken.
        loss_sum: of their mean losses.
        epochs: those that have ended.
        chosen: number of the best one so far; 0 for the start.
        best_score: its score on the validation pictures.
        stale: epochs in a row without a better one.
        chunk_size: pictures that go through the network at once.
        notes: what happened besides.
        unreadable: training pictures that could not be read.
    """

    num_steps: int
    sides: list[int]
    epoch: int = 0
    in_epoch: int = 0
    loss_sum: float = 0.0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    chosen: int = 0
    best_score: float = -np.inf
    stale: int = 0
    chunk_size: int = 0
    notes: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


class Training:
    """Runs a fine-tuning to its end, from its beginning or from a checkpoint.

    Args:
        classifier: the network to begin with, head included.
        trainee: its copy that is trained.
        recipe: all settings.
        feeder: makes the batches.
        decoding: how validation pictures become pixels.
        val: they choose the epoch.
        sides: that training pictures have in turn, in pixels, rising.
        settings: digest of all that decides the result.
        seconds: when to end, in seconds from now; 0 for no limit.
        folder: where checkpoints and log go; None keeps nothing.
        save_seconds: at most so much work is lost when the process is killed.
        precision: what layers compute in, if not float32.
        processes: this one, or several.
        seed: of what networks draw themselves while they train.
        trackers: told about every epoch.
        progress: told about every picture.
    """

    def __init__(
        self,
        classifier: Classifier,
        trainee: Trainee,
        recipe: Recipe,
        *,
        feeder: Feeder,
        decoding: Decoding,
        val: ImageDataset,
        sides: Sides,
        settings: str,
        seconds: float,
        folder: Path | None,
        save_seconds: float,
        precision: torch.dtype | None,
        processes: Processes,
        seed: int,
        trackers: Sequence[Tracker],
        progress: Progress,
    ) -> None:
        self._classifier = classifier
        self._trainee = trainee
        self._recipe = recipe
        self._feeder = feeder
        self._decoding = decoding
        self._val = val
        self._sides = sides
        self._settings = settings
        self._seconds = seconds
        self._folder = folder
        self._save_seconds = save_seconds
        self._precision = precision
        self._processes = processes
        self._seed = seed
        self._trackers = trackers
        self._progress = progress
        self._best: Tensors = {}
        self._saved = time.monotonic()
        self._saving_seconds = 0.0

    def run(self) -> Classifier:
        """Return the network of the best epoch, with its history.

        Raises:
            TrainingError: the loss was not a number before one epoch had ended.
            ModelError: the memory is too small.
            StorageError: a checkpoint cannot be written; the one before is there.
        """
        self._resume_or_begin()
        state, recipe = self._state, self._recipe
        try:
            while state.epoch * self._feeder.steps_per_epoch < state.num_steps:
                # Asked before an epoch, not after one: the checkpoint may be of a training that was over.
                if recipe.patience and state.stale >= recipe.patience:
                    self._note(f"ended after epoch {state.epoch}: no better one in {state.stale} epochs")
                    break
                self._run_epoch()
        except TrainingError as error:
            if not state.epochs:
                raise
            self._note(f"ended early: {error.message}")
        except KeyboardInterrupt:
            self._save()
            raise
        tuned = self._loaded(self._best)
        tuned.history = History(
            recipe=asdict(recipe),
            epochs=tuple(from_json(Epoch, each) for each in state.epochs),
            chosen=state.chosen,
            notes=tuple(state.notes),
        )
        return tuned

    def forget(self) -> None:
        """Delete the checkpoint of a training whose result is kept elsewhere."""
        if self._folder is not None and self._processes.rank == 0:
            remove_checkpoint(self._folder)

    def _resume_or_begin(self) -> None:
        kept = None
        if self._folder is not None and self._processes.rank == 0:
            kept = load_checkpoint(self._folder, self._settings)
        kept = self._processes.gather([kept])[0]
        if kept is not None:
            tensors, record = kept
            self._state = State(**record["state"])
            self._tuner = self._new_tuner()
            self._tuner.restore(tensors, int(record["step"]))
            self._tuner.chunk_size = self._state.chunk_size
            self._best = {
                name.removeprefix("best."): each for name, each in tensors.items() if name.startswith("best.")
            }
            self._progress.note(f"going on with epoch {self._state.epoch + 1} from the checkpoint")
            return
        steps = self._feeder.steps_per_epoch
        self._state = State(num_steps=self._recipe.epochs * steps, sides=[*self._sides])
        self._tuner = self._new_tuner()
        self._plan_time()
        found = self._scored(self._trainee)
        with uninterrupted():
            self._judge(self._trainee, found)

    def _new_tuner(self) -> Tuner:
        return Tuner(
            self._trainee,
            self._recipe,
            preprocessing=self._decoding.preprocessing,
            growth=Growth(sides=tuple(self._state.sides), num_steps=self._state.num_steps),
            steps_per_epoch=self._feeder.steps_per_epoch,
            precision=self._precision,
            processes=self._processes,
            seed=self._seed,
        )

    def _plan_time(self) -> None:
        """Say how long the training will take; with a limit, take as many steps as there is time for."""
        started = time.monotonic()
        batches = self._feeder.batches(0)
        first = next(batches).batch
        batches.close()
        self._tuner.begin_epoch(self._recipe.epochs - 1)
        whole = self._tuner.chunk_size
        device = self._tuner.device.type
        num_timed = _TIMED_STEPS.get(device, 2)
        seconds = min(self._tuner.time_step(first) for _ in range(num_timed))
        self._state.chunk_size = self._tuner.chunk_size
        if self._tuner.chunk_size != whole:
            self._note_halved("from the start")
        per_epoch = self._feeder.steps_per_epoch
        validation = _VALIDATION_COST * seconds * len(self._val) / self._recipe.batch_size
        state = self._state
        growth = self._tuner.growth.paying(seconds, self._side_seconds())
        seconds *= growth.work(0, state.num_steps) / state.num_steps  # of a step on average
        if self._seconds:
            left = self._seconds - (time.monotonic() - started) - validation
            fitting = max(1, int(left / (seconds + validation / per_epoch)))
            state.num_steps = min(state.num_steps, fitting)
        state.num_steps, state.sides = self._processes.gather([(state.num_steps, [*growth.sides])])[0]
        self._tuner = self._new_tuner()
        self._tuner.chunk_size = state.chunk_size
        num_epochs = state.num_steps / per_epoch
        expected = num_epochs * (per_epoch * seconds + validation)
        self._progress.note(f"{num_epochs:.3g} epochs of {per_epoch} steps, about {duration(expected)}")

    def _side_seconds(self) -> float:
        if self._tuner.device.type != "cuda":
            return 0.0
        usual = fast_layout(self._trainee.backbone, "cuda")
        is_channels_last = self._trainee.memory_format == torch.channels_last
        return _SIDE_SECONDS_OF_KERNELS if usual == "contiguous" and is_channels_last else _SIDE_SECONDS

    def _run_epoch(self) -> None:
        state, tuner = self._state, self._tuner
        number, started, num_pictures = state.epoch + 1, time.monotonic(), 0
        last = min(self._feeder.steps_per_epoch, state.num_steps - state.epoch * self._feeder.steps_per_epoch)
        self._progress.start(f"epoch {number}", total=last * self._recipe.batch_size, unit="pictures")
        self._progress.advance(state.in_epoch * self._recipe.batch_size)
        tuner.begin_epoch(state.epoch)
        for fed in self._feeder.batches(state.epoch, state.in_epoch):
            if fed.number >= last:
                break
            with uninterrupted():  # half of a step is no state to go on from
                state.loss_sum += self._take_step(fed, number)
                state.in_epoch = fed.number + 1
                state.chunk_size = tuner.chunk_size
            num_pictures += fed.batch.num_together
            self._progress.advance(fed.batch.num_together)
            self._save_sometimes()
        trained = time.monotonic() - started
        found = self._scored(tuner.best)
        epoch = Epoch(
            number=number,
            rate=tuner.rate,
            train_loss=state.loss_sum / max(1, state.in_epoch),
            log_loss=found[1],
            accuracy=found[0],
            pictures_per_second=num_pictures / max(trained, 1e-9),
            seconds=time.monotonic() - started,
        )
        with uninterrupted():
            self._judge(tuner.best, found, number)
            state.epochs.append(asdict(epoch))
            state.epoch, state.in_epoch, state.loss_sum = number, 0, 0.0
        self._tell(epoch)
        self._save()

    def _take_step(self, fed: Fed, number: int) -> float:
        """Take a step; return its mean loss.

        Raises:
            TrainingError: it is not a number: with epoch, batch, pictures and the likely cause.
        """
        for each in fed.excluded:
            self._leave_out(each)
        before = self._tuner.chunk_size
        try:
            loss = self._tuner.take_step(fed.batch)
        except TrainingError as error:
            named = ", ".join(fed.ids[:_NAMED_PICTURES])
            more = f" and {len(fed.ids) - _NAMED_PICTURES} more" if len(fed.ids) > _NAMED_PICTURES else ""
            raise TrainingError(
                f"{error.message} in epoch {number}, batch {fed.number + 1} (pictures {named}{more}): "
                f"{self._tuner.cause()}",
                hint=f"try a lower learning rate: --rate {self._recipe.rate / 10:g}",
            ) from error
        if self._tuner.chunk_size != before:
            self._note_halved(f"from epoch {number}, batch {fed.number + 1} on")
        return loss

    def _note_halved(self, since: str) -> None:
        self._note(
            f"out of memory: {self._tuner.chunk_size} pictures at once {since}, with the same "
            f"{self._recipe.batch_size} behind each step"
        )

    def _leave_out(self, exclusion: Exclusion) -> None:
        if exclusion.id not in self._state.unreadable:
            self._state.unreadable.append(exclusion.id)
            self._note(f"left out: {exclusion.id}: {exclusion.reason}")

    def _scored(self, trainee: Trainee) -> tuple[float, float]:
        """Return the network's accuracy, in [0, 1], and log loss on the validation pictures."""
        probabilities, labels = self._predict(trainee.state_dict())
        return accuracy(labels, probabilities), log_loss(labels, probabilities)

    def _judge(self, trainee: Trainee, found: tuple[float, float], number: int = 0) -> None:
        """Keep a network with this accuracy and log loss where it is the best so far."""
        state = self._state
        score = found[0] if self._recipe.chosen_by == "accuracy" else merit(*found)
        # With smaller pictures than it is judged on, a network is not yet what it will be.
        state.stale += self._tuner.growth.side(self._tuner.step) == self._tuner.growth.full
        # A start that was never trained is no choice.
        if score > state.best_score or (number == 1 and self._recipe.start != "probe"):
            state.chosen, state.best_score, state.stale = number, score, 0
            self._best = {name: each.detach().clone() for name, each in trainee.state_dict().items()}

    def _predict(self, tensors: Tensors) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return probabilities (V, K) and labels (V,) of the validation pictures, by all processes."""
        classifier = self._loaded(tensors)
        device = self._tuner.device.type
        plan = Plan(
            device=device,
            precision="fp32",
            decoder=self._decoding.decoder,
            layout=fast_layout(classifier.backbone, device),
            batch_size=batch_size(self._decoding.preprocessing, device=device),
            num_threads=torch.get_num_threads(),
            reason="",
        )
        engine = Engine(classifier, plan)
        own = self._val.ids[self._processes.rank :: self._processes.count]
        rows: dict[str, npt.NDArray[np.float32]] = {}
        for batch in decode_batches(self._decoding, own, batch_size=plan.batch_size, device=device):
            for each in batch.excluded:
                self._leave_out(each)
            if len(batch.ids):
                features = torch.from_numpy(engine.features(batch.pixels))
                with torch.inference_mode():
                    rows |= dict(zip(batch.ids, classifier.probabilities(features).numpy(), strict=True))
        together = dict(self._processes.gather([*rows.items()]))
        if not together:
            raise ModelError("no validation picture can be read")
        labels = dict(zip(self._val.ids, self._val.labels, strict=True))
        names = [name for name in self._val.ids if name in together]
        return np.stack([together[name] for name in names]), np.array([labels[name] for name in names])

    def _loaded(self, tensors: Tensors) -> Classifier:
        """Return a classifier with the trained weights, on the processor; low-rank additions added in."""
        trained = copy.deepcopy(self._trainee)
        trained.load_state_dict(tensors)
        backbone, head = trained.merged()
        classifier = copy.deepcopy(self._classifier)
        classifier.backbone.load_state_dict(backbone.state_dict())
        if isinstance(classifier.head, nn.Linear):
            classifier.head.load_state_dict(head.state_dict())
        return classifier

    def _tell(self, epoch: Epoch) -> None:
        state = self._state
        best = " (best so far)" if state.chosen == epoch.number else ""
        growth, step = self._tuner.growth, self._tuner.step
        done = growth.work(max(0, step - self._feeder.steps_per_epoch), step)
        left = epoch.seconds * growth.work(step, state.num_steps) / done
        self._progress.note(
            f"epoch {epoch.number}: training loss {epoch.train_loss:.3f}, validation accuracy "
            f"{epoch.accuracy:.3f}, log loss {epoch.log_loss:.3f}{best}; "
            f"{epoch.pictures_per_second:.0f} pictures/s, about {duration(max(0.0, left))} left"
        )
        if self._processes.rank:
            return
        for tracker in self._trackers:
            tracker.log(
                {name: value for name, value in asdict(epoch).items() if name != "number"}, epoch.number
            )
        if self._folder is not None:
            lines = [json.dumps(each) for each in state.epochs]
            write_text(self._folder / LOG_FILE, "\n".join(lines) + "\n")

    def _note(self, text: str) -> None:
        self._state.notes.append(text)
        self._progress.note(text)

    def _save_sometimes(self) -> None:
        wait = max(self._save_seconds, self._saving_seconds / _SAVING_SHARE)
        if time.monotonic() - self._saved > wait:
            self._save()

    def _save(self) -> None:
        """Write a checkpoint."""
        if self._folder is None or self._processes.rank:
            return
        started = time.monotonic()
        best = {f"best.{name}": each for name, each in self._best.items()}
        record = {"settings": self._settings, "step": self._tuner.step, "state": asdict(self._state)}
        save_checkpoint(self._folder, self._tuner.tensors() | best, record)
        self._saved = time.monotonic()
        self._saving_seconds = self._saved - started
