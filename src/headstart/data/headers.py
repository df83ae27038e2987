"""What files tell without their pixels: their format, and what the camera wrote."""

import datetime
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from PIL import ExifTags

from headstart.core.errors import PictureError
from headstart.core.machine import num_cores
from headstart.core.progress import Progress
from headstart.data.dataset import ImageDataset
from headstart.data.decode import open_header, quiet_pillow
from headstart.data.workers import do_for_each

# Source: EXIF 2.32, table 4: where exposure and time of a picture stand.
_EXIF_IFD = 0x8769
_TAKEN = "%Y:%m:%d %H:%M:%S"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What one file tells; "" and 0 where it does not.

    Attributes:
        file_format: Pillow's name of it, "JPEG".
        mode: of the stored pixels, "RGB".
        camera: maker and model.
        software: that wrote it.
        orientation: of EXIF, 1 to 8.
        taken: seconds since 1970, by the camera's clock.
    """

    file_format: str = ""
    mode: str = ""
    camera: str = ""
    software: str = ""
    orientation: int = 0
    taken: float = 0.0


def read_headers(dataset: ImageDataset, *, progress: Progress) -> list[Header]:
    """Return the headers of a data set's files, in the order of its pictures; arrays have none."""

    def read(number: int) -> Header:
        try:
            raw = dataset.source.read(dataset.ids[number])
            return _header(raw) if isinstance(raw, bytes) else Header()
        except PictureError:
            return Header()

    progress.start("reading what cameras wrote", total=len(dataset), unit="pictures")
    headers: list[Header] = []
    with quiet_pillow(), closing(do_for_each(read, len(dataset), num_workers=num_cores())) as chunks:
        for chunk in chunks:
            headers += chunk
            progress.advance(len(chunk))
    return headers


def _header(raw: bytes) -> Header:
    try:
        with open_header(raw) as image:
            exif = image.getexif()
            details = exif.get_ifd(_EXIF_IFD)
            return Header(
                file_format=image.format or "",
                mode=image.mode,
                camera=_text([exif.get(ExifTags.Base.Make), exif.get(ExifTags.Base.Model)]),
                software=_text([exif.get(ExifTags.Base.Software)]),
                orientation=_whole(exif.get(ExifTags.Base.Orientation)),
                taken=_seconds(details.get(ExifTags.Base.DateTimeOriginal)),
            )
    except Exception:  # metadata is broken in every way there is
        return Header()


def _text(values: Sequence[object]) -> str:
    return " ".join(str(value).strip("\0 ") for value in values if value)[:100]


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _seconds(value: object) -> float:
    with suppress(ValueError):
        return (
            datetime.datetime.strptime(str(value).strip("\0 "), _TAKEN)
            .replace(tzinfo=datetime.UTC)
            .timestamp()
        )
    return 0.0
