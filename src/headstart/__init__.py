"""headstart: finds, trains and proves the best pretrained image classifier for your own pictures.

>>> import headstart as hs
>>> [entry.architecture for entry in hs.list_models("starter/*")]
['efficientnet_lite0', 'efficientnet_lite1', 'efficientnet_lite2']
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.audit import audit
    from headstart.catalog import list_models
    from headstart.compare import compare
    from headstart.core.errors import HeadstartError
    from headstart.data import ImageDataset, open_dataset
    from headstart.embed import embed
    from headstart.evaluate import evaluate
    from headstart.export import export
    from headstart.models import Classifier, load
    from headstart.predict import predict
    from headstart.report import write_report
    from headstart.train import LinearProbe, fine_tune

__version__ = "0.1.0"

# Where each public name lives; nothing is imported before it is asked for, torch least of all.
_HOMES = {
    "Classifier": "headstart.models",
    "HeadstartError": "headstart.core.errors",
    "ImageDataset": "headstart.data",
    "LinearProbe": "headstart.train",
    "audit": "headstart.audit",
    "compare": "headstart.compare",
    "embed": "headstart.embed",
    "evaluate": "headstart.evaluate",
    "export": "headstart.export",
    "fine_tune": "headstart.train",
    "list_models": "headstart.catalog",
    "load": "headstart.models",
    "open_dataset": "headstart.data",
    "predict": "headstart.predict",
    "write_report": "headstart.report",
}

__all__ = [
    "Classifier",
    "HeadstartError",
    "ImageDataset",
    "LinearProbe",
    "audit",
    "compare",
    "embed",
    "evaluate",
    "export",
    "fine_tune",
    "list_models",
    "load",
    "open_dataset",
    "predict",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__version__"]


# Six functions bear the names of their rooms. Python sets a package's attribute when it first imports a
# part of it, once: so the rooms are imported here (they are light), and the attributes left to the functions.
for _room in ("audit", "compare", "embed", "evaluate", "export", "predict"):
    importlib.import_module(f"headstart.{_room}")
    globals().pop(_room)
