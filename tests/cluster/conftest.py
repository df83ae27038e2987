"""Pictures for a cluster, and what one process makes of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cluster_runs import PER_CLASS, embed_words, run_here


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, draw_folder: Callable[..., Path]) -> Path:
    """Three classes; one picture cannot be read."""
    folder = draw_folder(tmp_path_factory.mktemp("data") / "shapes", per_class=PER_CLASS)
    (folder / "disc" / "0003.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def here(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features that one process computes."""
    out = tmp_path_factory.mktemp("here") / "here.npz"
    run_here(*embed_words(pictures, out))
    return out
