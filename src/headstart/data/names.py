"""Which names in a folder or zip are pictures, which are nothing, and how a name becomes an id."""

import posixpath

# fmt: off
PICTURE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".heic", ".heif", ".hif", ".avif",
})
# fmt: on
"""In lower case. A file with one of these is a picture, or is excluded with the reason why it is none."""
_LEFT_BY_SYSTEMS = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir"})


def is_picture_name(name: str) -> bool:
    """Whether a file is a picture by its suffix."""
    return posixpath.splitext(name)[1].lower() in PICTURE_SUFFIXES


def is_left_by_system(part: str) -> bool:
    """Whether one part of a path is hidden, or something that an operating system leaves in folders."""
    return part.startswith(".") or part.lower() in _LEFT_BY_SYSTEMS


def printable(name: str) -> str:
    r"""Return a name that any UTF-8 file can hold: bytes that are no UTF-8 appear as "\udc80" spelled out."""
    return name if name.isascii() else name.encode("utf-8", errors="backslashreplace").decode("utf-8")
