"""What turns a piece of a data set into features: one network, in the plan that was chosen for it.

Here one piece holds all pictures. On a cluster each worker has a copy, which is sent before it is used and
keeps its engine from piece to piece.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.catalog.entry import Preprocessing
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
from headstart.embed.rounding import ROUNDING_VERSION
from headstart.embed.store import EmbeddingStore
from headstart.models import Classifier

# A worker's piece takes seconds, so that little is lost with it. Handing one over takes about 0.05 s: with
# 12,000 pictures on two cores a cluster cost 16 % of the time with 8 batches in a piece, 9 % with 32. Batches
# of large pictures are small: with 55,000 at 352 pixels it cost 10 % with 32 of eight in a piece.
_BATCHES_PER_PIECE = 32
_PICTURES_PER_PIECE = 1024


def piece_size(batch_size: int, *, num_networks: int = 1) -> int:
    """Return how many pictures a piece of work has, in whole batches, where so many networks see them."""
    num_batches = max(_BATCHES_PER_PIECE, -(-_PICTURES_PER_PIECE // batch_size))
    return -(-num_batches // num_networks) * batch_size


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
        seconds: that they took where they were run, decoding included.
        is_stored: whether they were written to the shared store.
    """

    order: tuple[str, ...]
    ids: tuple[str, ...]
    features: npt.NDArray[np.float32]
    excluded: tuple[Exclusion, ...]
    plan: Plan
    seconds: float
    is_stored: bool = False


class Embedder:
    """A network and its plan. It can be pickled until it is used.

    Args:
        classifier: whose backbone and preprocessing are used.
        num_pictures: about how many will come, which decides whether compiling pays.
        shared: where the shared store is that features are written to, in place of being returned; "" for
            none.
        progress: told about compiling.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        num_pictures: int,
        shared: str = "",
        progress: Progress = SILENT,
    ) -> None:
        self._classifier = classifier
        self._num_pictures = num_pictures
        self._shared = shared
        self._progress = progress
        self._check: Check | None = None
        self._pace: Pace | None = None
        self.plan: Plan | None = None

    def space(self, plan: Plan) -> dict[str, Any]:
        """Return what decides the features of a given picture; never threads, batch or compiler."""
        rounding = {} if plan.precision == "fp32" else {"rounding": ROUNDING_VERSION}
        return {
            "format": EMBEDDING_CACHE_FORMAT,
            "backbone": self._classifier.backbone_digest(),
            "model": self._classifier.network,
            "preprocessing": to_json(self._classifier.preprocessing),
            "feature_point": self._classifier.feature_point,
            "precision": plan.precision,
            "plan": "exact" if plan.exact else "fast",
            "decoder": decoder_version(plan.decoder),
            **rounding,
        }

    @property
    def preprocessing(self) -> Preprocessing:
        """What pictures go through for the network."""
        return self._classifier.preprocessing

    def choose_plan(self, sample: ImageDataset, pixels: PixelStore | None, *, options: PlanOptions) -> Plan:
        """Return the plan to run the network in here.

        Args:
            sample: pictures that a faster plan is checked on. Where they are scanned, the result is kept:
                on the same ones it is checked once.
            pixels: those that are kept between networks; None decodes the pictures.
            options: what the user asks for.
        """
        check = self._check_on(sample, pixels)
        sample_digest = digest_json(None if sample.digests is None else list(sample.digests))

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

        return choose_plan(self._classifier, options=options, min_cosine=min_cosine)

    def embed(self, piece: ImageDataset, pixels: PixelStore | None) -> Iterator[EmbeddedBatch]:
        """Yield the pictures of a piece in batches, in order, with bounded memory.

        What goes to the shared store is there before the first batch is yielded.
        """
        return self._stored(piece, pixels) if self._shared else self._embed(piece, pixels)

    def _stored(self, piece: ImageDataset, pixels: PixelStore | None) -> Iterator[EmbeddedBatch]:
        batches = list(self._embed(piece, pixels))
        digests = dict(zip(piece.ids, piece.digests or (), strict=True))
        rows = [each.features for each in batches]
        store = EmbeddingStore(self._shared, digest_json(self.space(batches[0].plan)))
        store.write([digests[each] for batch in batches for each in batch.ids], np.concatenate(rows))
        for batch, features in zip(batches, rows, strict=True):
            yield replace(batch, features=features[:0], is_stored=True)

    def _embed(self, piece: ImageDataset, pixels: PixelStore | None) -> Iterator[EmbeddedBatch]:
        assert self.plan is not None  # noqa: S101  # `choose_plan` comes first
        started = time.perf_counter()
        pace = self._pace_on(piece, self.plan, pixels)
        decoding = replace(self._decoding(piece, pixels), decoder=self.plan.decoder)
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
                seconds=time.perf_counter() - started,
            )
            started = time.perf_counter()

    def _check_on(self, sample: ImageDataset, pixels: PixelStore | None) -> Check:
        """Return the check, of which there is one: on the pictures that it was first wanted for."""
        if self._check is None:
            self._check = Check(self._classifier, self._decoding(sample, pixels), sample.ids)
        return self._check

    def _pace_on(self, piece: ImageDataset, plan: Plan, pixels: PixelStore | None) -> Pace:
        if self._pace is None:
            check = self._check_on(piece.select(spread_sample(range(len(piece)))), pixels)
            self._pace = Pace.of(
                self._classifier,
                check.engine(plan),
                check,
                num_pictures=self._num_pictures,
                progress=self._progress,
            )
        return self._pace

    def _decoding(self, pictures: ImageDataset, pixels: PixelStore | None) -> Decoding:
        digests = dict(zip(pictures.ids, pictures.digests or (), strict=True)) if pixels is not None else None
        return Decoding(
            source=pictures.source,
            preprocessing=self.preprocessing,
            decoder="fast",
            store=pixels,
            digests=digests,
        )
