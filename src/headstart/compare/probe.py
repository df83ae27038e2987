"""`fit_one`: one model, its probe, and a model folder; a comparison with a single candidate."""

from pathlib import Path

from headstart.catalog.entry import ModelEntry
from headstart.compare.comparison import compare
from headstart.compare.records import CompareOptions, Comparison
from headstart.core.errors import InputError
from headstart.core.progress import SILENT, Progress
from headstart.data import ImageDataset, Splits


def fit_one(
    model: ModelEntry | str,
    pictures: Splits | ImageDataset,
    *,
    out: Path | str | None = None,
    options: CompareOptions = CompareOptions(),  # noqa: B008  # frozen
    progress: Progress = SILENT,
) -> Comparison:
    """Train a head on one model's features, score it on the test set, and save the model.

    Args:
        model: one row of the catalogue or one name.
        pictures: splits, or a data set that is split with the seed of `options`.
        out: the run's folder; None is "headstart-runs/NAME".
        options: one resolution, fit, device, precision, seed.
        progress: told about everything that takes time.

    Raises:
        InputError: more than one resolution.
        HeadstartError: all that `compare` raises, and what makes its only candidate fail.
    """
    if len(options.resolutions) != 1:
        raise InputError(
            f"a probe is trained at one resolution, {len(options.resolutions)} were given",
            hint="headstart compare tries several",
        )
    return compare([model], pictures, out=out, options=options, progress=progress)
