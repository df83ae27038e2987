"""From a row of the catalogue to verified bytes on disk, and from those to tensors.

`fetch` finds the file here or brings it: resumed, locked against a second process, checked by size and
digest, and only then put in its place. `read_tensors` reads tensors and nothing else.
"""

from typing import TYPE_CHECKING, Any

from headstart.catalog.places import WeightsState, weights_state
from headstart.core.offline import OFFLINE_VARIABLE
from headstart.weights.mirror import MIRROR_VARIABLE
from headstart.weights.weights_file import WeightsFile, fetch

if TYPE_CHECKING:
    from headstart.weights.tensors import read_tensors

__all__ = [
    "MIRROR_VARIABLE",
    "OFFLINE_VARIABLE",
    "WeightsFile",
    "WeightsState",
    "fetch",
    "read_tensors",
    "weights_state",
]


def __getattr__(name: str) -> Any:
    if name == "read_tensors":  # it needs torch, which the rest of the room does not
        from headstart.weights.tensors import read_tensors

        return read_tensors
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
