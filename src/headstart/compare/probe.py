"""`fit_one`: one model, its probe, and a model folder; a comparison with a single candidate."""

from pathlib import Path

from headstart.catalog.entry import ModelEntry
from headstart.compare.candidates import find_entries
from headstart.compare.comparison import compare
from headstart.compare.records import CompareOptions, Comparison
from headstart.core.errors import InputError, ModelError
from headstart.core.progress import SILENT, Progress
from headstart.data import ImageDataset, Splits
from headstart.data.split import Sample


def fit_one(
    model: ModelEntry | str,
    pictures: Splits | ImageDataset | Sample,
    *,
    out: Path | str | None = None,
    options: CompareOptions = CompareOptions(),
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
        InputError: more than one model or resolution.
        ModelError: it could not be trained; the message says why.
        HeadstartError: all that `compare` raises.
    """
    for what in ("resolution", "fit", "feature_point", "batch_norm"):
        given = getattr(options, f"{what}s")
        if len(given) != 1:
            raise InputError(
                f"a probe is trained with one {what}, {len(given)} were given",
                hint="headstart compare tries several",
            )
    entries = find_entries([model]).entries
    if len(entries) != 1:
        raise InputError(
            f"{model!r} stands for {len(entries)} models; a probe is trained on one",
            hint="headstart compare tries several",
        )
    comparison = compare(entries, pictures, out=out, options=options, progress=progress)
    if not comparison.chosen:
        failed = comparison.rows[0]
        raise ModelError(f"no candidate could be trained; {failed.name}: {failed.error}", hint=failed.hint)
    return comparison
