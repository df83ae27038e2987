"""Thumbnails of a run's folder as data: addresses, so that the report needs no second file."""

import base64
from pathlib import Path

_JPEG_START = b"\xff\xd8\xff"
# A thumbnail is a few kilobytes; what is bigger than this is none.
_MAX_BYTES = 256 * 1024


def picture_address(run_dir: Path | None, thumbnail: str) -> str:
    """Return a thumbnail as a data: address.

    A run's folder may come from somebody else, and the report is passed on: only a JPEG inside the folder is
    taken in, whatever path the record states.

    Args:
        run_dir: the run's folder; None for no pictures.
        thumbnail: path of the JPEG, relative to `run_dir`; "" for none.

    Returns:
        "data:image/jpeg;base64,…"; "" when the file is missing, elsewhere, too big or no JPEG.
    """
    if run_dir is None or not thumbnail:
        return ""
    try:
        folder = run_dir.resolve()
        path = (folder / thumbnail).resolve()
        if not path.is_relative_to(folder) or not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return ""
        data = path.read_bytes()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return ""
    if not data.startswith(_JPEG_START):
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
