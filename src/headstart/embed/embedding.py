"""`embed`: a data set through a network, every picture once in its life."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.catalog.entry import Preprocessing
from headstart.core.digest import digest_json
from headstart.core.errors import DataError
from headstart.core.files import storage_errors
from headstart.core.formats import EMBEDDING_CACHE_FORMAT
from headstart.core.paths import embeddings_dir
from headstart.core.progress import SILENT, Progress
from headstart.core.records import to_json
from headstart.data import Exclusion, ImageDataset
from headstart.data.decode import Decoder, decoder_version
from headstart.data.scan import scan
from headstart.embed.cache import EmbeddingCache, Features
from headstart.embed.check import Check, spread_sample
from headstart.embed.decoding import Decoding, decode_batches
from headstart.embed.pace import Pace
from headstart.embed.pixels import PixelStore
from headstart.embed.plan import Plan, PlanOptions, choose_plan
from headstart.models import Classifier

# A larger matrix lies in a file: the system keeps in memory what is used of it.
_LARGEST_IN_MEMORY_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embeddings:
    """Features of N pictures.

    Attributes:
        features: float32 of shape (N, D), row i belongs to `ids[i]`; above a gigabyte they lie in a file that
            is mapped into memory.
        ids: of the pictures that could be read, in the order of the data set.
        labels: int64 of shape (N,), the data set's labels of the same pictures.
        class_names: K names, as in the data set.
        model: full name of the model.
        preprocessing: what the pictures went through.
        feature_point: where in the network they were taken.
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
    feature_point: str
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
    store: PixelStore | None = None,
    progress: Progress = SILENT,
) -> Embeddings:
    """Return the features of every readable picture, from the cache where they are known.

    Args:
        classifier: whose backbone and preprocessing are used; its head is not.
        dataset: the pictures; scanned first if that was not done.
        options: device, precision and plan.
        store: pixels that this and other networks of a run share; None decodes for this one alone.
        progress: told about every picture that goes through the network.

    Raises:
        DataError: too many pictures cannot be read.
        InputError: the device is not here, or the exact plan was asked for in another precision than fp32.
        StorageError: the cache cannot be written; what was written before stays.

    Source: rows are computed in batches that depend on the order alone, so a run that was killed goes on with
        the same batches.
    """
    if dataset.digests is None:
        if store is None:
            with PixelStore((classifier.preprocessing,), decoder=_decoder(options)) as own:
                return embed(classifier, dataset, options=options, store=own, progress=progress)
        dataset = scan(dataset, keeper=store, progress=progress).dataset
    started = time.perf_counter()
    backbone = classifier.backbone_digest()
    pictures = _Contents.of(dataset)
    decoding = Decoding(
        source=dataset.source,
        preprocessing=classifier.preprocessing,
        decoder=_decoder(options),
        store=store,
        digests=dict(zip(pictures.ids, pictures.digests, strict=True)),
    )
    check = Check(classifier, decoding, pictures.ids)
    plan = _plan(classifier, pictures, backbone, check, options=options)
    features = _matrix(len(pictures.digests), classifier.feature_dim)
    with EmbeddingCache(_space(backbone, classifier, plan)) as cache:
        found = cache.load_into(features, pictures.digests)
        missing = np.flatnonzero(~found)
        excluded: list[Exclusion] = []
        if len(missing):
            progress.start(f"embedding with {classifier.name}", total=len(missing), unit="pictures")
            engine = check.engine(plan)
            pace = Pace.of(classifier, engine, check, num_pictures=len(missing), progress=progress)
            places = {pictures.ids[row]: int(row) for row in missing}
            batches = decode_batches(
                replace(decoding, decoder=plan.decoder),
                list(places),
                batch_size=plan.batch_size,
                device=plan.device,
            )
            for batch, rows in pace.run(batches):
                excluded.extend(batch.excluded)
                if rows is not None:
                    targets = [places[each] for each in batch.ids]
                    features[targets], found[targets] = rows, True
                    cache.append([pictures.digests[row] for row in targets], rows)
                progress.advance(len(batch.order))
            plan = engine.plan
    kept = np.flatnonzero(found[pictures.of_picture])
    return Embeddings(
        features=_select(features, pictures.of_picture[kept]),
        ids=tuple(dataset.ids[index] for index in kept),
        labels=dataset.labels[kept],
        class_names=dataset.class_names,
        model=classifier.name,
        preprocessing=classifier.preprocessing,
        feature_point=classifier.feature_point,
        plan=plan,
        space=cache.key,
        excluded=(*dataset.excluded, *excluded),
        num_computed=len(missing),
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Contents:
    """The M different contents among the N pictures of a data set, in the order of their first pictures.

    Attributes:
        ids: of the first picture with each.
        digests: M digests.
        of_picture: int64 of shape (N,): which content a picture has.
    """

    ids: tuple[str, ...]
    digests: tuple[str, ...]
    of_picture: npt.NDArray[np.int64]

    @classmethod
    def of(cls, dataset: ImageDataset) -> "_Contents":
        first: dict[str, str] = {}
        for digest, picture_id in zip(dataset.digests or (), dataset.ids, strict=True):
            first.setdefault(digest, picture_id)
        place = {digest: row for row, digest in enumerate(first)}
        return cls(
            ids=tuple(first.values()),
            digests=tuple(first),
            of_picture=np.array([place[digest] for digest in dataset.digests or ()], np.int64),
        )


def _matrix(num_rows: int, num_features: int) -> Features:
    """Return room for features, float32 of shape (num_rows, num_features)."""
    if num_rows * num_features * 4 <= _LARGEST_IN_MEMORY_BYTES:
        return np.empty((num_rows, num_features), np.float32)
    folder = embeddings_dir()
    with storage_errors(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # lives as long as the array does
    return np.memmap(file, np.float32, "w+", shape=(num_rows, num_features))


def _select(features: Features, rows: npt.NDArray[np.int64]) -> Features:
    """Return the rows in that order, without a copy where they are all rows as they lie."""
    if np.array_equal(rows, np.arange(len(features))):
        return features
    selected = _matrix(len(rows), features.shape[1])
    for start in range(0, len(rows), 4096):
        selected[start : start + 4096] = features[rows[start : start + 4096]]
    return selected


def _decoder(options: PlanOptions) -> Decoder:
    return "exact" if options.plan == "exact" else "fast"


def _space(backbone: str, classifier: Classifier, plan: Plan) -> dict[str, Any]:
    """Return everything that decides the features of a given picture; never threads, batch or compiler."""
    return {
        "format": EMBEDDING_CACHE_FORMAT,
        "backbone": backbone,
        "model": classifier.network,
        "preprocessing": to_json(classifier.preprocessing),
        "feature_point": classifier.feature_point,
        "precision": plan.precision,
        "plan": "exact" if plan.exact else "fast",
        "decoder": decoder_version(plan.decoder),
    }


def _plan(
    classifier: Classifier, pictures: _Contents, backbone: str, check: Check, *, options: PlanOptions
) -> Plan:
    """Choose how to run the network; a plan is checked once on the same sample of pictures."""
    sample_digest = digest_json(spread_sample(pictures.digests))

    def min_cosine(plan: Plan) -> float:
        cache = EmbeddingCache(_space(backbone, classifier, plan))
        kept_as = f"{sample_digest} {plan.device}"
        known = cache.load_check(kept_as)
        if known is not None:
            return known
        cosine = check.min_cosine(plan)
        cache.save_check(kept_as, cosine)
        return cosine

    return choose_plan(classifier.preprocessing, options=options, min_cosine=min_cosine)
