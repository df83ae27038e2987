"""`embed`: a data set through a network, every picture once in its life."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.catalog.entry import Preprocessing
from headstart.core.digest import digest_json
from headstart.core.errors import DataError
from headstart.core.formats import EMBEDDING_CACHE_FORMAT
from headstart.core.progress import SILENT, Progress
from headstart.core.records import to_json
from headstart.data import Exclusion, ImageDataset
from headstart.data.decode import DECODER_VERSION
from headstart.data.scan import scan
from headstart.embed.cache import EmbeddingCache
from headstart.embed.check import measure_cosine, spread_sample
from headstart.embed.engine import Engine, decode_batches
from headstart.embed.plan import Plan, PlanOptions, Precision, choose_plan
from headstart.models import Classifier


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embeddings:
    """Features of N pictures.

    Attributes:
        features: float32 of shape (N, D), row i belongs to `ids[i]`.
        ids: of the pictures that could be read, in the order of the data set.
        labels: int64 of shape (N,), the data set's labels of the same pictures.
        class_names: K names, as in the data set.
        model: full name of the model.
        preprocessing: what the pictures went through.
        plan: how the network was run.
        space: sha256 of everything that decides the features of a given picture.
        excluded: pictures that were left out, with reasons.
        num_computed: how many went through the network now; the rest came from the cache.
        seconds: time that these took, decoding included.
    """

    features: npt.NDArray[np.float32]
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    model: str
    preprocessing: Preprocessing
    plan: Plan
    space: str
    excluded: tuple[Exclusion, ...]
    num_computed: int
    seconds: float

    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return features of shape (len(ids), D) in the order of `ids`.

        Raises:
            DataError: one of them has no features.
        """
        place = {each: index for index, each in enumerate(self.ids)}
        missing = [each for each in ids if each not in place]
        if missing:
            reasons = {each.id: each.reason for each in self.excluded}
            reason = reasons.get(missing[0], "it is not in the data set")
            raise DataError(
                f"{len(missing)} pictures have no features, the first is {missing[0]!r}: {reason}",
                hint="the files changed while the run was going; run the same command again",
            )
        return self.features[[place[each] for each in ids]]


def embed(
    classifier: Classifier,
    dataset: ImageDataset,
    *,
    options: PlanOptions = PlanOptions(),
    progress: Progress = SILENT,
) -> Embeddings:
    """Return the features of every readable picture, from the cache where they are known.

    Args:
        classifier: whose backbone and preprocessing are used; its head is not.
        dataset: the pictures; scanned first if that was not done.
        options: device and precision.
        progress: told about every picture that goes through the network.

    Raises:
        DataError: too many pictures cannot be read.
        StorageError: the cache cannot be written; what was written before stays.

    Source: rows are computed in batches that depend on the order alone, so a run that was killed goes on with
        the same batches.
    """
    if dataset.digests is None:
        dataset = scan(dataset, progress=progress).dataset
    digests = dict(zip(dataset.ids, dataset.digests or (), strict=True))
    backbone = classifier.backbone_digest()
    plan = _plan(classifier, dataset, backbone, options=options)
    started = time.perf_counter()
    with EmbeddingCache(_space(backbone, classifier.preprocessing, plan.precision)) as cache:
        rows = cache.load(list(digests.values()))
        missing = list({digest: each for each, digest in digests.items() if digest not in rows}.values())
        excluded: list[Exclusion] = []
        if missing:
            progress.start(f"embedding with {classifier.name}", total=len(missing), unit="pictures")
            engine = Engine(classifier, plan.device, plan.precision)
            size = plan.batch_size
            for batch in decode_batches(dataset.source, missing, classifier.preprocessing, batch_size=size):
                excluded.extend(batch.excluded)
                if batch.ids:
                    features = engine.features(batch.pixels)
                    keys = [digests[each] for each in batch.ids]
                    rows.update(zip(keys, features, strict=True))
                    cache.append(keys, features)
                progress.advance(len(batch.ids) + len(batch.excluded))
        key = cache.key
    kept = [index for index, digest in enumerate(digests.values()) if digest in rows]
    matrix = np.empty((len(kept), classifier.feature_dim), np.float32)
    for row, index in enumerate(kept):
        matrix[row] = rows[digests[dataset.ids[index]]]
    return Embeddings(
        features=matrix,
        ids=tuple(dataset.ids[index] for index in kept),
        labels=dataset.labels[kept],
        class_names=dataset.class_names,
        model=classifier.name,
        preprocessing=classifier.preprocessing,
        plan=plan,
        space=key,
        excluded=(*dataset.excluded, *excluded),
        num_computed=len(missing),
        seconds=time.perf_counter() - started,
    )


def _space(backbone: str, preprocessing: Preprocessing, precision: Precision) -> dict[str, Any]:
    """Return everything that decides the features of a given picture; never threads, batch or compiler."""
    return {
        "format": EMBEDDING_CACHE_FORMAT,
        "backbone": backbone,
        "preprocessing": to_json(preprocessing),
        "feature_point": "pooled",
        "precision": precision,
        "decoder": DECODER_VERSION,
    }


def _plan(classifier: Classifier, dataset: ImageDataset, backbone: str, *, options: PlanOptions) -> Plan:
    """Choose how to run the network; a faster precision is measured once on the same sample of pictures."""
    sample = spread_sample(dataset.ids)
    sample_digest = digest_json(spread_sample(dataset.digests or ()))

    def min_cosine(device: str, precision: Precision) -> float:
        cache = EmbeddingCache(_space(backbone, classifier.preprocessing, precision))
        known = cache.load_check(sample_digest)
        if known is not None:
            return known
        cosine = measure_cosine(classifier, dataset.source, sample, device=device, precision=precision)
        cache.save_check(sample_digest, cosine)
        return cosine

    return choose_plan(classifier.preprocessing, options=options, min_cosine=min_cosine)
