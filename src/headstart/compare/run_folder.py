"""The folder of a run: everything that a comparison leaves, and what lets a killed one go on.

::

    settings.json           what the run is of; its digest decides whether a run may go on here
    candidates/<n>-….json   evidence of one candidate, complete once the file is there
    candidates/<n>-….safetensors   its probabilities
    comparison.json         the result, once all is done
    model/                  the chosen model, trained
    thumbnails/             small pictures for the report: mistakes and their heat maps, near ties, doubted
                            labels, pictures that show the same
    tuned/<digest>/         a fine-tuned candidate: its model folder; tuning.jsonl, a line an epoch;
                            augmented.jpg, pictures as they were trained on; its checkpoint while it trains
    run.log                 decisions, with the time
    progress.json           what the first start found, measured and planned, so that a later one goes on so;
                            and where the pictures lie, which nothing says that is passed on
"""

import datetime
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.compare.records import Comparison
from headstart.core.digest import digest_json
from headstart.core.errors import InputError, RunMismatchError, StorageError
from headstart.core.files import storage_errors, write_bytes, write_text
from headstart.core.formats import RUN_FORMAT, check_format
from headstart.core.records import dumps, from_json, read_json, to_json

COMPARISON_FILE = "comparison.json"
SETTINGS_FILE = "settings.json"
PROGRESS_FILE = "progress.json"
THUMBNAILS = "thumbnails"
_LOCATION = "pictures_location"

# What a run that was killed right after its start leaves: the lock and the settings' temporary file.
_FIRST_FILES = (".lock", f".{SETTINGS_FILE}.")


class RunFolder:
    """A run's folder, held by one process at a time."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.digest = digest_json(to_json(settings))
        self._settings = to_json(settings)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other processes out, and refuse a folder that holds something else.

        Raises:
            InputError: another process works in the folder.
            RunMismatchError: it holds a run with other settings, or files that are no run.
            StorageError: it cannot be written.
        """
        from filelock import FileLock, Timeout

        with storage_errors(self.path, "write"):
            self.path.mkdir(parents=True, exist_ok=True)
            self._check()
            lock = FileLock(self.path / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise InputError(
                    f"another process is working in {self.path}", hint="wait for it, or choose another --out"
                ) from error
        try:
            self._check()  # again: another process may have begun and ended a run since
            if not (self.path / SETTINGS_FILE).is_file():
                write_text(self.path / SETTINGS_FILE, dumps(self._record()))
            yield
        finally:
            lock.release()

    def log(self, text: str) -> None:
        """Add a line to the run's log."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        with storage_errors(self.path, "write"), (self.path / "run.log").open("a", encoding="utf-8") as file:
            file.write(f"{now} {text}\n")

    def save_piece(
        self, name: str, record: dict[str, Any], arrays: dict[str, npt.NDArray[np.float32]]
    ) -> None:
        """Keep one candidate's evidence; the record is written last, so it is there only when all is."""
        from safetensors.numpy import save

        base = self._piece(name)
        contiguous = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        # safetensors' own writing hides that a disk is full.
        write_bytes(base.with_suffix(".safetensors"), save(contiguous))
        write_text(base.with_suffix(".json"), dumps(record))

    def load_piece(self, name: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]] | None:
        """Return a candidate's evidence, None where there is none that is whole."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        base = self._piece(name)
        if not base.with_suffix(".json").is_file():
            return None
        try:
            return dict(read_json(base.with_suffix(".json"))), load_file(base.with_suffix(".safetensors"))
        except (OSError, SafetensorError, ValueError):
            return None

    def note_once(self, key: str, value: Any) -> Any:
        """Return what an earlier start of the run kept under `key`; keep `value` where none did."""
        kept = self.load_progress()
        if key not in kept:
            self.save_progress({**kept, key: value})
        return kept.get(key, value)

    def note_location(self, location: str) -> None:
        """Keep where the pictures lie, for whoever needs them again."""
        whole = os.path.abspath(location) if os.path.exists(location) else location
        kept = self.load_progress()
        if kept.get(_LOCATION) != whole:
            self.save_progress({**kept, _LOCATION: whole})

    def save_progress(self, record: dict[str, Any]) -> None:
        """Keep what was found, measured and planned."""
        write_text(self.path / PROGRESS_FILE, dumps(record))

    def load_progress(self) -> dict[str, Any]:
        """Return what an earlier start found, measured and planned, {} where nothing was kept."""
        return _load_progress(self.path)

    def save(self, comparison: Comparison) -> Comparison:
        """Write the result; return it with its folder."""
        record = {"format": RUN_FORMAT, **to_json(replace(comparison, folder=None))}
        write_text(self.path / COMPARISON_FILE, dumps(record))
        return replace(comparison, folder=self.path)

    def _record(self) -> dict[str, Any]:
        return {"format": RUN_FORMAT, "digest": self.digest, "settings": self._settings}

    def _check(self) -> None:
        settings = self.path / SETTINGS_FILE
        if settings.is_file():
            found = read_json(settings)
            if not isinstance(found, dict) or "settings" not in found:
                raise self._foreign()
            check_format(found.get("format"), RUN_FORMAT, str(self.path))
            if found.get("digest") != self.digest:
                differing = ", ".join(sorted(_differences(found["settings"], self._settings)))
                raise RunMismatchError(
                    f"{self.path} holds a run with other settings (different: {differing})",
                    hint="choose another folder with --out, or delete this one",
                )
        elif any(not entry.name.startswith(_FIRST_FILES) for entry in self.path.iterdir()):
            raise self._foreign()

    def _foreign(self) -> RunMismatchError:
        return RunMismatchError(
            f"{self.path} is not empty and is not a run of headstart",
            hint="choose a new or empty folder with --out",
        )

    def _piece(self, name: str) -> Path:
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[-80:]
        return self.path / "candidates" / f"{slug}-{digest_json(name)[:8]}.piece"


def pictures_location(path: Path) -> str:
    """Return where the pictures of the run in a folder lay, "" where it does not say."""
    return str(_load_progress(path).get(_LOCATION, ""))


def _load_progress(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path / PROGRESS_FILE))
    except (StorageError, TypeError, ValueError):
        return {}


def load_comparison(path: Path | str) -> Comparison:
    """Return the comparison in a run's folder.

    Raises:
        StorageError: there is none, it is not complete, or it was written in another format.
    """
    path = Path(path)
    file = path / COMPARISON_FILE
    if not file.is_file():
        unfinished = (path / SETTINGS_FILE).is_file()
        raise StorageError(
            f"{path} holds {'an unfinished' if unfinished else 'no'} comparison",
            hint="run the same 'headstart compare' command again to finish it"
            if unfinished
            else "give the folder that 'headstart compare' named at its end",
        )
    record = read_json(file)
    check_format(record.get("format"), RUN_FORMAT, str(file))
    return replace(from_json(Comparison, record), folder=path)


def _differences(first: dict[str, Any], second: dict[str, Any]) -> set[str]:
    return {key for key in {*first, *second} if first.get(key) != second.get(key)}
