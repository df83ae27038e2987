"""From whatever colours a picture is stored in to 8-bit sRGB on white."""

import hashlib
import io
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from headstart.core.errors import PictureError

_WHITE = (255, 255, 255)
_PROFILE_SPACE = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}
"""The signature of a profile's colour space that fits a mode. Source: ICC.1:2022, table 19."""
_PROFILES_KEPT = 32

_transforms: OrderedDict[tuple[bytes, str], Any] = OrderedDict()
_transforms_lock = threading.Lock()


def to_srgb(image: Image.Image) -> Image.Image:
    """Return a loaded picture as an image of mode "RGB" in sRGB, transparency laid onto white.

    Args:
        image: of any mode that Pillow reads. Without a usable colour profile, RGB and grey are taken for
            sRGB, and CMYK is converted by formula.

    Returns:
        A new image of the same size, or `image` itself where there is nothing to change.

    Raises:
        PictureError: its values are not finite numbers.
    """
    profile = image.info.get("icc_profile")
    plain, alpha = _plain_and_alpha(image)
    colours = _apply_profile(plain, profile if isinstance(profile, bytes) else None)
    if alpha is None:
        return colours
    canvas = Image.new("RGB", colours.size, _WHITE)
    canvas.paste(colours, mask=alpha)
    return canvas


def _plain_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Bring a picture to mode RGB, L, CMYK or LAB, and its transparency, where it has any, to mode L."""
    if image.mode == "1":
        return image.convert("L"), None
    if image.mode.startswith(("I", "F")):
        return _scaled_to_8_bits(image), None
    if image.mode in ("La", "RGBa"):  # premultiplied
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if image.mode in ("PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return image.convert("RGB"), image.getchannel("A")
    if image.mode in _PROFILE_SPACE:
        return image, None
    return image.convert("RGB"), None  # P, RGBX, YCbCr, HSV


def _scaled_to_8_bits(image: Image.Image) -> Image.Image:
    """Scale a picture of 16-bit, 32-bit or float values to 8 bits, so that nothing is clipped."""
    values = np.asarray(image).astype(np.float32)  # (H, W)
    if not np.isfinite(values).all():
        raise PictureError("it holds values that are not finite numbers")
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    is_float = image.mode.startswith("F")
    if low == 0 and is_float and high <= 1:
        high = 1.0
    elif low == 0 and is_float and high <= 255:
        high = 255.0
    elif low == 0 and not is_float and high <= 65535:  # what 16 bits hold
        high = 65535.0
    scaled = np.rint((values - low) * (255.0 / (high - low)))
    return Image.fromarray(scaled.astype(np.uint8))


def _apply_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB by the picture's profile; by Pillow's formulas where it has none that fits."""
    transform = None
    if profile is not None or image.mode == "LAB":
        transform = _transform(profile or b"", image.mode)
    if transform is None:
        return image.convert("RGB")
    try:
        return transform.apply(image)  # type: ignore[no-any-return]
    except (ImageCms.PyCMSError, ValueError, OSError):
        return image.convert("RGB")


def _transform(profile: bytes, mode: str) -> Any:
    """The colour transform of a profile; None where there is nothing to do or the profile cannot be used."""
    key = (hashlib.sha256(profile).digest(), mode)
    with _transforms_lock:  # building one reads Pillow's shared sRGB profile
        if key in _transforms:
            _transforms.move_to_end(key)
            return _transforms[key]
        transform = _transforms[key] = _build_transform(profile, mode)
        if len(_transforms) > _PROFILES_KEPT:
            _transforms.popitem(last=False)
        return transform


def _build_transform(profile: bytes, mode: str) -> Any:
    try:
        source = _source_profile(profile, mode)
        # Most profiles in the wild are sRGB: a transform would cost time and change roundings only.
        if source is None or (source.profile.profile_description or "").lower().startswith("srgb"):
            return None
        return ImageCms.buildTransform(
            source,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _source_profile(profile: bytes, mode: str) -> ImageCms.ImageCmsProfile | None:
    """The embedded profile where it fits the mode; LAB needs none."""
    if profile:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if embedded.profile.xcolor_space == _PROFILE_SPACE[mode]:
            return embedded
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")) if mode == "LAB" else None
