"""Pictures that travel with their piece, for nodes that cannot read them where they lie."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headstart.core.errors import PictureError
from headstart.data import ImageDataset, RawPicture
from headstart.data.scan import digest_picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CarriedSource:
    """Pictures that were read before, in memory.

    Attributes:
        pictures: by id; a text is why one could not be read.
    """

    pictures: Mapping[str, RawPicture | str]

    def read(self, picture_id: str) -> RawPicture:
        """Return a picture. Raises PictureError where it could not be read."""
        picture = self.pictures[picture_id]
        if isinstance(picture, str):
            raise PictureError(picture)
        return picture


def carry(piece: ImageDataset) -> ImageDataset:
    """Return the piece with its pictures in memory."""
    return replace(piece, source=CarriedSource(pictures={each: _read(piece, each) for each in piece.ids}))


def first_digest(piece: ImageDataset) -> str:
    """Return the digest of the first picture as it is read here, "" where it cannot be."""
    picture = _read(piece, piece.ids[0])
    return "" if isinstance(picture, str) else digest_picture(picture)


def _read(piece: ImageDataset, picture_id: str) -> RawPicture | str:
    try:
        return piece.source.read(picture_id)
    except PictureError as error:
        return error.message
