"""Assembly: from a row of the catalogue, a checkpoint or a saved folder to one `Classifier`.

One adapter a provider builds the network and takes its head off; everything after that is the same for all.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.models.batch_norm import has_batch_norms, reestimate_batch_norms
    from headstart.models.card import CardFacts, CardMetric
    from headstart.models.classifier import Classifier
    from headstart.models.feature_points import FEATURE_POINTS
    from headstart.models.folder import load_folder, read_card, save_folder
    from headstart.models.folder_record import find_model_folder, is_model_folder
    from headstart.models.loading import load
    from headstart.models.pushing import push
    from headstart.models.resolving import resolve

__all__ = [
    "FEATURE_POINTS",
    "CardFacts",
    "CardMetric",
    "Classifier",
    "find_model_folder",
    "has_batch_norms",
    "is_model_folder",
    "load",
    "load_folder",
    "push",
    "read_card",
    "reestimate_batch_norms",
    "resolve",
    "save_folder",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "FEATURE_POINTS": "feature_points",
        "CardFacts": "card",
        "CardMetric": "card",
        "Classifier": "classifier",
        "find_model_folder": "folder_record",
        "has_batch_norms": "batch_norm",
        "is_model_folder": "folder_record",
        "load": "loading",
        "load_folder": "folder",
        "push": "pushing",
        "read_card": "folder",
        "reestimate_batch_norms": "batch_norm",
        "resolve": "resolving",
        "save_folder": "folder",
    },
)
