"""What turns a piece of a data set into features: one network, in the plan that was chosen for it.

Here one piece holds all pictures. On a cluster each worker has a copy, which is sent before it is used and
keeps its engine from piece to piece.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.core.digest import digest_json
from headstart.core.formats import EMBEDDING_CACHE_FORMAT
from headstart.core.progress import SILENT, Progress
from headstart.core.records import to_json
from headstart.data import Exclusion, ImageDataset
from headstart.data.decode import decoder_version
from headstart.embed.cache import EmbeddingCache
from headstart.embed.check import Check, spread_sample
from headstart.embed.decoding import Decoding, decode_batches
from headstart.embed.pace import Pace
from headstart.embed.pixels import PixelStore
from headstart.embed.plan import Plan, PlanOptions, choose_plan
from headstart.embed.store import EmbeddingStore
from headstart.models import Classifier

# A worker's piece takes seconds: long enough that handing it over costs little, and little is lost with it.
BATCHES_PER_PIECE = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddedBatch:
    """Some pictures that went through the network.

    Attributes:
        order: all ids of the batch, in the order they were given in.
        ids: of the n pictures that could be read, in order.
        features: float32 of shape (n, D), row i belongs to `ids[i]`; of shape (0, D) where they were written
            to the shared store.
        excluded: those that could not, with the reason.
        plan: how the network was run.
        is_stored: whether they were written to the shared store.
    """

    order: tuple[str, ...]
    ids: tuple[str, ...]
    features: npt.NDArray[np.float32]
    excluded: tuple[Exclusion, ...]
    plan: Plan
    is_stored: bool = False


class Embedder:
    """A network and its plan. It can be pickled until it is used.

    Args:
        classifier: whose backbone and preprocessing are used.
        num_pictures: about how many will come, which decides whether compiling pays.
        store: pixels that are kept between networks; None decodes every picture.
        shared: where the shared store is that features are written to, in place of being returned; "" for
            none.
        progress: told about compiling.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        num_pictures: int,
        store: PixelStore | None = None,
        shared: str = "",
        progress: Progress = SILENT,
    ) -> None:
        self._classifier = classifier
        self._num_pictures = num_pictures
        self._store = store
        self._shared = shared
        self._progress = progress
        self._check: Check | None = None
        self._pace: Pace | None = None
        self.plan: Plan | None = None

    def space(self, plan: Plan) -> dict[str, Any]:
        """Return what decides the features of a given picture; never threads, batch or compiler."""
        return {
            "format": EMBEDDING_CACHE_FORMAT,
            "backbone": self._classifier.backbone_digest(),
            "model": self._classifier.network,
            "preprocessing": to_json(self._classifier.preprocessing),
            "feature_point": self._classifier.feature_point,
            "precision": plan.precision,
            "plan": "exact" if plan.exact else "fast",
            "decoder": decoder_version(plan.decoder),
        }

    def choose_plan(self, sample: ImageDataset, *, options: PlanOptions) -> Iterator[Plan]:
        """Yield the plan to run the network in here.

        Args:
            sample: pictures that a faster plan is checked on. Where they are scanned, the result is kept:
                on the same ones it is checked once.
            options: what the user asks for.
        """
        check = self._check_on(sample)
        sample_digest = digest_json(sample.digests)

        def min_cosine(plan: Plan) -> float:
            if sample.digests is None:
                return check.min_cosine(plan)
            cache = EmbeddingCache(self.space(plan))
            kept_as = f"{sample_digest} {plan.device}"
            known = cache.load_check(kept_as)
            if known is not None:
                return known
            cosine = check.min_cosine(plan)
            cache.save_check(kept_as, cosine)
            return cosine

        yield choose_plan(self._classifier.preprocessing, options=options, min_cosine=min_cosine)

    def __call__(self, piece: ImageDataset) -> Iterator[EmbeddedBatch]:
        """Yield the pictures of a piece in batches, in order, with bounded memory.

        What goes to the shared store is there before the first batch is yielded.
        """
        return self._stored(piece) if self._shared else self._embed(piece)

    def _stored(self, piece: ImageDataset) -> Iterator[EmbeddedBatch]:
        batches = list(self._embed(piece))
        digests = dict(zip(piece.ids, piece.digests or (), strict=True))
        rows = [each.features for each in batches]
        store = EmbeddingStore(self._shared, digest_json(self.space(batches[0].plan)))
        store.write([digests[each] for batch in batches for each in batch.ids], np.concatenate(rows))
        for batch, features in zip(batches, rows, strict=True):
            yield replace(batch, features=features[:0], is_stored=True)

    def _embed(self, piece: ImageDataset) -> Iterator[EmbeddedBatch]:
        assert self.plan is not None  # noqa: S101  # `choose_plan` comes first
        pace = self._pace_on(piece, self.plan)
        decoding = replace(self._decoding(piece), decoder=self.plan.decoder)
        batches = decode_batches(
            decoding, piece.ids, batch_size=self.plan.batch_size, device=self.plan.device
        )
        nothing = np.empty((0, self._classifier.feature_dim), np.float32)
        for batch, rows in pace.run(batches):
            yield EmbeddedBatch(
                order=batch.order,
                ids=batch.ids,
                features=nothing if rows is None else rows,
                excluded=batch.excluded,
                plan=pace.plan,
            )

    def _check_on(self, sample: ImageDataset) -> Check:
        """Return the check, of which there is one: on the pictures that it was first wanted for."""
        if self._check is None:
            self._check = Check(self._classifier, self._decoding(sample), sample.ids)
        return self._check

    def _pace_on(self, piece: ImageDataset, plan: Plan) -> Pace:
        if self._pace is None:
            check = self._check_on(piece.select(spread_sample(range(len(piece)))))
            self._pace = Pace.of(
                self._classifier,
                check.engine(plan),
                check,
                num_pictures=self._num_pictures,
                progress=self._progress,
            )
        return self._pace

    def _decoding(self, pictures: ImageDataset) -> Decoding:
        return Decoding(
            source=pictures.source,
            preprocessing=self._classifier.preprocessing,
            decoder="fast",
            store=self._store,
            digests=dict(zip(pictures.ids, pictures.digests or (), strict=True)) if self._store else None,
        )
