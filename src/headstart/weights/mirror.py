"""Which addresses a weights file is asked for at: the user's mirror first, then the row's own sources.

``HEADSTART_MIRROR`` is a folder or an http(s) address. The file of a "url" source is looked for in it by its
own name, ``<mirror>/resnet50-0676ba61.pth``, that of a "hub" source by repository and name,
``<mirror>/timm/resnet50.a1_in1k/model.safetensors``. ``HEADSTART_OFFLINE=1`` forbids every request.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from headstart.catalog.entry import WeightsSource
from headstart.core.errors import InputError

MIRROR_VARIABLE = "HEADSTART_MIRROR"
HUB_ENDPOINT_VARIABLE = "HF_ENDPOINT"


def name_in_mirror(source: WeightsSource) -> str:
    """Return where below a mirror the file of a "url" or "hub" source lies, with "/" between folders."""
    if source.kind == "hub":
        return f"{source.location}/{source.filename}"
    return unquote(urlsplit(source.location).path).rpartition("/")[2]


def mirror_location(source: WeightsSource) -> Path | str | None:
    """Return the path or address of a source's file in the user's mirror, None where there is no mirror.

    Raises:
        InputError: ``HEADSTART_MIRROR`` is an address of another kind than http and https.
    """
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    if not mirror:
        return None
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", mirror)
    if scheme is None:
        return Path(mirror).expanduser() / name_in_mirror(source)
    if scheme.group(1).lower() not in ("http", "https"):
        raise InputError(
            f"{MIRROR_VARIABLE} is {mirror!r}; expected a folder, or an address that begins with https:// or http://"
        )
    return f"{mirror.rstrip('/')}/{quote(name_in_mirror(source))}"


def source_address(source: WeightsSource) -> str:
    """Return the address of a "url" or "hub" source."""
    if source.kind == "url":
        return source.location
    from huggingface_hub import hf_hub_url  # late: it costs a tenth of a second

    endpoint = os.environ.get(HUB_ENDPOINT_VARIABLE) or None
    return hf_hub_url(source.location, source.filename, endpoint=endpoint)
