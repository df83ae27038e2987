"""From the bytes of a picture to pixels; what would take too much time or memory is refused before."""

import numpy as np
import numpy.typing as npt
from PIL import UnidentifiedImageError

from headstart.catalog.entry import Preprocessing
from headstart.core.errors import PictureError, PictureTooLargeError
from headstart.data.decode import Decoder, stated_size
from headstart.data.pixels import prepare_picture
from headstart.serve.limits import Limits
from headstart.serve.refusals import Refusal

# A progressive JPEG can have a scan over the whole picture in some twenty bytes. Cameras and encoders make
# one to a dozen, and a thumbnail or two of their own.
_MAX_JPEG_SCANS = 100
_START_OF_SCAN = b"\xff\xda"  # inside a scan's data 0xFF is followed by 0: ITU-T T.81, B.1.1.5


def prepare(
    raw: bytes, *, preprocessing: Preprocessing, decoder: Decoder, limits: Limits
) -> npt.NDArray[np.uint8]:
    """Return the pixels that the network sees of a picture, uint8 of shape (H, W, 3).

    Raises:
        Refusal: it is no picture, or too large, or cannot be read whole.
    """
    check_size(raw, limits)
    try:
        return prepare_picture(raw, (preprocessing,), decoder=decoder).pixels[0]
    except PictureError as error:
        raise Refusal(
            status=422,
            error=f"the picture cannot be read: {error.message}",
            hint="open it in a viewer, and save it again as JPEG or PNG",
        ) from error


def check_size(raw: bytes, limits: Limits) -> None:
    """Refuse what is no picture, or too large a one, by its header.

    Raises:
        Refusal: with the reason.
    """
    try:
        width, height = stated_size(raw)
    except PictureError as error:
        if isinstance(error, PictureTooLargeError):
            raise _too_large(f"a picture that is {error.message}", limits) from error
        is_unknown = isinstance(error.__cause__, UnidentifiedImageError)
        raise Refusal(
            status=415 if is_unknown else 422,
            error=f"the picture cannot be read: {error.message}",
            hint="send a JPEG, PNG, WebP, GIF, BMP or TIFF that a viewer opens",
        ) from error
    if width * height > limits.max_pixels:
        raise _too_large(f"a picture of {width:,} x {height:,} pixels", limits)
    if raw.startswith(b"\xff\xd8") and raw.count(_START_OF_SCAN) > _MAX_JPEG_SCANS:
        raise Refusal(
            status=413,
            error=f"a JPEG of more than {_MAX_JPEG_SCANS} scans, which takes too long to decode",
            hint="save it again in another program",
        )


def _too_large(what: str, limits: Limits) -> Refusal:
    return Refusal(
        status=413,
        error=f"{what}; the limit is {limits.max_pixels:,} in all",
        hint="make it smaller: the network sees far fewer pixels",
    )
