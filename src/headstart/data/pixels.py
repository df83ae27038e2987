"""From what lies in a data set to pixels of a network's input size, exactly or fast.

"exact" is the reference: the whole picture decoded by Pillow, resized by Pillow. "fast" gives the same within
a tolerance that `tests/data/test_pixels.py` holds picture by picture:

- A JPEG much larger than needed is decoded at 1/2, 1/4 or 1/8 (libjpeg scales in its inverse DCT), as long as
  `_RESERVE` times the pixels remain that the resize needs. What differs then is how fine detail is averaged.
- Other plain JPEGs are decoded by torchvision, whose libjpeg does what Pillow's does: no pixel differs.
- Bilinear and bicubic resizes are torch's, on uint8: a level differs where a value lies between two levels,
  two where that happens in both passes.

Which way a picture goes follows from the picture and the one preprocessing, never from what else is asked
for. What torchvision refuses is given to Pillow, whose verdict counts and has words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.catalog.entry import Interpolation, Preprocessing
from headstart.data.colour import to_srgb
from headstart.data.dataset import RawPicture
from headstart.data.decode import (
    TURNED,
    Decoder,
    checked_array,
    decode,
    decoder_version,
    measure,
    open_header,
    orientation_of,
    reasons_in_words,
    turn_of_large,
)
from headstart.preprocess.pixels import FILTERS, place, resized_size, to_pixels

__all__ = ["Decoder", "PreparedPicture", "decoder_version", "prepare_picture"]

# Mean differences in grey levels with reserves of 1, 1.5, 2 and 3: 2.3, 1.0, 0.7 and 0.4 over photographs of
# 500 x 375 made very small, which is the hardest case, and 0.8, 0.45, 0.3 and 0.2 over those of 7 megapixels.
_RESERVE = 2.5
_REDUCTIONS = (8, 4, 2)
"""What libjpeg can divide a picture's sides by while it decodes; 1 is the whole picture."""
_JPEG_FORMATS = ("JPEG", "MPO")
_TINY_SIDE = 128
"""Up to here a JPEG is not decoded at a part of its size: there is nothing to gain."""
_TINY_BYTES = 16_384
"""Up to here reading the header by Pillow costs about as much as decoding."""
_RGB = 3
"""`torchvision.io.ImageReadMode.RGB.value`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedPicture:
    """One picture, ready for one or more networks.

    Attributes:
        pixels: for each preprocessing, in their order, uint8 of shape (H, W, 3), red first, C-contiguous. Not
            to be written to: two of them may share memory.
        width: of the whole picture, upright, in pixels.
        height: likewise.
    """

    pixels: tuple[npt.NDArray[np.uint8], ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Decoded:
    """A picture in sRGB as it is stored, not turned upright, perhaps at a part of its size.

    Attributes:
        pixels: uint8 of shape (h, w, 3), C-contiguous.
        size: (width, height) of the whole picture, as stored.
        reduction: `size` over the picture's size in `pixels`, which need not be a whole number of pixels: at
            1/8 a picture of 1001 takes 126, of which the last is cut off after an eighth.
        orientation: how it gets upright, by EXIF.
    """

    pixels: npt.NDArray[np.uint8]
    size: tuple[int, int]
    reduction: int = 1
    orientation: int = 1

    @property
    def upright_size(self) -> tuple[int, int]:
        return _turned(self.size, self.orientation)


def prepare_picture(
    raw: RawPicture, preprocessings: Sequence[Preprocessing], *, decoder: Decoder
) -> PreparedPicture:
    """Decode a picture, turn it upright and bring it to the input size of each preprocessing.

    May be called from several threads. torch is then best told to use one thread in each of them
    (`torch.set_num_threads(1)`), which is left to the caller.

    Args:
        raw: an encoded file, or uint8 pixels of shape (H, W), (H, W, 1) or (H, W, 3).
        preprocessings: what to make of it; none to see only that it can be decoded, and how large it is.
        decoder: "exact" for what Pillow alone gives, "fast" for the same within a tolerance.

    Returns:
        The pixels. Those for one preprocessing do not depend on the other preprocessings.

    Raises:
        PictureError: it cannot be read whole; the message is the reason in a few words.
    """
    if not preprocessings:
        width, height = measure(raw)
        return PreparedPicture(pixels=(), width=width, height=height)
    if decoder == "exact":
        image = decode(raw)
        pixels = tuple(to_pixels(image, each) for each in preprocessings)
        return PreparedPicture(pixels=pixels, width=image.width, height=image.height)
    if isinstance(raw, np.ndarray):
        return _prepare_array(raw, preprocessings)
    return _prepare_file(raw, preprocessings)


def load_decoders() -> None:
    """Load what "fast" decodes with: processes that are forked then have it, else each would load it."""
    _torchvision_decoder()


def _prepare_array(raw: npt.NDArray[np.uint8], preprocessings: Sequence[Preprocessing]) -> PreparedPicture:
    pixels = checked_array(raw)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    # A copy: the result must not change with the caller's array, and torch warns of read-only ones.
    height, width = pixels.shape[:2]
    decoded = _Decoded(pixels=pixels.copy(), size=(width, height))
    return PreparedPicture(
        pixels=tuple(_to_pixels(decoded, each) for each in preprocessings), width=width, height=height
    )


def _prepare_file(raw: bytes, preprocessings: Sequence[Preprocessing]) -> PreparedPicture:
    """Decode once for each reduction that is needed, and resize for each preprocessing."""
    tiny = _decode_tiny_jpeg(raw)
    if tiny is not None:
        decoded, reductions = {1: tiny}, [1] * len(preprocessings)
    else:
        decoded = {}
        with reasons_in_words():
            image = open_header(raw)
            reductions = [_reduction(image, each) for each in preprocessings]
            for reduction in sorted(set(reductions)):
                # `draft` and `load` can be called but once.
                decoded[reduction] = _decode(raw, open_header(raw) if decoded else image, reduction)
    width, height = decoded[reductions[0]].upright_size
    pixels = tuple(
        _to_pixels(decoded[reduction], each)
        for reduction, each in zip(reductions, preprocessings, strict=True)
    )
    return PreparedPicture(pixels=pixels, width=width, height=height)


def _reduction(image: Image.Image, preprocessing: Preprocessing) -> int:
    """Return what the sides of a picture, of which the header is read, are divided by as it is decoded."""
    # Only a JPEG's decoder can. The filter "nearest" takes single pixels, which must be those of the picture.
    if image.format not in _JPEG_FORMATS or preprocessing.interpolation == "nearest":
        return 1
    if max(image.size) <= _TINY_SIDE:
        return 1
    width, height = _turned(image.size, orientation_of(image))  # a JPEG's EXIF is in its header
    resized_width, resized_height = resized_size((width, height), preprocessing)
    spare = min(width / resized_width, height / resized_height) / _RESERVE
    return next((reduction for reduction in _REDUCTIONS if reduction <= spare), 1)


def _decode(raw: bytes, image: Image.Image, reduction: int) -> _Decoded:
    """Decode a picture of which the header is read."""
    size = image.size
    if reduction > 1 and image.draft(None, (size[0] // reduction, size[1] // reduction)) is None:
        reduction = 1
    with turn_of_large(image):
        pixels = _decode_plain_jpeg(raw, image) if reduction == 1 else None
        if pixels is None:
            image.load()
            pixels = np.array(to_srgb(image))  # a copy that can be written to, or torch warns
    if reduction == 1:
        size = (pixels.shape[1], pixels.shape[0])  # formats other than JPEG may have been turned upright
    return _Decoded(pixels=pixels, size=size, reduction=reduction, orientation=orientation_of(image))


def _decode_tiny_jpeg(raw: bytes) -> _Decoded | None:
    """Decode a tiny and plain JPEG without Pillow's reading its header; None for everything else."""
    size = _size_of_tiny_jpeg(raw)
    pixels = None if size is None else _decode_by_torchvision(raw, size)
    return None if size is None or pixels is None else _Decoded(pixels=pixels, size=size)


