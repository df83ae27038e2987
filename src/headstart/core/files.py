"""Writing files so that a reader sees the old content or the new, never a part of it."""

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from headstart.core.errors import HeadstartError, StorageError


@contextmanager
def storage_errors(path: Path, action: str) -> Iterator[None]:
    """Turn the system's OSErrors inside the block into StorageErrors that say what to do.

    Args:
        path: the file or folder that is worked on, for the message.
        action: what is being done, as it stands after "cannot": "write", "read".
    """
    try:
        yield
    except HeadstartError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "free some space ('headstart cache' shows what is kept), then run the same command again"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "choose a place you may write to: --out for results, HEADSTART_HOME for the cache"
        else:
            hint = ""
        reason = error.strerror or str(error)
        raise StorageError(f"cannot {action} {path}: {reason}", hint=hint) from error


@contextmanager
def atomic_path(path: Path, *, is_lasting: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well it takes the place of `path`.

    The folder is made when it is missing. When the block fails, or the process dies, `path` is as before.

    Args:
        path: where the file is to be.
        is_lasting: wait until it would outlast a loss of power: milliseconds. Without that it may be
            damaged then, which is for files that tell whether they are.

    Raises:
        StorageError: `path` is a folder, the disk is full, or the folder may not be written to.
    """
    if path.is_dir():  # said at once, not when all is done
        raise StorageError(f"cannot write {path}: it is a folder", hint="name a file")
    temporary = path.with_name(f".{path.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}.part")
    with storage_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode  # as the user's umask has it; some writers make private files
        try:
            yield temporary
            temporary.chmod(mode)
            if is_lasting:
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def nameless_file(folder: Path) -> IO[bytes]:
    """Return a new file that no name leads to: what it holds is gone when it is closed and mapped no more.

    Raises:
        StorageError: the folder cannot be made or written to.
    """
    with storage_errors(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)


def write_bytes(path: Path, data: bytes, *, is_lasting: bool = True) -> None:
    """Write `data` to `path` as `atomic_path` does. Raises StorageError when that cannot be done."""
    with atomic_path(path, is_lasting=is_lasting) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically. Raises StorageError when that cannot be done."""
    write_bytes(path, text.encode("utf-8"))
