"""Pixels of a run's pictures, kept between the networks that see them: each picture is decoded once.

Rows of fixed size in temporary files, one file for each way that the run's candidates prepare pictures. The
system keeps in memory what fits there. The files have no name, so nothing stays behind, however the run ends.
"""

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from io import FileIO

import numpy as np
import numpy.typing as npt
import torch

from headstart.catalog.entry import Preprocessing
from headstart.core.files import storage_errors
from headstart.core.paths import pixels_dir
from headstart.data import RawPicture
from headstart.data.decode import Decoder
from headstart.data.pixels import load_decoders, prepare_picture
from headstart.data.scan import Measured

# What the features and the user's other work need is left alone.
_SHARE_OF_FREE_SPACE = 0.5
_LEFT_FREE_BYTES = 2**30
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# Forked processes share the position of a file: it must not be used. Windows, where it must, forks none.
_HAS_POSITIONED = hasattr(os, "preadv")

_thread = threading.local()


def one_torch_thread() -> None:
    """Keep torch's operations inside this decoding thread: there are as many such threads as cores already.

    It also becomes what threads begin with that are started later; whoever started this one sets that right.
    """
    if not getattr(_thread, "is_one", False):
        torch.set_num_threads(1)
        _thread.is_one = True


class PixelStore:
    """Decoded pictures by the digest of their content; safe to use from several threads.

    It is a keeper for `headstart.data.scan`. What does not fit on the disk is not kept, and decoded again
    when it is needed; once the store is closed nothing is.

    Attributes:
        decoder: how pictures become pixels.
    """

    def __init__(self, preprocessings: Sequence[Preprocessing], *, decoder: Decoder) -> None:
        self.decoder = decoder
        kinds = dict.fromkeys(pixel_kind(each) for each in preprocessings)
        self._kinds: tuple[Preprocessing, ...] = tuple(kinds)
        self._files: list[FileIO] = []
        self._rows: dict[str, int] = {}
        self._num_rows = self._max_rows = 0
        self._lock = threading.Lock()
        self._num_threads = torch.get_num_threads()

    @property
    def num_kinds(self) -> int:
        """How many ways of preparing a picture are kept."""
        return len(self._kinds)

    def __enter__(self) -> "PixelStore":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
        self._kinds, self._files, self._rows = (), [], {}
        torch.set_num_threads(self._num_threads)

    def reserve(self, num_rows: int) -> int:
        """Return the first of so many rows for the pixels of pictures."""
        with self._lock:
            if not self._files and self._kinds:
                self._open()
                if self.decoder == "fast":
                    load_decoders()
            self._num_rows += num_rows
            return self._num_rows - num_rows

    def measure(self, raw: RawPicture, row: int) -> Measured:
        """Decode a picture, and keep its pixels in `row`.

        Raises:
            PictureError: it cannot be read whole.
        """
        one_torch_thread()
        prepared = prepare_picture(raw, self._kinds, decoder=self.decoder)
        is_kept = self._write(row, prepared.pixels)
        return Measured(prepared.width, prepared.height, is_kept=is_kept)

    def register(self, digest: str, row: int) -> None:
        """Remember whose pixels are in a row."""
        self._rows.setdefault(digest, row)

    def prepare(self, raw: RawPicture, digest: str, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
        """Decode a picture, keep its pixels of every kind, and return those that `preprocessing` asks for.

        Raises:
            PictureError: it cannot be read whole.
        """
        kind = pixel_kind(preprocessing)
        kinds = self._kinds if kind in self._kinds else (kind,)
        prepared = prepare_picture(raw, kinds, decoder=self.decoder)
        if kinds is self._kinds and digest not in self._rows:
            row = self.reserve(1)
            if self._write(row, prepared.pixels):
                self.register(digest, row)
        return prepared.pixels[kinds.index(kind)]

    def read(self, digest: str, preprocessing: Preprocessing, out: npt.NDArray[np.uint8]) -> bool:
        """Fill `out`, C-contiguous of shape (H, W, 3), with kept pixels; return whether there are any."""
        kind = pixel_kind(preprocessing)
        row = self._rows.get(digest)
        if row is None or kind not in self._kinds:
            return False
        return self._read_at(self._files[self._kinds.index(kind)], row * out.nbytes, out) == out.nbytes

    def _write(self, row: int, pixels: Sequence[npt.NDArray[np.uint8]]) -> bool:
        """Keep pixels of every kind; return whether there was room."""
        if row >= self._max_rows:
            return False
        try:
            for file, each in zip(self._files, pixels, strict=True):
                self._write_at(file, row * each.nbytes, each)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            self._max_rows = 0
            return False
        return True

    def _write_at(self, file: FileIO, offset: int, pixels: npt.NDArray[np.uint8]) -> None:
        if not _HAS_POSITIONED:
            with self._lock:
                file.seek(offset)
                file.write(pixels.data)
            return
        written = os.pwrite(file.fileno(), pixels.data, offset)
        if written < pixels.nbytes:  # the disk is full
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _read_at(self, file: FileIO, offset: int, out: npt.NDArray[np.uint8]) -> int:
        if _HAS_POSITIONED:
            return os.preadv(file.fileno(), [out.data], offset)
        with self._lock:
            file.seek(offset)
            return file.readinto(out.data)

    def _open(self) -> None:
        folder = pixels_dir()
        with storage_errors(folder, "write"):
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free - _LEFT_FREE_BYTES
            row_bytes = sum(3 * kind.input_size[0] * kind.input_size[1] for kind in self._kinds)
            self._max_rows = max(0, int(free * _SHARE_OF_FREE_SPACE)) // row_bytes
            self._files = [
                # Closed by `__exit__`.
                tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
                for _ in self._kinds
            ]


def pixel_kind(preprocessing: Preprocessing) -> Preprocessing:
    """Return a record that is equal for two preprocessings just when they make the same pixels.

    What comes after the pixels is left out: range, order of the channels, mean and std. The mean counts for
    "pad", which fills up with its colour; the crop fraction for "crop" alone.
    """
    if preprocessing.fit == "pad":
        return replace(preprocessing, crop_fraction=1.0)
    plain = Preprocessing()
    return replace(
        preprocessing,
        crop_fraction=preprocessing.crop_fraction if preprocessing.fit == "crop" else 1.0,
        input_space=plain.input_space,
        input_range=plain.input_range,
        mean=plain.mean,
        std=plain.std,
    )
