"""Small training pictures beside the chosen model: only when asked for, never those of the test part."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.compare import CompareOptions, Comparison, compare
from headstart.core.errors import CorruptWeightsError
from headstart.data import Splits
from headstart.data.dataset import concatenate
from headstart.embed import PlanOptions, embed
from headstart.models import save_folder
from headstart.models.folder import NEIGHBOURS_FILE
from headstart.models.neighbours import load_neighbours
from headstart.models.pushing import PUSHED_FILES

EXACT = PlanOptions(device="cpu", plan="exact")


@pytest.fixture(scope="module")
def kept(
    tiny_models: tuple[str, str], holdout: Splits, tmp_path_factory: pytest.TempPathFactory
) -> Comparison:
    options = CompareOptions(device="cpu", plan="exact", resolutions=(64,))
    folder = tmp_path_factory.mktemp("runs") / "kept"
    plain = compare(tiny_models[:1], holdout, out=folder, options=options)
    assert plain.folder is not None
    assert load_neighbours(plain.folder / "model") is None
    assert not (plain.folder / "model" / NEIGHBOURS_FILE).exists()
    # The same run, finished already: asking for them adds them.
    return compare(tiny_models[:1], holdout, out=folder, options=replace(options, keep_neighbours=True))


def test_the_nearest_training_pictures_are_found(kept: Comparison, holdout: Splits) -> None:
    assert kept.folder is not None
    assert holdout.val is not None
    neighbours = load_neighbours(kept.folder / "model")
    assert neighbours is not None
    trained = concatenate([holdout.train, holdout.val])
    assert len(neighbours) == len(trained)
    assert neighbours.labels.tolist() == trained.labels.tolist()
    classifier = hs.load(str(kept.folder))
    features = embed(classifier, trained.select(range(20)), options=EXACT).features
    indices, distances = neighbours.nearest(features, k=3)
    assert indices.shape == distances.shape == (20, 3)
    assert indices[:, 0].tolist() == list(range(20))  # each is most like itself
    assert (np.diff(distances, axis=1) >= 0).all()
    assert neighbours.nearest(features, k=10**6)[0].shape == (20, len(trained))


def test_they_are_small_jpegs_without_metadata(kept: Comparison, holdout: Splits) -> None:
    assert kept.folder is not None
    neighbours = load_neighbours(kept.folder / "model")
    assert neighbours is not None
    for index in (0, 1, len(neighbours) - 1):
        image = Image.open(io.BytesIO(neighbours.thumbnail(index)))
        assert (image.format, max(image.size)) == ("JPEG", 160)
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert len(neighbours.thumbnails) == neighbours.ends[-1]


def test_the_card_says_so_and_push_leaves_them_out(kept: Comparison) -> None:
    assert kept.folder is not None
    card = (kept.folder / "model" / "README.md").read_text(encoding="utf-8")
    assert card.count("## Training pictures in this folder") == 1
    assert NEIGHBOURS_FILE not in PUSHED_FILES


def test_a_file_that_was_changed_is_refused_and_one_that_is_gone_is_not_missed(
    kept: Comparison, tmp_path: Path
) -> None:
    assert kept.folder is not None
    for path in (kept.folder / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    file = tmp_path / NEIGHBOURS_FILE
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptWeightsError, match="is not the file that was saved"):
        load_neighbours(tmp_path)
    assert hs.load(str(tmp_path)).class_names  # the model itself is whole
    file.unlink()
    assert load_neighbours(tmp_path) is None
    (tmp_path / NEIGHBOURS_FILE).write_bytes(b"of another model")
    save_folder(hs.load(str(kept.folder)), tmp_path)
    assert not file.exists()
    assert NEIGHBOURS_FILE not in json.loads((tmp_path / "headstart.json").read_text())["digests"]
