"""From what lies in a data set to an upright 8-bit sRGB picture."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, features

from headstart.core.errors import PictureError, PictureTooLargeError
from headstart.data.colour import to_srgb
from headstart.data.dataset import RawPicture

Decoder: TypeAlias = Literal["fast", "exact"]
"""How pixels are made: see `headstart.data.pixels`."""
DECODER_VERSION = f"1+pillow-{PIL.__version__}"
"""The version of the exact decoder, see `decoder_version`."""
MAX_PIXELS = 200_000_000
"""Larger pictures are refused unread. The largest phone sensors take 16,320 x 12,240, 199.8 million."""
_ONE_AT_A_TIME_PIXELS = 30_000_000
"""Larger ones are decoded one at a time: Pillow takes 4 bytes a pixel, and there may be many threads."""

_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "TGA")
"""Only these are tried: Pillow would hand a file with a PostScript header to Ghostscript."""
_FORMATS_OF_PHONES = ("AVIF", "HEIF")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Source: ISO/IEC 23008-12, annex B; the major brand stands at bytes 8 to 12."""
_AVIF_BRANDS = (b"avif", b"avis")
"""Source: AV1 Image File Format, section 6, https://aomediacodec.github.io/av1-avif/"""

# EXIF 2.32, tag 0x0112: how the stored picture gets upright. 1 is upright already.
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TURNED = (5, 6, 7, 8)
"""The EXIF orientations whose width and height change places when the picture is brought upright."""
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_pixel_limit_lock = threading.Lock()
_large_picture_lock = threading.Lock()


def use_locks(turn_of_large: Any) -> None:
    """Begin with new locks in a forked process: a thread that is not here may hold the old ones.

    Args:
        turn_of_large: a lock that all processes share, held while a very large picture is decoded.
    """
    global _pixel_limit_lock, _large_picture_lock
    _pixel_limit_lock, _large_picture_lock = threading.Lock(), turn_of_large


def decode(raw: RawPicture, *, reduce_to: int | None = None) -> Image.Image:
    """Return a picture upright, in sRGB, 8 bits a channel, its first frame where it has several.

    Transparency is laid onto white; 16-bit and float pictures are scaled to 8 bits, not clipped; embedded
    colour profiles are applied, broken ones ignored. May be called from several threads.

    Args:
        raw: an encoded file, or uint8 pixels of shape (H, W), (H, W, 1) or (H, W, 3).
        reduce_to: allow a JPEG to be decoded at 1/2, 1/4 or 1/8 of its size, as long as its shorter side
            keeps this many pixels; None for full size.

    Returns:
        An image of mode "RGB".

    Raises:
        PictureError: it cannot be read whole; the message is the reason in a few words.
    """
    return _decode(raw, reduce_to)[0]


def measure(raw: RawPicture) -> tuple[int, int]:
    """Decode a picture as `decode` does, at a reduced size where that is faster, to see that it can be.

    Returns:
        Its (width, height) at full size and upright, in pixels.

    Raises:
        PictureError: as `decode` does.
    """
    return _decode(raw, 1)[1]


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings about odd metadata inside the block.

    Filters of warnings belong to the process, so enter it once around a pool of threads, not in each of them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def stated_size(raw: RawPicture) -> tuple[int, int]:
    """Return the (width, height) that a picture's header states, as it is stored: not turned upright.

    Raises:
        PictureError: the header cannot be read.
    """
    with reasons_in_words():
        if isinstance(raw, np.ndarray):
            height, width = checked_array(raw).shape[:2]
            return width, height
        size: tuple[int, int] = open_header(raw).size
        return size


def decoder_version(decoder: Decoder) -> str:
    """Return the part that names the decoder in every key under which something made from pixels is kept."""
    if decoder == "exact":
        return DECODER_VERSION
    import torch  # waits: it is needed for no other picture work
    import torchvision

    return f"fast-1+{DECODER_VERSION}+torchvision-{torchvision.__version__}+torch-{torch.__version__}"


@contextmanager
def reasons_in_words() -> Iterator[None]:
    """Turn whatever is raised inside the block into a PictureError that says in words what is wrong."""
    try:
        yield
    except PictureError:
        raise
    except Exception as error:  # decoders of hostile bytes fail in every way there is
        raise PictureError(_reason(error)) from error


