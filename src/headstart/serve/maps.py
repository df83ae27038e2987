"""The picture as the network saw it, with what it looked at laid over it."""

import io

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from headstart.models import Classifier
from headstart.predict.heat_map import heat_maps, overlay_heat_map
from headstart.preprocess import to_input


def draw_heat_map(classifier: Classifier, pixels: npt.NDArray[np.uint8], label: str | None) -> bytes:
    """Return a PNG of a picture with its heat map.

    Args:
        classifier: must know classes, and be on the processor.
        pixels: of the picture, uint8 of shape (H, W, 3), as `Preprocessing` makes them.
        label: the class whose signs are shown, one of the classifier's; None for the most probable one.

    Raises:
        ModelError: the network has no map of which the heat could be read.
    """
    x = to_input(torch.from_numpy(pixels)[None], classifier.preprocessing)
    if label is None:
        with torch.inference_mode():
            place = int(classifier(x).argmax())
    else:
        place = classifier.class_names.index(label)
    file = io.BytesIO()
    Image.fromarray(overlay_heat_map(pixels, heat_maps(classifier, x, [place])[0])).save(file, "PNG")
    return file.getvalue()
