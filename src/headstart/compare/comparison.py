"""`compare`: the main job, from candidates and pictures to a ranking, a trained model and its record."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.catalog.entry import ModelEntry
from headstart.compare.budget import Purse, parse_budget, tuning_seconds
from headstart.compare.candidates import find_entries, list_candidates, name_reference, plan_options
from headstart.compare.pictures import all_pictures, list_parts, open_store, prepare_splits
from headstart.compare.records import CompareOptions, Comparison
from headstart.core.errors import InputError
from headstart.core.lazy import import_quickly
from headstart.core.progress import SILENT, Progress
from headstart.core.runner import Runner, SerialRunner
from headstart.data import ImageDataset, Splits
from headstart.data.split import Sample
from headstart.embed import require_device
from headstart.train.trackers import check_trackers

_MAX_KINDS = 3  # of pixels that a race keeps for every picture, one of them the small ones


def compare(
    models: Sequence[ModelEntry | str],
    pictures: Splits | ImageDataset | Sample,
    *,
    budget: str = "",
    out: Path | str | None = None,
    options: CompareOptions = CompareOptions(),
    progress: Progress = SILENT,
    runner: Runner = SerialRunner(),
) -> Comparison:
    """Rank models on somebody's pictures, choose one, train it, and say how good it is.

    Args:
        models: rows of the catalogue, names or patterns; those with the same tensors run once.
        pictures: splits, or a data set or sample that is split with the seed of `options`. What was not
            scanned yet is read first: unreadable pictures are left out, and duplicates across the parts.
        budget: in place of that of `options`: "10m", "2h", "50000images".
        out: the run's folder; None is "headstart-runs/NAME". A run that was killed goes on where it stopped.
        options: resolutions, fit, device, precision, reference, budget, seed.
        progress: told about everything that takes time, and about every decision.
        runner: who reads the pictures and runs the networks on them.

    Returns:
        The comparison, as it is saved in the run's folder with the trained model.

    Raises:
        UnknownModelError: a name is not in the catalogue.
        DataError: the pictures cannot be used.
        InputError: an option cannot be used, or the folder holds another run.
        StorageError: the folder or the cache cannot be written.
        Stopped: Ctrl-C; it holds the ranking so far.
    """
    options = replace(options, budget=budget or options.budget)
    _check(options)
    if runner.is_local:
        require_device(plan_options(options))
    purse = Purse(parse_budget(options.budget)) if options.budget else None
    found = find_entries(models)
    candidates = list_candidates(found.entries, options)
    reference = name_reference(candidates, options.reference)
    if options.reference and not reference:
        raise InputError(
            f"the reference {options.reference!r} is not among the candidates",
            hint=f"candidates: {', '.join(each.name for each in candidates)}",
        )
    with open_store(candidates, all_pictures(pictures), options) as store:
        # Few candidates of a race see all pictures: pixels in many ways are made when they are wanted.
        keeper = None if purse is not None and store.num_kinds > _MAX_KINDS else store
        started = time.perf_counter()
        splits = prepare_splits(
            pictures,
            seed=options.seed,
            max_unreadable=options.max_unreadable,
            keeper=keeper,
            runner=runner,
            # Where the reading is timed it has the processor for itself.
            meanwhile=_load_the_rest if keeper else None,
            progress=progress,
        )
        num_pictures = sum(map(len, list_parts(splits)))
        from headstart.compare.run import run_on  # see `_load_the_rest`

        return run_on(
            splits,
            candidates,
            notes=found.notes,
            reference=reference,
            purse=purse,
            out=out,
            options=options,
            store=store,
            decode_seconds=0.0 if keeper else (time.perf_counter() - started) / num_pictures,
            runner=runner,
            progress=progress,
        )


def _load_the_rest() -> None:
    """Import what is needed from here on: it takes seconds, in which the pictures are read by others."""
    import_quickly("headstart.compare.run")


def _check(options: CompareOptions) -> None:
    """Raise InputError where an option names nothing, or two contradict each other."""
    plan_options(options)
    if not options.resolutions:
        raise InputError("no resolution was given", hint="give sides in pixels, 'native' or 'auto'")
    for name in ("fits", "feature_points", "batch_norms"):
        if not getattr(options, name):
            raise InputError(f"no value was given for {name}", hint="leave it out for the usual one")
    if options.tuning is not None:  # told before pictures are read, which may take long
        options.tuning.recipe_for(np.ones(2, np.int64))
        tuning_seconds(options.tuning, None, num_left=1)
        check_trackers(options.tuning.trackers)
