"""The files in a folder, at any depth."""

import os
from collections.abc import Iterator
from pathlib import Path

from headstart.core.errors import DataError
from headstart.data.names import is_left_by_system

Place = tuple[int, int]


def walk(root: Path) -> Iterator[str]:
    """Yield the path below `root` of every file in it, with "/" between folders, ascending.

    One folder after the other is listed, and its names alone are held in memory. Links to folders are
    followed, except back into a folder that the link itself lies in. Hidden files and what operating systems
    leave in folders are passed over.

    Raises:
        DataError: a folder cannot be listed.
    """
    folders = [_listed(root, "", frozenset())]
    while folders:
        found = next(folders[-1], None)
        if found is None:
            folders.pop()
        elif found[0].endswith("/"):
            folders.append(_listed(root, *found))
        else:
            yield found[0]


def _listed(root: Path, below: str, above: frozenset[Place]) -> Iterator[tuple[str, frozenset[Place]]]:
    """Return what lies in a folder, ascending: paths below `root`, and the places of the folders around.

    A folder's own path ends in "/", as it does in those of its files, so that these ascend as well.
    """
    folder = os.path.join(root, below)
    try:
        status = os.stat(folder)
        place = (status.st_dev, status.st_ino)
        if place in above:
            return iter(())
        with os.scandir(folder) as entries:
            names = [
                f"{entry.name}/" if _is_folder(entry) else entry.name
                for entry in entries
                if not is_left_by_system(entry.name)
            ]
    except OSError as error:
        raise DataError(
            f"cannot list the folder {folder!r}: {error.strerror}",
            hint="make it readable for you, or move it out of the data set",
        ) from error
    return ((below + name, above | {place}) for name in sorted(names))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading it as a picture will say so
        return False
