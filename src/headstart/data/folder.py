"""The files in a folder, at any depth."""

import os
from collections.abc import Iterator
from pathlib import Path

from headstart.core.errors import DataError
from headstart.data.names import is_left_by_system


def walk(root: Path) -> Iterator[str]:
    """Yield the path below `root` of every file in it, with "/" between folders, in no particular order.

    Links to folders are followed, except back into a folder that the link itself lies in. Hidden files and
    what operating systems leave in folders are passed over.

    Raises:
        DataError: a folder cannot be listed.
    """
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while pending:
        below, above = pending.pop()
        folder = os.path.join(root, below)
        try:
            status = os.stat(folder)
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_left_by_system(entry.name):
                        continue
                    if _is_folder(entry):
                        pending.append((f"{below}{entry.name}/", above | {identity}))
                    else:
                        yield below + entry.name
        except OSError as error:
            raise DataError(
                f"cannot list the folder {folder!r}: {error.strerror}",
                hint="make it readable for you, or move it out of the data set",
            ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading it as a picture will say so
        return False
