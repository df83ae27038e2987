"""What a comparison rests on, written down so that it can be done again."""

import platform
from importlib.metadata import PackageNotFoundError, version

from headstart.compare.evidence import NUM_FOLDS, NUM_REPEATS
from headstart.compare.records import Protocol
from headstart.data import Splits

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
        estimate="nested cross-validation" if splits.test is None else "locked test",
        num_train=len(splits.train),
        num_validation=len(splits.val or splits.train),
        num_test=0 if splits.test is None else len(splits.test),
        num_folds=0 if held_out else min(NUM_FOLDS, int(splits.train.class_counts().min())),
        num_repeats=0 if held_out else NUM_REPEATS,
        given_splits=splits.given_test,
        seed=splits.seed,
    )
