"""Numbers, names and paths as a reader wants to see them."""

import re

from headstart.core.shown_paths import without_absolute_paths as without_absolute_paths

NBSP = "\u00a0"  # keeps a number and its unit on one line
MINUS = "\u2212"

# Below this width of an interval whole percents would hide it.
_NARROW = 0.02


def percent(value: float, *, digits: int = 1) -> str:
    """Return a share in [0, 1] as a percentage: "95.3 %"."""
    return f"{100 * value:.{digits}f}{NBSP}%"


def percent_span(low: float, high: float) -> str:
    """Return an interval of shares in [0, 1] in percent, without the sign: "94 to 96", "99.2 to 99.8"."""
    digits = 1 if high - low < _NARROW else 0
    return " to ".join(f"{100 * end:.{digits}f}".removesuffix(".0") for end in (low, high))


def points(value: float) -> str:
    """Return a difference of shares in percentage points, without the unit: "1.4", "−0.3"."""
    return f"{100 * value:.1f}".replace("-0.0", "0.0").replace("-", MINUS)


def count(number: int) -> str:
    """Return a number with its thousands set apart: "1,437"."""
    return f"{number:,}"


def parameters(number: int) -> str:
    """Return a number of parameters, shortened: "812 k", "4.7 M", "1.2 B"; "unknown" for 0."""
    if number <= 0:
        return "unknown"
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            scaled = number / size
            return f"{scaled:.{0 if scaled >= 100 else 1}f}{NBSP}{unit}"
    return str(number)


def significant(value: float) -> str:
    """Return a measured positive number to two or three significant digits: "0.42", "8.2", "123"."""
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """Return a time in words: "0.8 s", "41 s", "2 min 5 s", "1 h 12 min"."""
    if seconds < 10:
        return f"{seconds:.1f}{NBSP}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{NBSP}min {whole % 60}{NBSP}s"
    minutes = round(whole / 60)
    return f"{minutes // 60}{NBSP}h {minutes % 60}{NBSP}min"


def when(moment: str) -> str:
    """Return an ISO 8601 time in UTC as "2026-07-01 12:30 UTC"; another form comes back unchanged."""
    found = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", moment)
    return f"{found[1]} {found[2]} UTC" if found else moment


def shorten(text: str, limit: int) -> str:
    """Return `text` with its middle left out where it is longer than `limit` characters (at least 3)."""
    if len(text) <= limit:
        return text
    head = limit // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"
