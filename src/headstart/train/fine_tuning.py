"""`fine_tune`: from a pretrained network to one that was trained on somebody's pictures."""

import copy
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from headstart.catalog.entry import Preprocessing
from headstart.core.digest import digest_json
from headstart.core.errors import InputError
from headstart.core.progress import SILENT, Progress
from headstart.data import ImageDataset, Splits
from headstart.data.dataset import check_classes
from headstart.data.scan import scan
from headstart.embed import PixelStore, PlanOptions, embed
from headstart.embed.decoding import Decoding, decode_batches
from headstart.embed.memory import keep_freed_memory
from headstart.embed.plan import DTYPES, choose_device, fast_layout, fast_precision
from headstart.models import Classifier, load
from headstart.preprocess import to_input
from headstart.train.depthwise import use_fast_gradients
from headstart.train.feeding import Feeder
from headstart.train.folding import fold_probe
from headstart.train.frozen_norms import fold_frozen_norms
from headstart.train.growth import Sides, known_sides, sides_of
from headstart.train.layers import Trainee, untrained_backbone
from headstart.train.probe import LinearProbe
from headstart.train.processes import Processes, find_processes
from headstart.train.recipe import Recipe, choose_recipe
from headstart.train.trackers import Tracker, open_trackers
from headstart.train.training import Training

_LOOKED_AT = 32
"""Training pictures on which it is seen what a network knows of smaller ones."""
# Below so many pixels in all, kernels of depthwise convolutions for channels-last pictures take longer to
# make ready on an NVIDIA GPU than they save: 11 s, for 0.2 ms a picture of 128 x 128 (docs/speed.md).
_PIXELS_WORTH_KERNELS = 55_000 * 128**2


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions:
    """What can be chosen about a fine-tuning besides network, pictures and recipe.

    Attributes:
        budget_seconds: as many steps as there is time for, measured before the first; 0 for the recipe's
            epochs.
        device: "auto" is cuda or mps where there is one.
        precision: of layers; "auto" is bf16 where the device has instructions for it, else fp32.
        seed: of everything random.
        trackers: names, see `headstart.train.trackers.TRACKERS`.
        save_seconds: a killed run loses at most so much work, or an epoch if that is shorter.
        keep_checkpoint: whether the checkpoint stays when the training has ended.
    """

    budget_seconds: float = 0.0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0
    trackers: tuple[str, ...] = ()
    save_seconds: float = 60.0
    keep_checkpoint: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "fp32", "bf16"):
            raise InputError(
                f"fine-tuning in the precision {self.precision!r} is not possible", hint="auto, fp32 or bf16"
            )
        for name in ("budget_seconds", "save_seconds"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}", hint="expected 0 or more seconds")


