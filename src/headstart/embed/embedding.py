"""`embed`: a data set through a network, every picture once in its life."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from headstart.catalog.entry import Preprocessing
from headstart.core.errors import DataError, StorageError
from headstart.core.progress import SILENT, Progress
from headstart.core.runner import Runner, SerialRunner
from headstart.data import Exclusion, ImageDataset
from headstart.data.decode import Decoder
from headstart.data.scan import scan
from headstart.data.shards import shards
from headstart.embed.cache import EmbeddingCache
from headstart.embed.check import spread_sample
from headstart.embed.embedder import BATCHES_PER_PIECE, Embedder
from headstart.embed.matrix import empty_matrix, select_rows
from headstart.embed.pixels import PixelStore
from headstart.embed.plan import Plan, PlanOptions
from headstart.embed.store import STORE_VARIABLE, store_location
from headstart.models import Classifier


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

        They are not to be written to: without a copy where the pictures follow one another in the data set.

        Raises:
            DataError: one of them has no features.
            StorageError: there is no room for a copy that is larger than a gigabyte.
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
        return select_rows(self.features, np.array([place[each] for each in ids], np.int64))


def embed(
    classifier: Classifier,
    dataset: ImageDataset,
    *,
    options: PlanOptions = PlanOptions(),
    store: PixelStore | None = None,
    runner: Runner = SerialRunner(),
    progress: Progress = SILENT,
) -> Embeddings:
    """Return the features of every readable picture, from the cache where they are known.

    Args:
        classifier: whose backbone and preprocessing are used; its head is not.
        dataset: the pictures; scanned first if that was not done.
        options: device, precision and plan.
        store: pixels that this and other networks of a run share; None decodes for this one alone.
        runner: who decodes the pictures and runs the network; `store` is of use here alone.
        progress: told about every picture that goes through the network.

    Raises:
        DataError: too many pictures cannot be read.
        InputError: the device is not here, or the exact plan was asked for in another precision than fp32.
        StorageError: the cache cannot be written; what was written before stays.

    Source: rows are computed in batches that depend on the order alone, so a run that was killed goes on with
        the same batches.
    """
    if dataset.digests is None:
        if store is None and runner.is_local:
            with PixelStore((classifier.preprocessing,), decoder=_decoder(options)) as own:
                return embed(classifier, dataset, options=options, store=own, progress=progress)
        dataset = scan(dataset, keeper=store, runner=runner, progress=progress).dataset
    started = time.perf_counter()
    contents = _Contents.of(dataset)
    pictures = dataset.select(contents.first)
    digests = pictures.digests or ()
    embedder = Embedder(
        classifier,
        num_pictures=len(pictures) // runner.num_workers,
        store=store if runner.is_local else None,
        shared="" if runner.is_local else store_location(),
        progress=progress if runner.is_local else SILENT,
    )
    sample = pictures.select(spread_sample(range(len(pictures))))
    (plan,) = runner.map(partial(embedder.choose_plan, options=options), [sample])
    embedder.plan = plan
    features = empty_matrix((len(pictures), classifier.feature_dim), np.float32)
    with EmbeddingCache(embedder.space(plan)) as cache:
        found = cache.load_into(features, digests)
        missing = np.flatnonzero(~found)
        excluded: list[Exclusion] = []
        if len(missing):
            what = f"embedding with {classifier.name}"
            progress.start(what, total=len(missing), unit="pictures")
            pieces = _cut(pictures.select(missing), plan, runner)
            places = {pictures.ids[row]: int(row) for row in missing}
            stored: list[int] = []
            for batch in runner.map(embedder, pieces, what=what):
                excluded.extend(batch.excluded)
                targets = [places[each] for each in batch.ids]
                if batch.is_stored:
                    stored += targets
                else:
                    features[targets], found[targets] = batch.features, True
                    cache.append([digests[row] for row in targets], batch.features)
                plan = batch.plan
                progress.advance(len(batch.order))
            if stored:
                cache.load_shared_into(features, digests, found)
                _check_all_found(found[stored])
    kept = np.flatnonzero(found[contents.of_picture])
    return Embeddings(
        features=select_rows(features, contents.of_picture[kept]),
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


def _check_all_found(found: npt.NDArray[np.bool_]) -> None:
    """Raise StorageError where features that workers wrote to the shared store cannot be read here."""
    if not found.all():
        raise StorageError(
            f"{np.count_nonzero(~found)} of {len(found)} vectors that workers wrote are not in "
            f"{STORE_VARIABLE}={store_location()!r} as it is seen from here",
            hint="it must be the same storage under the same path on all machines",
        )


def _cut(pictures: ImageDataset, plan: Plan, runner: Runner) -> Iterator[ImageDataset]:
    """Yield the pieces that a runner is given: whole batches, the same ones wherever they are run."""
    if runner.is_local:
        return iter((pictures,))
    return shards(pictures, BATCHES_PER_PIECE * plan.batch_size)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Contents:
    """The M different contents among the N pictures of a data set, in the order of their first pictures.

    Attributes:
        first: int64 of shape (M,): the first picture with each.
        of_picture: int64 of shape (N,): which content a picture has.
    """

    first: npt.NDArray[np.int64]
    of_picture: npt.NDArray[np.int64]

    @classmethod
    def of(cls, dataset: ImageDataset) -> "_Contents":
        digests = dataset.digests or ()
        place: dict[str, int] = {}
        of_picture = np.array([place.setdefault(each, len(place)) for each in digests], np.int64)
        return cls(first=np.unique(of_picture, return_index=True)[1], of_picture=of_picture)


def _decoder(options: PlanOptions) -> Decoder:
    return "exact" if options.plan == "exact" else "fast"
