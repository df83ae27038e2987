"""From what a user names to pictures that can be used: open, draw a sample, read, split."""

from collections.abc import Mapping

from headstart.core.progress import SILENT, Progress
from headstart.data.dataset import ImageDataset, Splits
from headstart.data.grouping import group_by
from headstart.data.open import open_dataset
from headstart.data.scan import scan
from headstart.data.split import Sample
from headstart.data.split import sample as draw_sample


def open_sample(
    location: str,
    *,
    sample: Mapping[str, int],
    seed: int = 0,
    grouped_by: str = "",
    progress: Progress = SILENT,
) -> Sample:
    """Open a data set and draw a sample of it, before any picture is decoded.

    Args:
        location: as `open_dataset` takes it.
        sample: numbers of pictures by "train" and "test"; {} takes all.
        seed: of the draw.
        grouped_by: what keeps pictures together, as `headstart.data.grouping.group_by` takes it; "" nothing.
        progress: told about reading what cameras wrote, where that is what groups.

    Raises:
        DataError: there is nothing to open.
        InputError: the name or the numbers cannot be used.
    """
    dataset = open_dataset(location)
    if grouped_by:
        dataset = group_by(dataset, grouped_by, progress=progress)
    return draw_sample(dataset, train=sample.get("train"), test=sample.get("test"), seed=seed)


def open_splits(
    location: str,
    *,
    sample: Mapping[str, int],
    seed: int = 0,
    max_unreadable: float = 0.1,
    progress: Progress = SILENT,
) -> Splits:
    """Open a data set, draw a sample, read every picture of it once, and split what could be read.

    Args:
        location: as `open_dataset` takes it.
        sample: numbers of pictures by "train" and "test"; {} takes all.
        seed: of the draw and of the split.
        max_unreadable: share of unreadable pictures above which to stop, in [0, 1].
        progress: told about the reading.

    Raises:
        DataError: there is nothing to open, or too much that cannot be read, or too little to train on.
        InputError: the name or the numbers cannot be used.
    """
    drawn = open_sample(location, sample=sample, seed=seed)
    readable = scan(drawn.dataset, max_unreadable=max_unreadable, progress=progress).dataset
    return readable.split(test=drawn.test_share, seed=seed)


def open_pictures(
    location: str,
    *,
    sample: Mapping[str, int],
    seed: int = 0,
    max_unreadable: float = 0.1,
    progress: Progress = SILENT,
) -> ImageDataset:
    """Open a data set, draw a sample, and read every picture of it once.

    Arguments and errors are those of `open_splits`, but that any number of classes will do.
    """
    drawn = open_sample(location, sample=sample, seed=seed)
    return scan(drawn.dataset, max_unreadable=max_unreadable, progress=progress).dataset
