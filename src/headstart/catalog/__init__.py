"""What exists: one row a model and weight set, from the JSON files of headstart and the user's own.

Answers without torch, timm or pictures, so that ``headstart models`` takes a fraction of a second.
"""

from headstart.catalog.entry import Fit, Interpolation, ModelEntry, Preprocessing, WeightsEntry, WeightsSource
from headstart.catalog.filters import ModelFilter
from headstart.catalog.order import sort_entries
from headstart.catalog.places import WeightsState, fetched_path, is_available, weights_state
from headstart.catalog.search import Expansion, Found, expand, find_model, list_models, search_models

__all__ = [
    "Expansion",
    "Fit",
    "Found",
    "Interpolation",
    "ModelEntry",
    "ModelFilter",
    "Preprocessing",
    "WeightsEntry",
    "WeightsSource",
    "WeightsState",
    "expand",
    "fetched_path",
    "find_model",
    "is_available",
    "list_models",
    "search_models",
    "sort_entries",
    "weights_state",
]
