"""Whether the import name `pretrainedmodels` is ours and whole, told without importing it."""

import csv
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path

import headstart
from headstart.core.drop_in import MENDING, NAME, is_mixed

IN_ORDER = "in order"


def drop_in_findings() -> dict[str, str]:
    """Return what `headstart doctor` says of it: the finding and, if something is wrong, how to mend it."""
    finding = drop_in_state(
        Path(headstart.__file__).parents[1] / NAME,
        found=_found(),
        recorded=_recorded(),
        original=_original(),
    )
    return {"drop-in": finding} | ({} if finding == IN_ORDER else {"drop-in hint": MENDING})


def drop_in_state(ours: Path, *, found: Path | None, recorded: Sequence[Path], original: str) -> str:
    """Return in words what became of our package `pretrainedmodels`.

    Args:
        ours: its folder, beside the package headstart that runs.
        found: the folder or file that `import pretrainedmodels` would take; None where it finds nothing.
        recorded: its files as pip recorded them when it installed headstart; empty for a checkout.
        original: the installed version of the original distribution, "" without one.
    """
    if is_mixed(ours):
        return f"mixed with the original distribution {NAME} {original}".rstrip()
    missing = [path for path in [ours / "__init__.py", *recorded] if not path.exists()]
    if missing:
        return f"files of headstart missing: {len(set(missing))}, such as {missing[0]}"
    if found != ours:
        return f"shadowed by {found}"
    return IN_ORDER


def _found() -> Path | None:
    spec = find_spec(NAME)
    if spec is None or spec.origin is None:  # nothing, or a folder without __init__
        return None
    path = Path(spec.origin)
    return path.parent if path.stem == "__init__" else path


def _recorded() -> list[Path]:
    """Return the recorded files; from the record itself, for `files` leaves out what is missing."""
    try:
        installed = distribution("headstart")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return []
    rows = csv.reader((installed.read_text("RECORD") or "").splitlines())
    return [Path(str(installed.locate_file(row[0]))) for row in rows if row and row[0].startswith(NAME)]


def _original() -> str:
    try:
        return version(NAME)
    except PackageNotFoundError:
        return ""
