"""A runner that is not here gets copies of everything: what comes out is what one process computes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from copying_runner import CopyingRunner
from counting import count_decodes

from headstart.catalog import find_model
from headstart.compare import compare
from headstart.compare.records import CompareOptions, Comparison
from headstart.core.errors import DataError
from headstart.core.runner import Runner, SerialRunner
from headstart.data import open_dataset
from headstart.data.scan import scan
from headstart.embed import choose_resolution, embed, embed_all, embedder, fitting_groups, sample_sides
from headstart.embed.check import smallest_cosine
from headstart.models import Classifier, load, save_folder
from headstart.predict import predict
from headstart.train import LinearProbe
from headstart.train.folding import fold_probe


@pytest.fixture(scope="module")
def tiny(tiny_models: tuple[str, str]) -> Classifier:
    return load(tiny_models[0])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, draw_folder: Callable[..., Path]) -> Path:
    """900 pictures, of which one cannot be read and two are the same."""
    folder = draw_folder(tmp_path_factory.mktemp("data") / "pieces", per_class=300)
    (folder / "disc" / "0003.png").write_bytes(b"no picture")
    (folder / "disc" / "0005.png").write_bytes((folder / "disc" / "0004.png").read_bytes())
    return folder


def test_features_are_those_of_one_process(
    tiny: Classifier, pictures: Path, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder, "_PICTURES_PER_PIECE", 256)
    dataset = open_dataset(pictures)
    large = choose_resolution(tiny.preprocessing, sample_sides(dataset), resolution=320)  # in small batches
    network = tiny.with_preprocessing(large)
    here = embed(network, dataset)
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "another"))
    runner = CopyingRunner()
    there = embed(network, dataset, runner=runner)
    assert (there.ids, there.excluded, there.space) == (here.ids, here.excluded, here.space)
    assert np.array_equal(there.labels, here.labels)
    assert smallest_cosine(here.features, there.features) > 0.9999
    assert there.num_computed == 898  # of 899 that can be read, two are the same
    embedded = next(sizes for what, sizes in runner.sizes.items() if what.startswith("embedding"))
    assert len(embedded) > 1  # else nothing was cut
    assert sum(embedded) == 898


def test_networks_see_a_piece_together_and_decode_it_once(
    tiny: Classifier,
    pictures: Path,
    own_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = scan(open_dataset(pictures)).dataset
    sizes = [
        choose_resolution(tiny.preprocessing, sample_sides(dataset), resolution=side) for side in (32, 48, 64)
    ]
    networks = [tiny.with_preprocessing(each) for each in sizes]
    here = [embed(each, dataset) for each in networks]
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "another"))
    runner, counts = CopyingRunner(), count_decodes(monkeypatch)
    there = list(embed_all(networks, dataset, runner=runner))
    for one, other in zip(here, there, strict=True):
        assert (other.ids, other.space, other.preprocessing) == (one.ids, one.space, one.preprocessing)
        assert smallest_cosine(one.features, other.features) > 0.9999
    # The plans are checked on 16 pictures, by exact and fast decoding, for each network where it is chosen.
    assert sum(counts.values()) <= 898 + 2 * 16 * 3 * (1 + runner.num_workers)
    assert sum(runner.sizes["embedding with 3 networks"]) == 898
    again = list(embed_all(networks, dataset, runner=runner))
    assert [each.num_computed for each in again] == [0, 0, 0]


def test_networks_are_together_as_far_as_there_is_room() -> None:
    giga = 2**28  # parameters, in float32
    assert [(each.start, each.stop) for each in fitting_groups([giga, giga, 1, 3 * giga, 1])] == [
        (0, 2),
        (2, 3),
        (3, 4),
        (4, 5),
    ]
    assert not list(fitting_groups([]))


def test_pieces_are_whole_batches_and_not_too_small() -> None:
    assert embedder.piece_size(32) == 1024
    assert embedder.piece_size(8) == 1024  # of large pictures
    assert embedder.piece_size(1024) == 32 * 1024
    assert embedder.piece_size(32, num_networks=3) == 11 * 32


def test_pieces_do_not_depend_on_the_workers(tiny: Classifier, pictures: Path) -> None:
    few, many = CopyingRunner(), CopyingRunner()
    many.num_workers = 7
    scan(open_dataset(pictures), runner=few)
    scan(open_dataset(pictures), runner=many)
    assert few.sizes == many.sizes


def test_a_scan_is_the_same(pictures: Path) -> None:
    here = scan(open_dataset(pictures))
    there = scan(open_dataset(pictures), runner=CopyingRunner())
    assert there.dataset.fingerprint == here.dataset.fingerprint
    assert (there.excluded, there.duplicates) == (here.excluded, here.duplicates)
    assert np.array_equal(there.widths, here.widths)


def test_errors_of_the_data_set_are_told(tmp_path: Path, draw_folder: Callable[..., Path]) -> None:
    folder = draw_folder(tmp_path / "broken", per_class=4)
    for file in (folder / "disc").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match="4 of 12 pictures"):
        scan(open_dataset(folder), runner=CopyingRunner())


def test_predictions_come_in_order(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    dataset = open_dataset(pictures)
    probe = LinearProbe(seed=0)
    embeddings = embed(tiny, dataset)
    probe.fit(embeddings.features, embeddings.labels)
    folder = tmp_path / "model"
    save_folder(tiny.with_head(fold_probe(probe), dataset.class_names), folder)
    here = list(predict(load(str(folder)), str(pictures)))
    there = list(predict(load(str(folder)), str(pictures), runner=CopyingRunner()))
    assert [row.path for row in there] == [row.path for row in here]
    assert [row.label for row in there] == [row.label for row in here]
    assert [row.error for row in there] == [row.error for row in here]
    assert sum(bool(row.error) for row in there) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budget", "has_store"),
    [("", False), ("", True), ("3000images", False)],
    ids=["all", "all, with a store", "race"],
)
def test_the_choice_is_the_same(
    budget: str,
    has_store: bool,
    tiny_models: tuple[str, str],
    shapes: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, elsewhere = {}, CopyingRunner()
    sides = (32, 48, 64) if budget else (64,)  # two candidates alone would be judged at once
    for name, runner in (("here", SerialRunner()), ("there", elsewhere)):
        monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / f"home-{name}"))
        if has_store and runner is elsewhere:
            monkeypatch.setenv("HEADSTART_STORE", str(tmp_path / "store"))
        found[name] = compare(
            [find_model(each) for each in tiny_models],
            open_dataset(pictures if budget else shapes),
            budget=budget,
            out=tmp_path / name,
            options=CompareOptions(resolutions=sides),
            runner=runner,
        )
    here, there = found["here"], found["there"]
    together = [job for job in elsewhere.jobs if job.endswith(" networks")]
    assert together[0] == f"embedding with {2 * len(sides)} networks"
    assert has_store == ("training heads on 2 networks" in together)
    assert there.chosen == here.chosen
    assert there.fingerprint == here.fingerprint
    assert [row.name for row in there.rows] == [row.name for row in here.rows]
    for one, other in zip(here.rows, there.rows, strict=True):
        assert not other.error
        if one.validation is not None and other.validation is not None:
            difference = other.validation.accuracy.value - one.validation.accuracy.value
            assert abs(difference) < 0.02


def test_features_from_before_there_was_a_store_are_no_error(
    tiny_models: tuple[str, str],
    pictures: Path,
    own_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They lie in the cache of the command alone, where no worker can read them."""

    def run(name: str, runner: Runner) -> Comparison:
        options = CompareOptions(resolutions=(32,), plan="exact")
        return compare(
            tiny_models, open_dataset(pictures), out=tmp_path / name, options=options, runner=runner
        )

    before = run("before", SerialRunner())
    monkeypatch.setenv("HEADSTART_STORE", str(tmp_path / "store"))
    runner = CopyingRunner()
    after = run("after", runner)
    assert "training heads on 2 networks" in runner.jobs
    assert [row.error for row in after.rows] == ["", ""]
    assert after.chosen == before.chosen
    assert [row.validation for row in after.rows] == [row.validation for row in before.rows]
