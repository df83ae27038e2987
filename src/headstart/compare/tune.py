"""`tune_one`: one model's probe and its fine-tuned network, and the better of the two as a model folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.catalog.entry import ModelEntry
from headstart.compare.pictures import all_pictures
from headstart.compare.probe import fit_one
from headstart.compare.records import CompareOptions, Comparison, Tuning
from headstart.core.machine import is_main_process
from headstart.core.progress import SILENT, Progress
from headstart.data import ImageDataset, Splits
from headstart.data.split import Sample


def tune_one(
    model: ModelEntry | str,
    pictures: Splits | ImageDataset | Sample,
    *,
    tuning: Tuning = Tuning(),
    out: Path | str | None = None,
    options: CompareOptions = CompareOptions(),
    progress: Progress = SILENT,
) -> Comparison:
    """Fine-tune one model, and keep it where it is better than its probe beyond doubt, else the probe.

    Args:
        model: one row of the catalogue or one name.
        pictures: splits, or a data set that is split with the seed of `options`. Where there are too few for
            a validation part, a fifth of the training pictures becomes one.
        tuning: recipe, epochs, budget.
        out: the run's folder; None is what `tune_folder` says.
        options: one resolution, fit, device, precision, seed.
        progress: told about everything that takes time.

    Returns:
        A comparison of two candidates, the probe and the fine-tuned network.

    Raises:
        InputError: more than one model or resolution, or no such recipe.
        ModelError: nothing could be trained; the message says why.
        HeadstartError: all that `compare` and `fine_tune` raise.
    """
    folder = out or tune_folder(pictures)
    return fit_one(model, pictures, out=folder, options=replace(options, tuning=tuning), progress=progress)


def tune_folder(pictures: Splits | ImageDataset | Sample) -> Path:
    """Return where a training goes that names no folder: beside the comparison of the same pictures."""
    return Path("headstart-runs") / f"{all_pictures(pictures).name}-tuned"


@contextmanager
def own_folder(out: Path) -> Iterator[Path]:
    """Give the run's folder: one process writes there, the others where it is thrown away.

    They begin with what is there from an earlier start: who has no more to train would be waited for in vain.
    """
    if is_main_process():
        yield out
        return
    with TemporaryDirectory() as folder:
        own = Path(folder) / out.name
        if out.is_dir():
            kept = shutil.ignore_patterns("*.part", ".lock", "checkpoint.*", "thumbnails")
            shutil.copytree(out, own, ignore=kept)
        yield own
