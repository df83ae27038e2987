"""Somebody's pictures: opened from wherever they lie, decoded the right way, read once, and split.

`open_dataset` makes an `ImageDataset`; `headstart.data.scan` reads every picture once and
`headstart.data.split` draws samples and parts; `headstart.data.decode` turns one picture into sRGB. These
three are imported from their modules, whose names they share. Nothing here imports Pillow or scikit-learn
before a picture is read or a name asks for it.
"""

from headstart.data.arrays import dataset_from_arrays
from headstart.data.dataset import Exclusion, ImageDataset, PictureSource, RawPicture, Split, Splits
from headstart.data.open import open_dataset
from headstart.data.stream import stream_pictures

__all__ = [
    "Exclusion",
    "ImageDataset",
    "PictureSource",
    "RawPicture",
    "Split",
    "Splits",
    "dataset_from_arrays",
    "open_dataset",
    "stream_pictures",
]
