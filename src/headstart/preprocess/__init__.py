"""From a picture to a network's input, by the preprocessing record that came with the weights.

Two steps with a narrow seam: `to_pixels` (Pillow, one picture, uint8) runs beside the network in decoding
threads; `to_input` (torch, a whole batch) runs where the network runs. `describe` says it all in words.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.preprocess.pixels import to_pixels, with_resolution
    from headstart.preprocess.tensors import to_input
    from headstart.preprocess.words import describe

__all__ = [
    "describe",
    "to_input",
    "to_pixels",
    "with_resolution",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "describe": "words",
        "to_input": "tensors",
        "to_pixels": "pixels",
        "with_resolution": "pixels",
    },
)
