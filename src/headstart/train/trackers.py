"""Trackers of experiments, by name: off unless asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from headstart.core.errors import InputError, MissingExtraError

TRACKERS = ("tensorboard", "mlflow", "wandb")
"""Names of the trackers; each is a package of its own."""

_PROJECT = "headstart"  # under which a tracker keeps all runs


class Tracker(Protocol):
    """Somebody who is told about every epoch."""

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Take the figures of an epoch."""
        ...

    def finish(self) -> None:
        """End the run."""
        ...


def check_trackers(names: Sequence[str]) -> None:
    """Raise InputError where there is no tracker of a name."""
    unknown = [name for name in names if name not in TRACKERS]
    if unknown:
        raise InputError(f"there is no tracker {unknown[0]!r}", hint=f"trackers: {', '.join(TRACKERS)}")


def open_trackers(
    names: Sequence[str], folder: Path, *, run: str, settings: Mapping[str, Any]
) -> list[Tracker]:
    """Return trackers that have been told the settings.

    Args:
        names: of `TRACKERS`.
        folder: where those go that write files.
        run: name of the run.
        settings: of the training.

    Raises:
        InputError: there is no such tracker.
        MissingExtraError: Accelerate, or the tracker's own package, is not installed.
    """
    check_trackers(names)
    if not names:
        return []
    try:
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState()
        found = []
        for name in names:
            tracker = LOGGER_TYPE_TO_CLASS[name](**_words(name, folder, run))
            if hasattr(tracker, "start"):
                tracker.start()
            tracker.store_init_configuration(dict(settings))
            found.append(tracker)
    except ImportError as error:
        raise MissingExtraError(
            f"tracking with {', '.join(names)} lacks a package: {error}",
            hint=f"pip install 'headstart[train]' {' '.join(names)}",
        ) from error
    return found


def _words(name: str, folder: Path, run: str) -> dict[str, str]:
    """Return what a tracker is told at its beginning, in its own words."""
    if name == "tensorboard":
        return {"run_name": run, "logging_dir": str(folder)}
    if name == "mlflow":
        return {"experiment_name": _PROJECT, "run_name": run}
    # What Accelerate calls the run's name is wandb's project, in whose name no "/" may be.
    return {"run_name": _PROJECT, "name": run, "dir": str(folder)}
