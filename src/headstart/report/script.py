"""The report's own script and the library that draws its plots, with the digests that alone let them run."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from markupsafe import Markup

_PARTS = ("uplot.js", "report.js")


@cache
def scripts() -> tuple[Markup, ...]:
    """Return the scripts' text, as it stands between the tags."""
    folder = files("headstart.report") / "templates"
    return tuple(Markup((folder / part).read_text(encoding="utf-8")) for part in _PARTS)


@cache
def script_sources() -> str:
    """Return what a content security policy lists so that these scripts run and no others."""
    digests = (hashlib.sha256(text.encode()).digest() for text in scripts())
    return " ".join(f"'sha256-{base64.b64encode(each).decode('ascii')}'" for each in digests)
