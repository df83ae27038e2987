"""The pictures that a file is proven on: those given, those of the model's run, or some made here."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from headstart.compare import load_comparison
from headstart.compare.provenance import fingerprint
from headstart.compare.run_folder import COMPARISON_FILE, pictures_location
from headstart.core.errors import DataError, HeadstartError, InputError
from headstart.core.progress import Progress
from headstart.data import ImageDataset, open_dataset, stream_pictures
from headstart.data.arrays import dataset_from_arrays
from headstart.data.prepare import open_splits
from headstart.data.remote import is_address
from headstart.models import Classifier
from headstart.predict import open_labelled
from headstart.predict.matching import attempt, first_complete, rules_for

NUM_CALIBRATION = 128
"""More pictures change the ranges of activations by little. At most a third of all is taken for it."""
# Sizes of the pictures made here: larger and smaller than inputs, high and wide, and a single pixel.
_MADE_SIZES = ((640, 480), (333, 500), (97, 64), (224, 224), (1024, 96), (31, 200), (1, 1), (512, 512))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProofPictures:
    """Pictures to prove a file on.

    Attributes:
        words: what they are.
        measured: those that the file is compared with the classifier on.
        calibration: others, that the ranges of 8 bits are taken from; None where there are none.
        are_labelled: whether `measured.labels` are the classifier's own classes.
    """

    words: str
    measured: ImageDataset
    calibration: ImageDataset | None
    are_labelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """How many pictures are measured on, and set aside for 8 bits, at most."""

    measured: int
    calibration: int


def find_proof_pictures(
    classifier: Classifier,
    given: str | None,
    *,
    limit: int,
    num_calibration: int,
    seed: int,
    progress: Progress,
) -> ProofPictures:
    """Return the pictures to prove a file on.

    Args:
        classifier: what is exported.
        given: what the user names, as `open_labelled` or `stream_pictures` takes it; None for those of the
            run that the classifier's folder lies in, or else for pictures made here.
        limit: how many to measure on at most.
        num_calibration: how many others to set aside for 8 bits at most; 0 for none.
        seed: of the draw.
        progress: told about the reading, and why pictures are not what one might expect.

    Raises:
        DataError: what is given holds no pictures.
        InputError: there is nothing of that name.
    """
    limits = _Limits(measured=limit, calibration=num_calibration)
    if given is not None:
        return _given_pictures(classifier, given, limits=limits, seed=seed, progress=progress)
    run = _run_folder(classifier)
    if run is not None:
        try:
            return _pictures_of_run(classifier, run, limits=limits, seed=seed, progress=progress)
        except HeadstartError as error:
            progress.note(f"the pictures of {run} cannot be used, --pictures names others: {error}")
    made = made_pictures()
    made = made.select(range(min(limit, len(made))))
    words = f"{len(made)} pictures made for it: digits of scikit-learn and drawn ones"
    return ProofPictures(words=words, measured=made, calibration=None, are_labelled=False)


def made_pictures() -> ImageDataset:
    """Return pictures that need no file: digits of 8 x 8 pixels, and drawn ones of many sizes."""
    digits = open_dataset("digits")
    pictures = [_as_array(digits.source.read(each)) for each in digits.ids[:24]]
    for number, size in enumerate(_MADE_SIZES):
        generator = np.random.default_rng(number)
        ground = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(ground).resize(size, Image.Resampling.BICUBIC)
        colour = tuple(int(level) for level in generator.integers(0, 256, 3))
        ImageDraw.Draw(image).ellipse((size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2), fill=colour)
        pictures.append(np.asarray(image))
    return dataset_from_arrays(pictures, ["made"] * len(pictures), name="made")


def _as_array(raw: object) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(raw, dtype=np.uint8)


def _given_pictures(
    classifier: Classifier, given: str, *, limits: _Limits, seed: int, progress: Progress
) -> ProofPictures:
    wanted = limits.measured + limits.calibration
    try:
        pictures = open_labelled(
            classifier, given, sample={"test": wanted}, seed=seed, max_unreadable=1.0, progress=progress
        )
    except DataError as error:
        unlabelled = _unlabelled(given)
        if unlabelled is None:
            raise
        progress.note(f"no accuracy will be measured: {error}")
        return _divided(unlabelled, given, limits=limits, seed=seed, are_labelled=False)
    return _divided(pictures.dataset, given, limits=limits, seed=seed, are_labelled=True)


def _unlabelled(given: str) -> ImageDataset | None:
    """Return pictures whose labels mean nothing, None where there are none of that name."""
    try:
        found, source = stream_pictures([given])
        ids = tuple(found)
    except (DataError, InputError):
        return None
    return ImageDataset(
        name=given,
        location=given,
        ids=ids,
        labels=np.zeros(len(ids), np.int64),
        class_names=("unknown",),
        source=source,
    )


def _divided(
    dataset: ImageDataset, name: str, *, limits: _Limits, seed: int, are_labelled: bool
) -> ProofPictures:
    """Divide pictures by lot into those to calibrate with, a third at most, and those to measure on."""
    order = np.random.default_rng(seed).permutation(len(dataset))
    num_calibration = min(limits.calibration, len(dataset) // 3)
    measured = dataset.select(order[num_calibration:][: limits.measured])
    if not len(measured):
        raise DataError(f"{name} holds no pictures that can be read")
    return ProofPictures(
        words=f"{len(measured)} pictures of {Path(name).name}",  # the file is passed on, the path is not
        measured=measured,
        calibration=dataset.select(order[:num_calibration]) if num_calibration else None,
        are_labelled=are_labelled,
    )


def _run_folder(classifier: Classifier) -> Path | None:
    """Return the run that a classifier's folder lies in: RUN/model, or RUN/tuned/DIGEST/model."""
    if classifier.entry.provider != "folder":
        return None
    folder = Path(classifier.entry.weights.sources[0].location).absolute()
    return next((each for each in list(folder.parents)[:3] if (each / COMPARISON_FILE).is_file()), None)


def _find(name: str, run: Path) -> str:
    """Return where a run's data set lies: where it was, here, or beside the run or its folder."""
    noted = pictures_location(run)
    if is_address(noted):
        return noted
    places = (Path(noted or name), Path(name), run.parent / name, run.parent.parent / name)
    found = (
        each for each in places if each.exists() and each.resolve() != run.resolve()
    )  # both have one name
    return str(next(found, name))


def _pictures_of_run(
    classifier: Classifier, run: Path, *, limits: _Limits, seed: int, progress: Progress
) -> ProofPictures:
    """Return the run's validation pictures, or what else is certain to be its pictures.

    Raises:
        HeadstartError: the data set is not where it was, or has other classes now.
    """
    comparison = load_comparison(run)
    location = _find(comparison.dataset_location, run)
    splits = open_splits(location, sample={}, seed=comparison.protocol.seed, progress=progress)
    if splits.val is None or fingerprint(splits) != comparison.fingerprint:
        # Of a sample, or of pictures that have changed, nobody can say which were validation pictures.
        return _given_pictures(classifier, location, limits=limits, seed=seed, progress=progress)
    measured, _ = first_complete(
        classifier, (attempt(rule, splits.val) for rule in rules_for(classifier.class_names))
    )
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.permutation(len(measured))[: limits.measured])
    drawn = np.sort(generator.permutation(len(splits.train))[: limits.calibration])
    return ProofPictures(
        words=f"{len(chosen)} validation pictures of the run {run.name}",
        measured=measured.select(chosen),
        calibration=splits.train.select(drawn) if limits.calibration else None,
        are_labelled=True,
    )
