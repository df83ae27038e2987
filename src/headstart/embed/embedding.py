"""`embed`: a data set through networks, every picture once in its life."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from headstart.catalog.entry import Preprocessing
from headstart.core.digest import digest_bytes
from headstart.core.errors import DataError, StorageError
from headstart.core.progress import SILENT, Progress
from headstart.core.runner import Runner, SerialRunner
from headstart.data import Exclusion, ImageDataset
from headstart.data.columns import Digests, Texts, gathered, rows_where
from headstart.data.decode import Decoder
from headstart.data.index import Index
from headstart.data.scan import scan
from headstart.data.shards import shards
from headstart.embed.cache import EmbeddingCache
from headstart.embed.check import spread_sample
from headstart.embed.embedder import EmbeddedBatch, Embedder, piece_size
from headstart.embed.group import EmbedderGroup, fitting_groups
from headstart.embed.matrix import empty_matrix, select_rows
from headstart.embed.pixels import PixelStore
from headstart.embed.plan import Plan, PlanOptions
from headstart.embed.rows import Contents
from headstart.embed.store import STORE_VARIABLE, StoredFeatures, store_location
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
        seconds: time that these took, decoding included, with all workers together.
    """

    features: npt.NDArray[np.float32]
    ids: Sequence[str]
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

    @property
    def stored(self) -> StoredFeatures | None:
        """Where all machines find them; None where there is no shared store."""
        location = store_location()
        if not location:
            return None
        return StoredFeatures(location=location, space=self.space, feature_dim=self.features.shape[1])

    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return features of shape (len(ids), D) in the order of `ids`.

        They are not to be written to: without a copy where the pictures follow one another in the data set.

        Raises:
            DataError: one of them has no features.
            StorageError: there is no room for a copy that is larger than a gigabyte.
        """
        rows = Index(Texts.of(self.ids), are_different=True).find(Texts.of(ids))
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            first = ids[missing[0]]
            reasons = {each.id: each.reason for each in self.excluded}
            reason = reasons.get(first, "it is not in the data set")
            raise DataError(
                f"{len(missing)} pictures have no features, the first is {first!r}: {reason}",
                hint="the files changed while the run was going; run the same command again",
            )
        return select_rows(self.features, rows)


def embed(
    classifier: Classifier,
    dataset: ImageDataset,
    *,
    options: PlanOptions = PlanOptions(),
    store: PixelStore | None = None,
    plan: Plan | None = None,
    runner: Runner = SerialRunner(),
    progress: Progress = SILENT,
) -> Embeddings:
    """Return the features of every readable picture, from the cache where they are known.

    Args:
        classifier: whose backbone and preprocessing are used; its head is not.
        dataset: the pictures; scanned first if that was not done.
        options: device, precision and plan.
        store: pixels that this and other networks of a run share; None decodes for this one alone.
        plan: of the same network on pictures like these, as it was found before; None finds it.
        runner: who decodes the pictures and runs the network; `store` is of use here alone.
        progress: told about every picture that goes through the network.

    Raises:
        DataError: too many pictures cannot be read.
        InputError: the device is not here.
        StorageError: the cache cannot be written; what was written before stays.

    Source: rows are computed in batches that depend on the order alone, so a run that was killed goes on with
        the same batches.
    """
    plans = None if plan is None else [plan]
    (found,) = embed_all(
        [classifier], dataset, options=options, store=store, plans=plans, runner=runner, progress=progress
    )
    return found


def embed_all(
    classifiers: Sequence[Classifier],
    dataset: ImageDataset,
    *,
    options: PlanOptions = PlanOptions(),
    store: PixelStore | None = None,
    plans: Sequence[Plan] | None = None,
    runner: Runner = SerialRunner(),
    progress: Progress = SILENT,
) -> Iterator[Embeddings]:
    """Yield the features that each of several networks has of every readable picture; see `embed`.

    Every picture is decoded once: here by means of `store`, elsewhere for as many networks as a worker has
    room for at a time.
    """
    if dataset.digests is None:
        if store is None and runner.is_local:
            kinds = [each.preprocessing for each in classifiers]
            with PixelStore(kinds, decoder=_decoder(options)) as own:
                yield from embed_all(
                    classifiers, dataset, options=options, store=own, plans=plans, progress=progress
                )
            return
        dataset = scan(dataset, keeper=store, runner=runner, progress=progress).dataset
    contents = Contents.of(dataset)
    wanted = _Wanted.of(dataset.select(contents.first))
    work = _Work(wanted, options, store if runner.is_local else None, runner, progress)
    one_by_one = (slice(at, at + 1) for at in range(len(classifiers)))
    groups = one_by_one if runner.is_local else fitting_groups([each.num_params for each in classifiers])
    for group in groups:
        for job in work.run(classifiers[group], None if plans is None else plans[group]):
            yield job.embeddings(dataset, contents, num_workers=runner.num_workers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Wanted:
    """The different pictures that features are wanted of.

    Attributes:
        pictures: scanned.
        digests: of them.
        by_id: finds their rows.
        by_digest: likewise.
    """

    pictures: ImageDataset
    digests: Digests
    by_id: Index
    by_digest: Index

    @classmethod
    def of(cls, pictures: ImageDataset) -> "_Wanted":
        digests = Digests.of(pictures.digests or ())
        by_id = Index(Texts.of(pictures.ids), are_different=True)
        return cls(
            pictures=pictures, digests=digests, by_id=by_id, by_digest=Index(digests, are_different=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What all networks that see the same pictures have in common."""

    wanted: _Wanted
    options: PlanOptions
    pixels: PixelStore | None
    runner: Runner
    progress: Progress

    def run(self, classifiers: Sequence[Classifier], plans: Sequence[Plan] | None) -> "list[_Job]":
        """Return the features of networks that a worker has room for together."""
        embedders = [self._embedder(each) for each in classifiers]
        if plans is None:
            sample = self.wanted.pictures.select(spread_sample(range(len(self.wanted.pictures))))
            choose = partial(self._group(embedders).choose_plans, options=self.options)
            plans = list(self.runner.map(choose, [sample]))
        jobs = [_Job(*each, self.wanted) for each in zip(classifiers, embedders, plans, strict=True)]
        with ExitStack() as stack:
            for job in jobs:
                stack.enter_context(job.cache)
            for together in _with_same_missing(jobs):
                self._compute(together)
            for job in jobs:
                job.load_stored()
        return jobs

    def _compute(self, jobs: "Sequence[_Job]") -> None:
        """Compute what networks miss, all the same pictures."""
        missing, name = jobs[0].missing, jobs[0].classifier.name
        what = f"embedding with {name if len(jobs) == 1 else f'{len(jobs)} networks'}"
        self.progress.start(what, total=len(jobs) * len(missing), unit="pictures")
        pieces = _cut(self.wanted.pictures.select(missing), [job.plan for job in jobs], self.runner)
        group = self._group([job.embedder for job in jobs])
        for number, batch in self.runner.map(group, pieces, what=what):
            jobs[number].take(batch)
            self.progress.advance(len(batch.order))

    def _embedder(self, classifier: Classifier) -> Embedder:
        is_local = self.runner.is_local
        return Embedder(
            classifier,
            num_pictures=len(self.wanted.pictures) // self.runner.num_workers,
            shared="" if is_local else store_location(),
            progress=self.progress if is_local else SILENT,
        )

    def _group(self, embedders: Sequence[Embedder]) -> EmbedderGroup:
        return EmbedderGroup(embedders, pixels=self.pixels, decoder=_decoder(self.options))


