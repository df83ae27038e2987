"""Whether a host answers at all: asked once, before many files are to be fetched from it."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path

from headstart.catalog.entry import ModelEntry
from headstart.core.errors import WeightsError
from headstart.core.offline import is_offline
from headstart.core.progress import SILENT
from headstart.weights.channel import Channel
from headstart.weights.mirror import mirror_location, source_address

_TIMEOUT_SECONDS = 5.0


def is_reachable(entry: ModelEntry) -> bool:
    """Return whether a mirror or host of a row's weights answers; that it has the file is not asked.

    Raises:
        InputError: ``HEADSTART_MIRROR`` is an address of another kind than http and https.
    """
    return any(_answers(place) for place in _places(entry))


def _places(entry: ModelEntry) -> list[Path | str]:
    remote = [source for source in entry.weights.sources if source.kind in ("url", "hub")]
    mirrors = [place for source in remote if (place := mirror_location(source)) is not None]
    return [*mirrors, *(source_address(source) for source in remote)]


def _answers(place: Path | str) -> bool:
    if isinstance(place, Path):
        return place.is_file()
    if is_offline():
        return False
    request = urllib.request.Request(place, method="HEAD")
    try:
        with Channel(digest_known=True, progress=SILENT).open(request, timeout=_TIMEOUT_SECONDS):
            return True
    except urllib.error.HTTPError:  # an answer too
        return True
    except (OSError, http.client.HTTPException, WeightsError):
        return False