def fine_tune(
    model: Classifier | str,
    pictures: Splits,
    *,
    recipe: Recipe | str = "default",
    out: Path | str | None = None,
    options: TuneOptions = TuneOptions(),
    store: PixelStore | None = None,
    progress: Progress = SILENT,
) -> Classifier:
    """Train a network on somebody's pictures; the validation part chooses the epoch.

    The same pictures, recipe and seed give the same weights, bit for bit on the processor: also when the run
    was killed and started again, and up to rounding in however many processes.

    Args:
        model: a network or its name. A head for the very classes of the pictures is taken for the probe that
            the recipe begins with: it must not have seen the validation pictures. Else a probe is fitted.
        pictures: with a validation part; a test part is not looked at.
        recipe: or its name, see `headstart.train.recipe.RECIPES`.
        out: folder for checkpoint and log; a training that was killed goes on from there. None keeps nothing.
        options: budget, device, precision, seed, trackers.
        store: pixels that this and other work of a run share; None decodes for this one alone.
        progress: told about every picture and every epoch.

    Returns:
        The network of the best epoch, with `.history`. Its temperature is 1.

    Raises:
        InputError: there is no validation part, or an option cannot be used.
        DataError: a class has no picture to train on.
        TrainingError: the loss was not a number before one epoch had ended.
        ModelError: the memory is too small for a single picture.
        RunMismatchError: the folder holds a training with other settings.
        StorageError: the disk is full; the checkpoint before is there.
        MissingExtraError: what was asked for needs a package that is not installed.
    """
    if store is None:
        return _with_own_store(model, pictures, recipe, out, options, progress)
    ready = prepare(model, pictures, recipe=recipe, options=options, store=store, progress=progress)
    folder = Path(out) if out is not None else None
    trackers = _trackers(ready, options, folder)
    with ready.feeder(seed=options.seed) as feeder:
        training = Training(
            ready.start,
            ready.trainee,
            ready.recipe,
            feeder=feeder,
            decoding=ready.decoding,
            val=ready.val,
            sides=ready.sides,
            settings=_settings(ready, options),
            seconds=options.budget_seconds,
            folder=folder,
            save_seconds=options.save_seconds,
            precision=ready.precision,
            processes=ready.processes,
            seed=options.seed,
            trackers=trackers,
            progress=progress,
        )
        tuned = training.run()
    for tracker in trackers:
        tracker.finish()
    if not options.keep_checkpoint:
        training.forget()
    return tuned


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A training before its first step.

    Attributes:
        start: the network that it begins with, head included.
        trainee: its copy that is trained, on the device.
        recipe: all settings.
        train: training pictures, scanned.
        val: validation pictures, scanned.
        decoding: how they become pixels.
        device: torch's name of it.
        precision: what layers compute in; None for float32.
        processes: this one, or several.
        sides: that training pictures have in turn, in pixels, rising.
    """

    start: Classifier
    trainee: Trainee
    recipe: Recipe
    train: ImageDataset
    val: ImageDataset
    decoding: Decoding
    device: str
    precision: torch.dtype | None
    processes: Processes
    sides: Sides

    def feeder(self, *, seed: int) -> Feeder:
        """Return what makes the batches; a context."""
        return Feeder(
            self.train,
            self.decoding,
            self.recipe,
            seed=seed,
            device=self.device,
            processes=self.processes,
        )


def prepare(
    model: Classifier | str,
    pictures: Splits,
    *,
    recipe: Recipe | str,
    options: TuneOptions,
    store: PixelStore,
    progress: Progress,
) -> Prepared:
    """Return a training before its first step; arguments and errors are those of `fine_tune`."""
    if pictures.val is None:
        raise InputError(
            "fine-tuning needs validation pictures: they choose the epoch",
            hint="split with val above 0, or give more pictures",
        )
    check_classes(pictures.train)
    keep_freed_memory()
    classifier = load(model, progress=progress) if isinstance(model, str) else model
    if isinstance(recipe, str):
        recipe = choose_recipe(recipe, pictures.train.class_counts())
    classifier = classifier.with_preprocessing(_preprocessing(classifier.preprocessing, recipe))
    train, val = (_scanned(each, store, progress) for each in (pictures.train, pictures.val))
    device = choose_device(PlanOptions(device=options.device))
    processes = find_processes(device)
    start = _start(classifier, train, recipe, options, store, progress)
    decoding = Decoding(
        source=train.source,
        preprocessing=start.preprocessing,
        decoder=store.decoder,
        store=store,
        digests={**_digests(train), **_digests(val)},
    )
    return Prepared(
        start=start,
        trainee=_trainee(start, recipe, processes, seed=options.seed).placed(
            torch.device(device), _memory_format(start, device, num_pictures=recipe.epochs * len(train))
        ),
        recipe=recipe,
        train=train,
        val=val,
        decoding=decoding,
        device=device,
        precision=_precision(options, device),
        processes=processes,
        sides=processes.gather([_sides(start, recipe, train, decoding)])[0],
    )


def _sides(start: Classifier, recipe: Recipe, train: ImageDataset, decoding: Decoding) -> Sides:
    """Return the sides that training pictures have in turn, in pixels, rising."""
    sides = sides_of(start.backbone, recipe, full=start.preprocessing.input_size[0])
    if len(sides) == 1 or recipe.start != "probe":  # a new head knows nothing at any side
        return sides
    ids = train.ids[:: -(-len(train) // _LOOKED_AT)]
    batch = next(decode_batches(decoding, ids, batch_size=len(ids)))
    label_of = dict(zip(train.ids, train.labels, strict=True))
    labels = torch.tensor([int(label_of[each]) for each in batch.ids])
    x = to_input(torch.from_numpy(batch.pixels), decoding.preprocessing)
    return known_sides(start, x, labels, sides) if len(labels) else sides[-1:]


def _with_own_store(
    model: Classifier | str,
    pictures: Splits,
    recipe: Recipe | str,
    out: Path | str | None,
    options: TuneOptions,
    progress: Progress,
) -> Classifier:
    """Fine-tune with room for the pixels of this training alone."""
    classifier = load(model, progress=progress) if isinstance(model, str) else model
    if isinstance(recipe, str):
        recipe = choose_recipe(recipe, pictures.train.class_counts())
    with PixelStore([_preprocessing(classifier.preprocessing, recipe)], decoder="fast") as store:
        return fine_tune(
            classifier, pictures, recipe=recipe, out=out, options=options, store=store, progress=progress
        )


def _trackers(ready: Prepared, options: TuneOptions, folder: Path | None) -> list[Tracker]:
    """Return the trackers of the process that writes."""
    if ready.processes.rank:
        return []
    run = f"{ready.start.name}, {ready.recipe.name}"
    return open_trackers(options.trackers, folder or Path.cwd(), run=run, settings=asdict(ready.recipe))


def _preprocessing(own: Preprocessing, recipe: Recipe) -> Preprocessing:
    """Return what pictures go through by a recipe."""
    if recipe.resolution:
        own = replace(own, input_size=(recipe.resolution, recipe.resolution))
    if recipe.normalization == "half":
        own = replace(own, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return own


def _scanned(part: ImageDataset, store: PixelStore, progress: Progress) -> ImageDataset:
    return part if part.digests is not None else scan(part, keeper=store, progress=progress).dataset


def _digests(part: ImageDataset) -> dict[str, str]:
    return dict(zip(part.ids, part.digests or (), strict=True))


def _start(
    classifier: Classifier,
    train: ImageDataset,
    recipe: Recipe,
    options: TuneOptions,
    store: PixelStore,
    progress: Progress,
) -> Classifier:
    """Return the network that the training begins with, its head included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        if recipe.start == "random":
            fresh = copy.deepcopy(classifier)
            fresh.backbone.load_state_dict(untrained_backbone(classifier).state_dict())
            classifier = fresh
        head = nn.Linear(classifier.feature_dim, train.num_classes)
    if recipe.start != "probe":
        return classifier.with_head(head, train.class_names)
    if isinstance(classifier.head, nn.Linear) and classifier.class_names == train.class_names:
        return classifier.with_temperature(1.0)  # the old one is of logits that will be others
    plan = PlanOptions(device=options.device)
    embedded = embed(classifier, train, options=plan, store=store, progress=progress)
    progress.start("training a head to begin with")
    probe = LinearProbe(seed=options.seed).fit(embedded.rows(train.ids), train.labels)
    return classifier.with_head(fold_probe(probe), train.class_names)


