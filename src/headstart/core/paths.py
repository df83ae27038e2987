"""Where headstart keeps things between runs.

``HEADSTART_HOME`` names the folder; without it, it is the platform's cache folder for headstart.
"""

import os
from functools import cache
from pathlib import Path

HOME_VARIABLE = "HEADSTART_HOME"

MODEL_FOLDER = "model"
"""Of a run: the folder of its trained model."""


def home() -> Path:
    """Return the folder of everything that headstart keeps between runs; it need not exist yet."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser() if chosen else _usual_home()


@cache  # `headstart models` asks where each of its two thousand rows lies
def _usual_home() -> Path:
    import platformdirs  # only where the variable is not set: it costs the start of every command

    return Path(platformdirs.user_cache_dir("headstart", appauthor=False))


def weights_dir() -> Path:
    """Return the folder of fetched weights files."""
    return home() / "weights"


def conversions_dir() -> Path:
    """Return the folder of weights files that were converted to safetensors."""
    # No folder of fetched files has this name: see `headstart.catalog.places.fetched_path`.
    return weights_dir() / "@converted"


def embeddings_dir() -> Path:
    """Return the folder of the embedding cache."""
    return home() / "embeddings"


def pixels_dir() -> Path:
    """Return the folder of decoded pixels, which live as long as the run that made them."""
    return home() / "pixels"


def plans_dir() -> Path:
    """Return the folder of what was measured of networks on this machine."""
    return home() / "plans"


def datasets_dir() -> Path:
    """Return the folder that torchvision's data sets are downloaded to."""
    return home() / "datasets"


def cluster_dir() -> Path:
    """Return the folder of what is known of a cluster on this machine."""
    return home() / "cluster"
