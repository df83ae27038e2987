"""What the original library's example programs used: class names, a resize, a download, average precision."""

import http.client
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from headstart.core.errors import InputError, UnreachableError
from headstart.core.files import atomic_path, storage_errors
from headstart.core.plain_progress import PlainProgress
from headstart.core.progress import SILENT, Progress

__all__ = ["AveragePrecisionMeter", "Warp", "download_url", "load_imagenet_classes"]

_TIMEOUT_SECONDS = 20.0
_CHUNK_BYTES = 1 << 18


def load_imagenet_classes(
    path_synsets: str | PathLike[str] = "data/imagenet_synsets.txt",
    path_classes: str | PathLike[str] = "data/imagenet_classes.txt",
) -> list[str]:
    """Return the classes' names, class i at place i.

    Args:
        path_synsets: a text file with a line "WORDNET_ID NAME" a class, in any order.
        path_classes: a text file with a wordnet id a line, in the order of the network's outputs.

    Raises:
        OSError: a file cannot be read.
        KeyError: an id has no name.
    """
    lines = Path(path_synsets).read_text(encoding="utf-8").splitlines()
    names = {wordnet_id: name for wordnet_id, _, name in (line.strip().partition(" ") for line in lines)}
    classes = Path(path_classes).read_text(encoding="utf-8").splitlines()
    return [names[line.strip()] for line in classes]


class Warp:
    """Resizes a picture to a square, whatever its shape was.

    Args:
        size: the side in pixels.
        interpolation: one of Pillow's resampling filters.
    """

    def __init__(self, size: int, interpolation: int = Image.Resampling.BILINEAR) -> None:
        self.size = int(size)
        self.interpolation = interpolation

    def __call__(self, img: Image.Image) -> Image.Image:
        """Return the picture in size x size pixels."""
        return img.resize((self.size, self.size), Image.Resampling(self.interpolation))

    def __str__(self) -> str:
        return f"{type(self).__name__} (size={self.size}, interpolation={self.interpolation})"


def download_url(url: str, destination: str | PathLike[str] | None = None, progress_bar: bool = True) -> str:
    """Bring what `url` names into a file and return the file's path.

    The file is there whole or not at all. Nothing is checked but its length: weights are fetched and verified
    by the constructors.

    Args:
        url: an address that urllib opens.
        destination: the file's path, an existing file is replaced; None for a new temporary folder.
        progress_bar: say on stderr how far it is.

    Raises:
        UnreachableError: (also an OSError) the address does not answer, or not with the whole file.
        StorageError: (also an OSError) the file cannot be written.
    """
    name = Path(urllib.parse.urlsplit(url).path).name or "download"
    target = Path(tempfile.mkdtemp()) / name if destination is None else Path(destination)
    with atomic_path(target) as part:
        _receive(url, part, name=name, progress=PlainProgress() if progress_bar else SILENT)
    return str(target)


def _receive(url: str, part: Path, *, name: str, progress: Progress) -> None:
    try:
        response = urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreachableError(f"cannot fetch {url}: {error}") from error
    with response, part.open("wb") as file:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        progress.start(f"fetching {name}", total=total, unit="B")
        for chunk in _chunks(response, url):
            with storage_errors(part, "write"):
                file.write(chunk)
            progress.advance(len(chunk))
        if total not in (None, file.tell()):
            raise UnreachableError(f"cannot fetch {url}: it sent {file.tell():,} of {total:,} bytes")


def _chunks(response: Any, url: str) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK_BYTES):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"cannot fetch {url}: {error}") from error


class AveragePrecisionMeter:
    """Collects scores and labels of many classes and gives each class's average precision.

    Average precision is the mean, over a class's positives, of the precision at the positive's rank: the form
    without interpolation, not the one of eleven points that VOC 2007's own table used.

    Args:
        difficult_examples: leave out, class by class, the examples whose label is 0; in VOC these are the
            difficult ones, and -1 marks the negatives. False takes 0 for a negative too.

    Attributes:
        scores: float32 of shape (N, K), of all that was added.
        targets: int64 of shape (N, K); 1 for positives.

    Example:
        >>> import torch
        >>> meter = AveragePrecisionMeter()
        >>> meter.add(torch.tensor([[0.9], [0.8], [0.1]]), torch.tensor([[1], [0], [1]]))
        >>> meter.value()
        tensor([0.8333])
    """

    def __init__(self, difficult_examples: bool = False) -> None:
        self.difficult_examples = difficult_examples
        self.reset()

    def reset(self) -> None:
        """Forget everything that was added."""
        self._scores: list[torch.Tensor] = []
        self._targets: list[torch.Tensor] = []

    @property
    def scores(self) -> torch.Tensor:
        """All scores, float32 of shape (N, K)."""
        return torch.cat(self._scores) if self._scores else torch.empty(0)

    @property
    def targets(self) -> torch.Tensor:
        """All labels, int64 of shape (N, K)."""
        return torch.cat(self._targets) if self._targets else torch.empty(0, dtype=torch.long)

    def add(self, output: Any, target: Any) -> None:
        """Add examples.

        Args:
            output: scores, a tensor or array of shape (N, K), or (N,) for one class; higher is more certain.
            target: labels of the same shape; 1 for positives, see the class for 0.

        Raises:
            InputError: (also a ValueError) the shapes differ from each other or from what was added before.
        """
        scores = torch.as_tensor(output).detach().to("cpu", torch.float32, copy=True)
        labels = torch.as_tensor(target).detach().to("cpu", torch.long, copy=True)
        if scores.dim() not in (1, 2) or scores.shape != labels.shape:
            raise InputError(
                f"scores of shape {tuple(scores.shape)} and labels of shape {tuple(labels.shape)}; "
                "expected both (N, K), or both (N,)"
            )
        scores, labels = scores.reshape(len(scores), -1), labels.reshape(len(labels), -1)
        if self._scores and scores.shape[1] != self._scores[0].shape[1]:
            raise InputError(f"{scores.shape[1]} classes; the examples before had {self._scores[0].shape[1]}")
        self._scores.append(scores)
        self._targets.append(labels)

    def value(self) -> torch.Tensor | int:
        """Return the average precisions, float32 of shape (K,); 0 where nothing was added."""
        if self.scores.numel() == 0:
            return 0
        classes = zip(self.scores.T, self.targets.T, strict=True)
        return torch.tensor([self.average_precision(*pair, self.difficult_examples) for pair in classes])

    @staticmethod
    def average_precision(
        output: torch.Tensor, target: torch.Tensor, difficult_examples: bool = True
    ) -> float:
        """Return one class's average precision in [0, 1]; nan where it has no positives.

        Args:
            output: scores of shape (N,); of equal ones the first counts as higher.
            target: labels of shape (N,).
            difficult_examples: leave out examples whose label is 0.
        """
        ranked = target[output.argsort(descending=True, stable=True)]
        if difficult_examples:
            ranked = ranked[ranked != 0]
        is_positive = ranked == 1
        precision = is_positive.cumsum(0).double() / torch.arange(1, len(ranked) + 1)
        return precision[is_positive].mean().item()
