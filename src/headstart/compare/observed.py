"""What is looked at in a candidate besides its accuracy, to tell whether it was used rightly."""

import torch

from headstart.compare.baseline import Baseline, neighbour_baseline
from headstart.compare.evidence import Embedded, Evidence
from headstart.compare.heads import draw_folds
from headstart.compare.signs import Signs, measure_features
from headstart.data import ImageDataset, Splits
from headstart.embed import PixelStore
from headstart.embed.check import spread_sample
from headstart.embed.decoding import Decoding, decode_batches
from headstart.models.drift import batch_norm_drift, is_training
from headstart.preprocess import to_input


def observe(
    evidence: Evidence,
    embedded: Embedded,
    splits: Splits,
    *,
    pixels: Baseline | None,
    store: PixelStore,
    seed: int,
) -> Signs:
    """Return what is known of a candidate; the test part is not looked at.

    Args:
        evidence: of the candidate.
        embedded: its network and features.
        splits: the pictures.
        pixels: how right a probe on shrunk pictures is.
        store: the pixels that all candidates share.
        seed: of the draws.
    """
    candidate, classifier = evidence.candidate, embedded.classifier
    train, val = embedded.rows(splits.train), None if splits.val is None else embedded.rows(splits.val)
    parts = [splits.train] if splits.val is None else [splits.train, splits.val]
    folds = None if splits.val is not None else draw_folds(splits.train, seed=seed)[0]
    return Signs(
        labels=parts[-1].labels,
        probabilities=evidence.probabilities,
        train_correct=evidence.train_correct,
        neighbours=neighbour_baseline(train, val, splits, folds=folds, seed=seed),
        pixels=pixels,
        features=measure_features(
            [train] if val is None else [train, val],
            [digest for part in parts for digest in part.digests or part.ids],
        ),
        batch_norm=candidate.batch_norm,
        drift=_drift(embedded, splits.train, store),
        is_training=is_training(classifier),
        preprocessing=classifier.preprocessing,
        native=candidate.entry.weights.preprocessing,
    )


def _drift(embedded: Embedded, train: ImageDataset, store: PixelStore) -> float | None:
    """Return how far the batch norms are from these pictures, on a few of them."""
    preprocessing = embedded.classifier.preprocessing
    decoding = Decoding(
        source=train.source,
        preprocessing=preprocessing,
        decoder=store.decoder,
        store=store,
        digests=dict(zip(train.ids, train.digests, strict=True)) if train.digests else None,
    )
    ids = spread_sample(train.ids)
    batch = next(iter(decode_batches(decoding, ids, batch_size=len(ids))))
    if not batch.ids:
        return None
    return batch_norm_drift(embedded.classifier, to_input(torch.from_numpy(batch.pixels), preprocessing))
