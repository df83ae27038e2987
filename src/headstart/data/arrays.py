"""Pictures that are in memory already."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.core.errors import InputError
from headstart.data.dataset import ImageDataset
from headstart.data.sources import ArraySource

if TYPE_CHECKING:
    from PIL import Image

Pictures: TypeAlias = "npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8] | Image.Image]"
_EXPECTED = "give uint8 of shape (H, W) for grey or (H, W, 3) for RGB, or PIL images"


def dataset_from_arrays(
    images: Pictures,
    labels: Sequence[int] | Sequence[str] | npt.NDArray[np.int64],
    *,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
) -> ImageDataset:
    """Make a data set of pictures in memory.

    Args:
        images: uint8 of shape (N, H, W) grey or (N, H, W, 3) RGB with values from 0 to 255; or N arrays of
            shape (H, W) or (H, W, 3), of several sizes; or N PIL images of any mode.
        labels: N class names, or N indices into `class_names`. Without `class_names`, the classes are the
            different labels in ascending order.
        class_names: K names, in the order of the labels.
        name: of the data set; picture i has the id "NAME/00000i".

    Returns:
        The data set; the arrays are not copied.

    Raises:
        InputError: numbers of pictures and labels differ, or one of them is not as said above.
    """
    if len(images) != len(labels):
        raise InputError(f"{len(images)} pictures, but {len(labels)} labels", hint="give one label a picture")
    if len(images) == 0:
        raise InputError("there are no pictures", hint=_EXPECTED)
    numbers, names = _classes(list(np.asarray(labels).tolist()), class_names)
    ids = tuple(f"{name}/{index:06d}" for index in range(len(images)))
    pictures = {each: _pixels(images[index], index) for index, each in enumerate(ids)}
    return ImageDataset(
        name=name,
        location=name,
        ids=ids,
        labels=numbers,
        class_names=names,
        source=ArraySource(pictures=pictures),
    )


def _classes(
    labels: list[int] | list[str], class_names: Sequence[str] | None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """int64 of shape (N,), and K names."""
    if any(isinstance(label, bool) or not isinstance(label, (int, str)) for label in labels):
        raise InputError("labels must be whole numbers or texts", hint="give one label a picture")
    if class_names is None:
        found: list[int | str] = sorted(set(labels), key=_order)
        names = tuple(str(label) for label in found)
        places: dict[int | str, int] = {label: number for number, label in enumerate(found)}
    else:
        names = tuple(class_names)
        places = {label: number for number, label in enumerate(names)}
        places.update({number: number for number in range(len(names))})
    unknown = [label for label in labels if label not in places]
    if unknown:
        raise InputError(
            f"the label {unknown[0]!r} is none of the {len(names)} classes",
            hint="labels are names out of class_names, or numbers from 0 to below their count",
        )
    return np.array([places[label] for label in labels], dtype=np.int64), names


def _order(label: int | str) -> tuple[int, str]:
    """Numbers by their value; `np.asarray` has made all labels texts where one is."""
    return (label, "") if isinstance(label, int) else (0, label)


def _pixels(image: object, index: int) -> npt.NDArray[np.uint8]:
    """uint8 of shape (H, W) or (H, W, 3)."""
    if not isinstance(image, np.ndarray):
        from PIL import Image

        if not isinstance(image, Image.Image):
            raise InputError(f"picture {index} is a {type(image).__name__}", hint=_EXPECTED)
        from headstart.data.colour import to_srgb

        return np.asarray(to_srgb(image))
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    right_shape = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not right_shape or image.size == 0:
        raise InputError(f"picture {index} is {image.dtype} of shape {image.shape}", hint=_EXPECTED)
    return image
