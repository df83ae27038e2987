"""From a row of the catalogue to verified bytes on disk, and from those to tensors.

`fetch` finds the file here or brings it: resumed, locked against a second process, checked by size and
digest, and only then put in its place. `fetched_tensors` reads the tensors of such a file and nothing else of
it, `read_tensors` those of a user's own. `write_bundle` and `read_bundle` carry files to a machine without a
network.
"""

from typing import TYPE_CHECKING

from headstart.catalog.places import WeightsState, weights_state
from headstart.core.lazy import lazy_attributes
from headstart.core.offline import OFFLINE_VARIABLE
from headstart.weights.disposal import discard_fetched
from headstart.weights.local_file import WeightsFile
from headstart.weights.mirror import MIRROR_VARIABLE
from headstart.weights.reach import is_reachable
from headstart.weights.weights_file import fetch

if TYPE_CHECKING:
    from headstart.weights.bundle import LoadedWeights, read_bundle, write_bundle
    from headstart.weights.convert import fetched_tensors
    from headstart.weights.manifest import BundledWeights
    from headstart.weights.tensors import read_tensors

__all__ = [
    "MIRROR_VARIABLE",
    "OFFLINE_VARIABLE",
    "BundledWeights",
    "LoadedWeights",
    "WeightsFile",
    "WeightsState",
    "discard_fetched",
    "fetch",
    "fetched_tensors",
    "is_reachable",
    "read_bundle",
    "read_tensors",
    "weights_state",
    "write_bundle",
]

# Reading tensors needs torch, which the rest of the room does not.
__getattr__ = lazy_attributes(
    __name__,
    {
        "BundledWeights": "manifest",
        "LoadedWeights": "bundle",
        "fetched_tensors": "convert",
        "read_bundle": "bundle",
        "read_tensors": "tensors",
        "write_bundle": "bundle",
    },
)
