"""Assembly: from a row of the catalogue, a checkpoint or a saved folder to one `Classifier`.

One adapter a provider builds the network and takes its head off; everything after that is the same for all.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.models.classifier import Classifier
    from headstart.models.folder import is_model_folder, load_folder, save_folder
    from headstart.models.loading import load, resolve

__all__ = [
    "Classifier",
    "is_model_folder",
    "load",
    "load_folder",
    "resolve",
    "save_folder",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Classifier": "classifier",
        "is_model_folder": "folder",
        "load": "loading",
        "load_folder": "folder",
        "resolve": "loading",
        "save_folder": "folder",
    },
)
