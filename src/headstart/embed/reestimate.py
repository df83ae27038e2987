"""Batch norms with the statistics of somebody's own pictures."""

from collections.abc import Iterator

import torch

from headstart.core.progress import SILENT, Progress
from headstart.data import ImageDataset
from headstart.embed.decoding import Decoding, decode_batches
from headstart.embed.pixels import PixelStore
from headstart.embed.plan import batch_size
from headstart.models import Classifier, reestimate_batch_norms
from headstart.preprocess import to_input

# Means and variances over so many pictures, and all places in them, do not change any more.
_MAX_PICTURES = 2048


def reestimate_on(
    classifier: Classifier,
    dataset: ImageDataset,
    *,
    store: PixelStore | None = None,
    progress: Progress = SILENT,
) -> Classifier:
    """Return a classifier whose batch norms have the statistics of these pictures; no label is looked at.

    Args:
        classifier: stays as it is.
        dataset: pictures to train on; at most 2,048 of them, evenly spread, are used.
        store: pixels that were decoded before, or None.
        progress: told about every picture.

    Raises:
        ModelError: the network has no batch norms.
    """
    ids = dataset.ids[:: -(-len(dataset) // _MAX_PICTURES)]
    decoding = Decoding(
        source=dataset.source,
        preprocessing=classifier.preprocessing,
        decoder=store.decoder if store is not None else "fast",
        store=store,
        digests=dict(zip(dataset.ids, dataset.digests, strict=True)) if dataset.digests else None,
    )
    progress.start(f"batch norms of {classifier.name} on your pictures", total=len(ids), unit="pictures")

    def inputs() -> Iterator[torch.Tensor]:
        size = batch_size(classifier.preprocessing)
        for batch in decode_batches(decoding, ids, batch_size=size):
            if batch.ids:
                yield to_input(torch.from_numpy(batch.pixels), classifier.preprocessing)
            progress.advance(len(batch.order))

    return reestimate_batch_norms(classifier, inputs())
