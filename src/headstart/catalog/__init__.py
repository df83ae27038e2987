"""What exists: one row a model and weight set, from the JSON files of headstart and the user's own.

Answers without torch, timm or pictures, so that ``headstart models`` takes a fraction of a second.
"""

from headstart.catalog.entry import Fit, Interpolation, ModelEntry, Preprocessing, WeightsEntry, WeightsSource
from headstart.catalog.places import WeightsState, fetched_path, weights_state
from headstart.catalog.search import Expansion, expand, find_model, list_models

__all__ = [
    "Expansion",
    "Fit",
    "Interpolation",
    "ModelEntry",
    "Preprocessing",
    "WeightsEntry",
    "WeightsSource",
    "WeightsState",
    "expand",
    "fetched_path",
    "find_model",
    "list_models",
    "weights_state",
]