def _trainee(start: Classifier, recipe: Recipe, processes: Processes, *, seed: int) -> Trainee:
    """Return the copy that is trained.

    Raises:
        InputError: the recipe trains batch norms with each batch's statistics in several processes.
    """
    if not isinstance(start.head, nn.Linear):
        raise InputError(f"{start.name} has no linear head to train")
    if processes.count > 1 and recipe.batch_norm == "trained":
        raise InputError(
            f"the recipe {recipe.name!r} trains batch norms, whose statistics would differ between processes",
            hint="run it in one process, or use a recipe with frozen batch norms",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of low-rank additions
        trainee = Trainee(copy.deepcopy(start.backbone), copy.deepcopy(start.head), recipe=recipe)
    if recipe.batch_norm == "frozen" and recipe.layers != "last":
        fold_frozen_norms(trainee.backbone.eval(), side=start.preprocessing.input_size[0])
    use_fast_gradients(trainee.backbone)
    return trainee


def _memory_format(start: Classifier, device: str, *, num_pictures: int) -> torch.memory_format:
    """Return how pictures lie in memory in a training that is shown so many."""
    num_pixels = num_pictures * prod(start.preprocessing.input_size)
    if fast_layout(start.backbone, device) == "contiguous" and num_pixels < _PIXELS_WORTH_KERNELS:
        return torch.contiguous_format
    return torch.channels_last


def _precision(options: TuneOptions, device: str) -> torch.dtype | None:
    """Return what layers compute in, None for float32; half precision without bf16's range is not used."""
    wanted = fast_precision(device) if options.precision == "auto" else options.precision
    return DTYPES[wanted] if wanted == "bf16" else None


def _settings(ready: Prepared, options: TuneOptions) -> str:
    """Return the digest of everything that decides the result."""
    head = ready.start.head
    weights = head.weight.detach().numpy() if isinstance(head, nn.Linear) else np.empty(0)
    return digest_json(
        {
            "recipe": asdict(ready.recipe),
            "seed": options.seed,
            # How many steps there is time for stands in the checkpoint; what is left of a budget, when a run
            # was killed, is another time.
            "budget": options.budget_seconds > 0,
            "network": ready.start.backbone_digest(),
            "head": weights.tolist(),
            "preprocessing": asdict(ready.start.preprocessing),
            "train": ready.train.fingerprint,
            "val": ready.val.fingerprint,
        }
    )