def _decode(raw: RawPicture, reduce_to: int | None) -> tuple[Image.Image, tuple[int, int]]:
    with reasons_in_words():
        if isinstance(raw, np.ndarray):
            picture = Image.fromarray(checked_array(raw)).convert("RGB")
            return picture, picture.size
        image = open_header(raw)
        width, height = image.size
        if reduce_to is not None:
            image.draft(None, (reduce_to, reduce_to))
        with turn_of_large(image):
            image.load()
            orientation = orientation_of(image)
            upright = to_srgb(image)
            if orientation in _UPRIGHT:
                upright = upright.transpose(_UPRIGHT[orientation])
        return upright, (height, width) if orientation in TURNED else (width, height)


@contextmanager
def turn_of_large(image: Image.Image) -> Iterator[None]:
    """Wait until no other thread decodes a very large picture, where this is one, by the size it has now."""
    if image.width * image.height <= _ONE_AT_A_TIME_PIXELS:
        yield
        return
    with _large_picture_lock:
        yield


def open_header(raw: bytes) -> Image.Image:
    """Read the header only, and refuse what is too large to be decoded."""
    if not raw:
        raise PictureError("empty file")
    _prepare(raw)
    # No other format begins like a JPEG, and going through them all costs more than decoding a tiny picture.
    formats = ("JPEG",) if raw.startswith(_JPEG_SIGNATURE) else _formats()
    # Pillow's own limit warns (or raises) below ours. It is a global of the module: lifted under a lock, and
    # only while a header is read.
    with _pixel_limit_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(io.BytesIO(raw), formats=formats)
        except PIL.UnidentifiedImageError as error:
            raise PictureError(f"not a picture: {_beginning(raw)}") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    if image.width * image.height > MAX_PIXELS:
        raise PictureTooLargeError(
            f"too large: {image.width:,} x {image.height:,} pixels (limit: {MAX_PIXELS // 10**6} million)"
        )
    return image


def _prepare(raw: bytes) -> None:
    """Load what HEIC and AVIF files need, or say how to get it."""
    if raw[4:8] != b"ftyp":
        return
    brand = raw[8:12]
    if brand in _HEIF_BRANDS and not _has_heif():
        raise PictureError("a HEIC picture, which needs the extra: pip install 'headstart[heif]'")
    if brand in _AVIF_BRANDS and "AVIF" not in _formats() and not _has_heif():
        raise PictureError("an AVIF picture, which needs the extra: pip install 'headstart[heif]'")


def _has_heif() -> bool:
    """Whether HEIC can be read; registers its decoder with Pillow the first time."""
    if "HEIF" in Image.OPEN:
        return True
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _formats() -> tuple[str, ...]:
    """The formats to try that can be read here."""
    missing = () if _has_avif() else ("AVIF",)
    return tuple(name for name in _FORMATS + _FORMATS_OF_PHONES if name in Image.OPEN and name not in missing)


@cache
def _has_avif() -> bool:
    Image.init()
    return "AVIF" in Image.OPEN and bool(features.check("avif"))


def checked_array(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return pixels given as an array, C-contiguous, of shape (H, W) or (H, W, 3); refuse what is none."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise PictureError(
            f"an array of {pixels.dtype} and shape {pixels.shape}, not uint8 (H, W) or (H, W, 3)"
        )
    if pixels.size == 0:
        raise PictureError("an array without pixels")
    return np.ascontiguousarray(pixels)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of a picture, 1 where there is none; some formats must be loaded first."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # metadata is broken more often than pictures are
        return 1
    return value if isinstance(value, int) else 1


def _beginning(raw: bytes) -> str:
    """What a file that is no picture begins with, in words."""
    start = raw[:24]
    if not any(start):
        return "only zero bytes"
    text = start.decode("utf-8", errors="replace")
    if all(character.isprintable() or character.isspace() for character in text):
        return f"it begins with the text {' '.join(text.split())!r}"
    return f"unknown format, first bytes {raw[:4].hex(' ')}"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:160] or type(error).__name__
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return f"truncated: {text}"
    return f"damaged: {text}"
