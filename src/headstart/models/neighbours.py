"""Small copies of training pictures beside a model, and which of them are most like a new picture."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.core.digest import digest_file
from headstart.core.files import write_bytes, write_text
from headstart.core.records import dumps, read_json
from headstart.models.familiarity import Floats, unit_length
from headstart.models.folder import CARD_FILE, NEIGHBOURS_FILE, read_checked
from headstart.models.folder_record import RECORD_FILE

CARD_SECTION = f"""
## Training pictures in this folder

`{NEIGHBOURS_FILE}` holds small copies of training pictures, to show which are most like a new one. Whoever
gets that file sees them. `headstart push` leaves it out; delete it, and the model works all the same.
"""
"""What the card of a folder with training pictures says besides; `push` leaves it out, too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """N training pictures, small, with their features reduced to A numbers.

    Attributes:
        mean: float32 of shape (D,).
        axes: float32 of shape (A, D), orthonormal.
        points: float16 of shape (N, A): features of length 1, less the mean, along the axes.
        labels: int64 of shape (N,), indices into the classifier's `class_names`.
        thumbnails: uint8 of shape (bytes of all,): a JPEG without metadata after the other.
        ends: int64 of shape (N,): where each ends.
    """

    mean: Floats
    axes: Floats
    points: npt.NDArray[np.float16]
    labels: npt.NDArray[np.int64]
    thumbnails: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def nearest(self, features: Floats, *, k: int) -> tuple[npt.NDArray[np.int64], Floats]:
        """Return the training pictures that are most like new ones, the most similar first.

        Args:
            features: float32 of shape (n, D), of the classifier's own network.
            k: how many for each; at most N are returned.

        Returns:
            Their indices, int64 of shape (n, k), and their distances, float32 of shape (n, k), at least 0.
        """
        points = self.points.astype(np.float32)
        new = reduce_features(features, self.mean, self.axes)  # (n, A)
        squares = np.square(new).sum(1)[:, None] + np.square(points).sum(1) - 2 * new @ points.T  # (n, N)
        order = np.argsort(squares, axis=1, kind="stable")[:, :k]
        return order, np.sqrt(np.maximum(np.take_along_axis(squares, order, axis=1), 0))

    def thumbnail(self, index: int) -> bytes:
        """Return one picture as a JPEG."""
        start = int(self.ends[index - 1]) if index else 0
        return self.thumbnails[start : int(self.ends[index])].tobytes()


def reduce_features(features: Floats, mean: Floats, axes: Floats) -> Floats:
    """Return features of shape (N, D), brought to length 1, along axes of shape (A, D): float32 (N, A)."""
    return np.asarray((unit_length(features) - mean) @ axes.T, np.float32)


def save_neighbours(neighbours: Neighbours, folder: Path) -> None:
    """Put training pictures into a model folder; its card says so.

    Raises:
        StorageError: the folder cannot be written, or holds no model.
    """
    from safetensors.numpy import save

    record = read_json(folder / RECORD_FILE)
    names = ("mean", "axes", "points", "labels", "thumbnails", "ends")
    arrays = {name: np.ascontiguousarray(getattr(neighbours, name)) for name in names}
    write_bytes(folder / NEIGHBOURS_FILE, save(arrays))
    card = (folder / CARD_FILE).read_text(encoding="utf-8")
    if CARD_SECTION not in card:
        write_text(folder / CARD_FILE, card + CARD_SECTION)
    record["digests"][NEIGHBOURS_FILE] = digest_file(folder / NEIGHBOURS_FILE)
    write_text(folder / RECORD_FILE, dumps(record))


def load_neighbours(folder: Path) -> Neighbours | None:
    """Return the training pictures in a model folder; None where there are none.

    Raises:
        StorageError: the folder holds no model.
        CorruptWeightsError: the file is not the one that was saved.
    """
    record = read_json(folder / RECORD_FILE)
    if NEIGHBOURS_FILE not in record["digests"] or not (folder / NEIGHBOURS_FILE).is_file():
        return None
    tensors = read_checked(folder / NEIGHBOURS_FILE, record)
    return Neighbours(**{name: tensor.numpy() for name, tensor in tensors.items()})
