import errno
import os
from pathlib import Path

import pytest

from headstart.core.errors import StorageError
from headstart.core.files import atomic_path, write_text


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_text(path, "old")

    def fail_halfway() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["record.json"]


def test_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "ü")
    assert (tmp_path / "a" / "b" / "c.txt").read_text(encoding="utf-8") == "ü"


def test_a_full_disk_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No space left") as caught, atomic_path(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "free some space" in caught.value.hint
    assert os.listdir(tmp_path) == []


def test_an_unwritable_place_names_the_options(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_text(tmp_path / "file" / "below", "x")
    with pytest.raises(StorageError) as caught, atomic_path(tmp_path / "x"):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    assert "--out" in caught.value.hint