def _size_of_tiny_jpeg(raw: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a JPEG that is tiny and holds only what every JPEG holds.

    What passes has a header that Pillow is sure to accept, and no metadata that could matter: no EXIF, no
    colour profile, no Adobe marker. Source: ITU-T T.81, annex B.
    """
    if len(raw) > _TINY_BYTES or raw[:2] != b"\xff\xd8":
        return None
    size = None
    position = 2
    while position + 20 <= len(raw) and raw[position] == 0xFF:
        marker = raw[position + 1]
        start, end = position + 4, position + 2 + int.from_bytes(raw[position + 2 : position + 4])
        if marker == 0xDA:  # the scan begins
            return size
        if marker in (0xC0, 0xC2) and size is None:  # a frame, baseline or progressive
            size = _size_of_tiny_frame(raw[start:end])
            if size is None:
                return None
        elif marker == 0xDB:  # quantisation tables, each of 64 values after a byte with their precision, 0
            if (end - start) % 65 or any(each > 3 for each in raw[start:end:65]):
                return None
        elif marker == 0xE0:
            if raw[start : start + 5] != b"JFIF\0" or end - start != 14:
                return None
        elif marker not in (0xC4, 0xDD):  # Huffman tables, the restart interval
            return None
        position = end
    return None


def _size_of_tiny_frame(frame: bytes) -> tuple[int, int] | None:
    """Return (width, height) by a frame header of 8 bits in grey or three colours; None for any other."""
    if len(frame) < 9 or frame[0] != 8 or frame[5] not in (1, 3) or len(frame) != 6 + 3 * frame[5]:
        return None
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    return (width, height) if 0 < width <= _TINY_SIDE and 0 < height <= _TINY_SIDE else None


def _decode_plain_jpeg(raw: bytes, image: Image.Image) -> npt.NDArray[np.uint8] | None:
    """Decode a JPEG in RGB or grey, without a colour profile, of which the header is read; else None."""
    is_plain = image.mode in ("RGB", "L") and image.info.get("icc_profile") is None
    if image.format not in _JPEG_FORMATS or not is_plain:
        return None
    return _decode_by_torchvision(raw, image.size)


def _decode_by_torchvision(raw: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
    """Decode a JPEG of which (width, height) is known.

    Returns:
        uint8 of shape (height, width, 3); None where anything is odd: Pillow then decides whether it is a
        picture, and says why not.
    """
    decode_jpeg = _torchvision_decoder()
    if decode_jpeg is None:
        return None
    import torch

    try:
        # A writable copy of the file, or torch warns; it costs a hundredth of the decoding.
        channels = decode_jpeg(torch.frombuffer(bytearray(raw), dtype=torch.uint8), _RGB, False)
    except RuntimeError:
        return None
    pixels: npt.NDArray[np.uint8] = channels.numpy().transpose(1, 2, 0)  # C-contiguous as it is
    return np.ascontiguousarray(pixels) if pixels.shape == (size[1], size[0], 3) else None


def _to_pixels(decoded: _Decoded, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Do what `to_pixels` does, but turn the picture upright when it is small."""
    by_torch = preprocessing.interpolation in ("bilinear", "bicubic")
    if decoded.orientation != 1 and decoded.reduction == 1 and not by_torch:
        # Pillow must see it upright: which direction it resizes first, and which of two equally near pixels
        # "nearest" takes, depend on that.
        pixels = np.ascontiguousarray(_upright(decoded.pixels, decoded.orientation))
        decoded = _Decoded(pixels=pixels, size=decoded.upright_size)
    size = _turned(resized_size(decoded.upright_size, preprocessing), decoded.orientation)
    resized = _resize(decoded, size, preprocessing.interpolation)
    return place(_upright(resized, decoded.orientation), preprocessing)


def _resize(decoded: _Decoded, size: tuple[int, int], interpolation: Interpolation) -> npt.NDArray[np.uint8]:
    """Resize a picture as stored to `size`, (width, height): uint8 of shape (height, width, 3)."""
    if decoded.reduction == 1 and decoded.size == size:
        return decoded.pixels
    if interpolation in ("bilinear", "bicubic"):
        return _resize_by_torch(_torch_resize(interpolation), decoded, size)
    box = (0, 0, decoded.size[0] / decoded.reduction, decoded.size[1] / decoded.reduction)
    return np.asarray(Image.fromarray(decoded.pixels).resize(size, FILTERS[interpolation], box))


def _resize_by_torch(
    operator: Callable[..., Any], decoded: _Decoded, size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Resize by an operator with antialiasing, which does on uint8 what Pillow does."""
    import torch

    # A view of shape (1, 3, h, w) in channels-last layout, for which torch has its fast code.
    batch = torch.from_numpy(decoded.pixels)[None].permute(0, 3, 1, 2)
    across = down = None  # pixels of the result per pixel; from the sizes where nothing is cut off
    if decoded.reduction != 1:
        across, down = (decoded.reduction * new / old for new, old in zip(size, decoded.size, strict=True))
    stored = (batch.shape[3], batch.shape[2])
    heights_first = _heights_first(_turned(stored, decoded.orientation), _turned(size, decoded.orientation))
    if heights_first != (decoded.orientation in TURNED):  # torch alone always resizes widths first
        batch, down = operator(batch, (size[1], stored[0]), False, down, None), None
    resized = operator(batch, (size[1], size[0]), False, down, across)
    pixels: npt.NDArray[np.uint8] = resized[0].permute(1, 2, 0).numpy()
    return pixels


def _heights_first(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """Return whether Pillow resizes the heights before the widths, from one (width, height) to another.

    The order shows: what a sharp filter overshoots is clipped in between. Source: observed of Pillow 13 in
    thousands of resizes, without an exception; older versions resize widths first always.
    """
    return _pillow_chooses_order() and new[1] < old[1] and old[1] - new[1] > 2 * (old[0] - new[0])


@cache
def _pillow_chooses_order() -> bool:
    """Whether this Pillow sometimes resizes heights first, found out on a chequerboard."""
    board = Image.fromarray(np.tile(np.array([[0, 255], [255, 0]], dtype=np.uint8), (20, 4)))  # 8 x 40
    bicubic = FILTERS["bicubic"]
    at_once, heights_first = board.resize((11, 15), bicubic), board.resize((8, 15), bicubic)
    return at_once.tobytes() == heights_first.resize((11, 15), bicubic).tobytes()


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation in TURNED else size


def _upright(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Return a view of an array (h, w, 3) that is upright. Source: EXIF 2.32, tag 0x0112."""
    if orientation in TURNED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


# Both are operators below `torch.nn.functional` and `torchvision.io`, which let no extent be given, and warn.
@cache
def _torch_resize(interpolation: Literal["bilinear", "bicubic"]) -> Callable[..., Any]:
    """Return an antialiased resize of (N, C, H, W) to a size, align_corners, scale down, across or None."""
    import torch

    aten = torch.ops.aten
    operators = {"bilinear": aten._upsample_bilinear2d_aa, "bicubic": aten._upsample_bicubic2d_aa}
    operator: Callable[..., Any] = operators[interpolation].default
    return operator


@cache
def _torchvision_decoder() -> Callable[..., Any] | None:
    """Return what makes (C, H, W) of an encoded JPEG, a mode and whether to apply EXIF; None if missing."""
    try:
        _load_torchvision_decoders()
        import torch

        # Not torchvision.io.decode_jpeg: it is said to go some day. Some builds come without libjpeg.
        decoder: Callable[..., Any] = torch.ops.image.decode_jpeg.default
    except (ImportError, AttributeError, OSError, RuntimeError):
        return None
    return decoder


def _load_torchvision_decoders() -> None:
    """Load torchvision's decoders alone: to import the package brings torch's compiler and takes seconds.

    Raises:
        ImportError: there is no torchvision.
    """
    import torch

    package = find_spec("torchvision")
    for folder in (package and package.submodule_search_locations) or ():
        for library in Path(folder).glob("image*.so"):  # "image.so" before torchvision 0.29
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]  # torch has no types for it
            return
    import torchvision.io  # noqa: F401  # where the file is called otherwise: it finds and loads it