def _with_same_missing(jobs: "Sequence[_Job]") -> "list[list[_Job]]":
    """Return the jobs that miss something, those together that miss the same."""
    together: dict[str, list[_Job]] = {}
    for job in jobs:
        if len(job.missing):
            together.setdefault(digest_bytes(job.missing.data), []).append(job)
    return list(together.values())


class _Job:
    """The features that one network has of some pictures, on their way."""

    def __init__(self, classifier: Classifier, embedder: Embedder, plan: Plan, wanted: _Wanted) -> None:
        self.classifier = classifier
        self.embedder = embedder
        self.plan = embedder.plan = plan
        self.cache = EmbeddingCache(embedder.space(plan))
        self._wanted = wanted
        self._features = empty_matrix((len(wanted.pictures), classifier.feature_dim), np.float32)
        self._found = self.cache.load_into(self._features, wanted.by_digest)
        self.missing = rows_where(~self._found)
        self._excluded: list[Exclusion] = []
        self._is_stored = np.zeros(len(wanted.pictures), np.bool_)
        self._seconds = 0.0

    def take(self, batch: EmbeddedBatch) -> None:
        """Keep what was computed."""
        self._excluded.extend(batch.excluded)
        rows = self._wanted.by_id.rows_of(Texts.of(batch.ids))
        if batch.is_stored:
            self._is_stored[rows] = True
        else:
            self._features[rows], self._found[rows] = batch.features, True
            self.cache.append(self._wanted.digests.take(rows), batch.features)
        self.plan = batch.plan
        self._seconds += batch.seconds

    def load_stored(self) -> None:
        """Load what workers wrote to the shared store."""
        if self._is_stored.any():
            self.cache.load_shared_into(self._features, self._wanted.by_digest, self._found)
            _check_all_found(self._found[self._is_stored])

    def embeddings(self, dataset: ImageDataset, contents: "Contents", *, num_workers: int) -> Embeddings:
        """Return the features of a data set whose contents were seen."""
        kept = rows_where(self._found[contents.of_picture])
        return Embeddings(
            features=select_rows(self._features, gathered(contents.of_picture, kept)),
            ids=Texts.of(dataset.ids).take(kept),
            labels=gathered(dataset.labels, kept),
            class_names=dataset.class_names,
            model=self.classifier.name,
            preprocessing=self.classifier.preprocessing,
            feature_point=self.classifier.feature_point,
            plan=self.plan,
            space=self.cache.key,
            excluded=(*dataset.excluded, *self._excluded),
            num_computed=len(self.missing),
            seconds=self._seconds / num_workers,
        )


def _check_all_found(found: npt.NDArray[np.bool_]) -> None:
    """Raise StorageError where features that workers wrote to the shared store cannot be read here."""
    if not found.all():
        raise StorageError(
            f"{np.count_nonzero(~found)} of {len(found)} vectors that workers wrote are not in "
            f"{STORE_VARIABLE}={store_location()!r} as it is seen from here",
            hint="it must be the same storage under the same path on all machines",
        )


def _cut(pictures: ImageDataset, plans: Sequence[Plan], runner: Runner) -> Iterator[ImageDataset]:
    """Yield the pieces that a runner is given: whole batches, the same ones wherever they are run."""
    if runner.is_local:
        return iter((pictures,))
    largest_batch = max(plan.batch_size for plan in plans)
    return shards(pictures, piece_size(largest_batch, num_networks=len(plans)))


def _decoder(options: PlanOptions) -> Decoder:
    return "exact" if options.plan == "exact" else "fast"
