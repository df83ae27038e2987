"""Networks that a piece of a data set goes through together: each picture is decoded once for all of them.

Here the run's own `PixelStore` sees to that, and every network is a group by itself. Elsewhere pieces come
to whoever is free, so what is decoded lasts for as long as its piece.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from headstart.data import ImageDataset
from headstart.data.decode import Decoder
from headstart.embed.decoding import Decoding, decode_batches
from headstart.embed.embedder import EmbeddedBatch, Embedder
from headstart.embed.pixels import PixelStore
from headstart.embed.plan import Plan, PlanOptions

# Of parameters in float32. A worker holds all networks of a group, some of them twice: exact and fast.
_MAX_BYTES = 2 * 2**30
_DECODED_TOGETHER = 64  # pictures: enough for all threads, few enough for a small memory


def fitting_groups(num_params: Sequence[int]) -> Iterator[slice]:
    """Yield which networks, in their order, a worker has room for at a time.

    Args:
        num_params: number of parameters of each.
    """
    begin = num_bytes = 0
    for number, count in enumerate(num_params):
        if number > begin and num_bytes + 4 * count > _MAX_BYTES:
            yield slice(begin, number)
            begin, num_bytes = number, 0
        num_bytes += 4 * count
    if num_params:
        yield slice(begin, len(num_params))


class EmbedderGroup:
    """Several networks. It can be pickled until it is used.

    Args:
        embedders: the networks.
        pixels: of all pictures, kept elsewhere; None keeps those of a piece as long as it is worked on, where
            there are several networks.
        decoder: how kept pictures become pixels.
    """

    def __init__(
        self, embedders: Sequence[Embedder], *, pixels: PixelStore | None = None, decoder: Decoder
    ) -> None:
        self._embedders = embedders
        self._pixels = pixels
        self._decoder: Decoder = decoder

    def choose_plans(self, sample: ImageDataset, *, options: PlanOptions) -> Iterator[Plan]:
        """Yield the plan of each network, as `Embedder.choose_plan` finds it."""
        for embedder in self._embedders:
            yield embedder.choose_plan(sample, self._pixels, options=options)

    def __call__(self, piece: ImageDataset) -> Iterator[tuple[int, EmbeddedBatch]]:
        """Yield the batches of a piece with the number of their network, one network after the other."""
        if self._pixels is not None or len(self._embedders) == 1:
            yield from self._embed(piece, self._pixels, 0.0)
            return
        kinds = [each.preprocessing for each in self._embedders]
        with PixelStore(kinds, decoder=self._decoder) as pixels:
            yield from self._embed(piece, pixels, self._decode(piece, pixels))

    def _embed(
        self, piece: ImageDataset, pixels: PixelStore | None, decode_seconds: float
    ) -> Iterator[tuple[int, EmbeddedBatch]]:
        share = decode_seconds / len(self._embedders)  # what each would pay if all were alike
        for number, embedder in enumerate(self._embedders):
            for batch in embedder.embed(piece, pixels):
                part = share * len(batch.order) / len(piece)
                yield number, replace(batch, seconds=batch.seconds + part)

    def _decode(self, piece: ImageDataset, pixels: PixelStore) -> float:
        """Keep the pixels of a piece, and return how long that took."""
        started = time.perf_counter()
        decoding = Decoding(
            source=piece.source,
            preprocessing=self._embedders[0].preprocessing,
            decoder=self._decoder,
            store=pixels,
            digests=dict(zip(piece.ids, piece.digests or (), strict=True)),
        )
        for _ in decode_batches(decoding, piece.ids, batch_size=_DECODED_TOGETHER):
            pass
        return time.perf_counter() - started
