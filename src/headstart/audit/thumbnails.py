"""What a picture of 32 x 32 pixels tells: a perceptual hash, how even it is, and what its border is like."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import dctn

from headstart.catalog.entry import Preprocessing
from headstart.embed.decoding import Decoding, decode_batches

THUMBNAIL = Preprocessing(input_size=(32, 32), fit="squash", interpolation="bilinear")
"""How the pictures are made small."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_BATCH = 1024
_RING = 2  # pixels
_HALF = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thumbnails:
    """What N small pictures tell; nothing is known of those that could no longer be read.

    Attributes:
        hashes: uint64 of shape (N,): perceptual hashes; similar pictures differ in few bits.
        spreads: float32 of shape (N,): largest standard deviation of a colour channel, in grey levels.
        borders: float32 of shape (N, 48): mean and deviation of the colours along eight half sides.
        is_known: bool of shape (N,).
    """

    hashes: npt.NDArray[np.uint64]
    spreads: npt.NDArray[np.float32]
    borders: npt.NDArray[np.float32]
    is_known: npt.NDArray[np.bool_]


def look_at(decoding: Decoding, ids: Sequence[str]) -> Thumbnails:
    """Return what the thumbnails of pictures tell.

    Args:
        decoding: how pictures become pixels of `THUMBNAIL`.
        ids: N pictures.
    """
    num = len(ids)
    found = Thumbnails(
        hashes=np.zeros(num, np.uint64),
        spreads=np.zeros(num, np.float32),
        borders=np.zeros((num, 48), np.float32),
        is_known=np.zeros(num, np.bool_),
    )
    place = {each: index for index, each in enumerate(ids)}
    for batch in decode_batches(decoding, ids, batch_size=_BATCH):
        rows = [place[each] for each in batch.ids]
        if rows:
            pixels = batch.pixels.astype(np.float32)
            found.hashes[rows] = perceptual_hashes(pixels @ _LUMA)
            found.spreads[rows] = pixels.std(axis=(1, 2)).max(axis=1)
            found.borders[rows] = _borders(pixels)
            found.is_known[rows] = True
    return found


def perceptual_hashes(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """Return hashes, uint64 of shape (N,), of grey pictures of shape (N, 32, 32).

    Source: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions": which of the 64
        lowest frequencies of the cosine transform are above their median; as the package imagehash does it.
    """
    low = dctn(grey, axes=(1, 2))[:, :8, :8].reshape(len(grey), 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def _borders(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return float32 of shape (n, 48) of pixels of shape (n, 32, 32, 3)."""
    sides = (
        pixels[:, :_RING],
        pixels[:, -_RING:],
        pixels[:, :, :_RING].swapaxes(1, 2),
        pixels[:, :, -_RING:].swapaxes(1, 2),
    )
    halves = [half for side in sides for half in (side[:, :, :_HALF], side[:, :, _HALF:])]
    told = [np.concatenate([half.mean(axis=(1, 2)), half.std(axis=(1, 2))], axis=1) for half in halves]
    return np.concatenate(told, axis=1)
