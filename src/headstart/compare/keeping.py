"""Small copies of training pictures beside the chosen model, where the user asks for them."""

from collections.abc import Sequence

import numpy as np

from headstart.compare.candidates import plan_options
from headstart.compare.records import MODEL_FOLDER, CompareOptions, Comparison
from headstart.core.errors import PictureError, StorageError
from headstart.core.progress import Progress
from headstart.data import ImageDataset
from headstart.data.dataset import concatenate
from headstart.data.thumbnail import make_thumbnail
from headstart.embed import embed
from headstart.models.neighbours import Neighbours, load_neighbours, reduce_features, save_neighbours
from headstart.train.familiarity import fit_subspace

_MAX_PICTURES = 2000  # some 10 MB; among more, others would be as near
_NUM_AXES = 128


def keep_neighbours(
    comparison: Comparison, parts: Sequence[ImageDataset], options: CompareOptions, *, progress: Progress
) -> None:
    """Put up to 2,000 training pictures into the folder of the chosen model, unless they are there.

    Args:
        comparison: finished, with a chosen model.
        parts: the pictures that it was trained and chosen on; never those of a test part.
        options: how the network is run; the seed of the draw.
        progress: told about every picture.

    Raises:
        StorageError: the comparison lies in no folder, or that cannot be written.
    """
    if comparison.folder is None:
        raise StorageError("this comparison lies in no folder")
    folder = comparison.folder / MODEL_FOLDER
    if load_neighbours(folder) is not None:
        return
    dataset, generator = concatenate(parts), np.random.default_rng(options.seed)
    if len(dataset) > _MAX_PICTURES:
        dataset = dataset.select(np.sort(generator.choice(len(dataset), _MAX_PICTURES, replace=False)))
    embedded = embed(comparison.load_best(), dataset, options=plan_options(options), progress=progress)
    progress.start("keeping small training pictures", total=len(embedded.ids), unit="pictures")
    thumbnails: list[bytes] = []
    kept: list[int] = []
    for row, each in enumerate(embedded.ids):
        try:
            thumbnails.append(make_thumbnail(dataset.source.read(each)))
            kept.append(row)
        except PictureError:  # gone since
            continue
        finally:
            progress.advance()
    features = np.asarray(embedded.features, np.float32)
    mean, axes = fit_subspace(features, num_axes=_NUM_AXES)
    neighbours = Neighbours(
        mean=mean,
        axes=axes,
        points=reduce_features(features[kept], mean, axes).astype(np.float16),
        labels=embedded.labels[kept],
        thumbnails=np.frombuffer(b"".join(thumbnails), np.uint8),
        ends=np.cumsum([len(each) for each in thumbnails], dtype=np.int64),
    )
    save_neighbours(neighbours, folder)
