"""What a comparison rests on, written down so that it can be done again."""

import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from headstart.catalog.entry import ModelEntry
from headstart.catalog.side_by_side import SIGN
from headstart.compare.candidates import Candidate
from headstart.compare.heads import NUM_REPEATS, count_folds
from headstart.compare.records import CompareOptions, Protocol
from headstart.core.digest import digest_file, digest_json
from headstart.core.files import storage_errors
from headstart.core.records import to_json
from headstart.data import ImageDataset, Splits
from headstart.data.partition import repeated_contents

_PACKAGES = ("headstart", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow")


def list_versions() -> dict[str, str]:
    """Return the version of Python and of every package that decides a figure."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            versions[package] = "not installed"
    return versions


def describe_protocol(splits: Splits) -> Protocol:
    """Return how evidence is gathered from these splits."""
    held_out = splits.val is not None
    return Protocol(
        selection="holdout" if held_out else "cross-validation",
        estimate=_estimate(splits),
        num_train=len(splits.train),
        num_validation=len(splits.val or splits.train),
        num_test=0 if splits.test is None else len(splits.test),
        num_folds=0 if held_out else count_folds(splits.train),
        num_repeats=0 if held_out else NUM_REPEATS,
        given_splits=splits.given_test,
        seed=splits.seed,
    )


def _estimate(splits: Splits) -> str:
    if splits.test is not None:
        return "locked test"
    return "nested cross-validation" if splits.val is None else "validation"


def list_settings(
    candidates: Sequence[Candidate], splits: Splits, reference: str, options: CompareOptions
) -> dict[str, Any]:
    """Return everything that decides the result; where the run lies and how it was called do not."""
    decisive = replace(
        options, command="", audit="quick", max_unreadable=0.0, keep_weights=True, reference=reference
    )
    choices = to_json(decisive)
    del choices["keep_neighbours"]  # what is kept beside the model decides nothing
    return {
        "pictures": fingerprint(splits),
        "candidates": [each.name for each in candidates],
        "weights": [SIGN.join(map(_weights_digest, each.entry.singles)) for each in candidates],
        **choices,
    }


def fingerprint(splits: Splits) -> str:
    """Return the sha256 of all that decides a result about the pictures: which are in which part."""
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    return digest_json({name: part and part.fingerprint for name, part in parts.items()})


def count_duplicates(dataset: ImageDataset) -> int:
    """Return how many pictures have a content that occurs more than once."""
    return sum(map(len, repeated_contents(dataset)))


def _weights_digest(entry: ModelEntry) -> str:
    """Return the digest that names a row's weights, "" where its address does.

    A file of the user's own may hold other weights the next time; then that is another run.
    """
    source = entry.weights.sources[0]
    path = Path(source.location)
    if source.sha256 or source.kind != "file" or not path.is_file():
        return source.sha256
    with storage_errors(path, "read"):
        return digest_file(path)
