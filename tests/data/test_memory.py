"""What a process holds by itself hardly grows with the pictures of a data set."""

import io
import shutil
import tarfile
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest

from headstart.core.digest import digest_bytes
from headstart.data import ImageDataset, columns, open_dataset
from headstart.data.scan import Measured, _Finding, scan
from headstart.data.shards import shards
from headstart.data.workers import in_threads
from headstart.embed.embedding import Embeddings
from headstart.embed.rows import Contents, find_places

NUM_TARS, PER_TAR = 20, 1000
NUM_PICTURES = NUM_TARS * PER_TAR
MAX_BYTES_A_PICTURE = 16  # of Python objects it was 196 once opened, and 133 more once scanned


class Reader:
    """Finds every picture readable, as workers elsewhere would; each has its copy."""

    is_local = False
    num_workers = 1

    def map(self, function, items, *, what=""):
        for piece in items:
            yield [_Finding(digest_bytes(each[:-5].encode()), Measured(16, 16)) for each in piece.ids]


@contextmanager
def held(what):
    """Measure what is held by the process itself when the block ends, in bytes a picture."""
    before = tracemalloc.get_traced_memory()[0]
    yield
    size = (tracemalloc.get_traced_memory()[0] - before) / NUM_PICTURES
    assert size < MAX_BYTES_A_PICTURE, f"{what}: {size:.1f} bytes a picture"


@pytest.fixture
def tars(tmp_path, monkeypatch):
    """Tars with as many pictures, which are empty files, and their labels."""
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(columns, "LARGEST_IN_MEMORY_BYTES", 2**12)
    folder = tmp_path / "tars"
    folder.mkdir()
    with tarfile.open(folder / "shard-0000.tar", "w") as archive:
        for number in range(PER_TAR):
            archive.addfile(tarfile.TarInfo(f"{number:06}.png"))
            label = tarfile.TarInfo(f"{number:06}.cls")
            label.size = 1
            archive.addfile(label, io.BytesIO(b"%d" % (number % 10)))
    for number in range(1, NUM_TARS):
        shutil.copy(folder / "shard-0000.tar", folder / f"shard-{number:04}.tar")
    return folder


def test_columns_are_all_that_is_held_of_many_pictures(tars):
    use_once(open_dataset(tars).select(range(3000)))  # what is imported then is no matter of pictures
    tracemalloc.start()
    try:
        with held("opened"):
            dataset = open_dataset(tars)
        with held("scanned"):
            dataset = scan(dataset, runner=Reader()).dataset
        with held("selected"):
            chosen = dataset.select(np.random.default_rng(0).permutation(NUM_PICTURES))
        with held("split"):
            splits = chosen.split()
        with held("fingerprints"):
            fingerprint = dataset.fingerprint
        with held("contents"):
            contents = Contents.of(chosen)
        with held("places"):
            places = find_places(chosen.digests)
        with held("pieces"):
            num_pieces = sum(1 for _ in shards(dataset, 512))
        with held("features"):
            embeddings = embeddings_of(chosen)
            assert embeddings.rows(splits.train.ids[5:9]).tolist() == [
                [chosen.ids.index(each)] for each in splits.train.ids[5:9]
            ]
    finally:
        tracemalloc.stop()
    assert num_pieces == 2 * NUM_TARS
    assert len(fingerprint) == 64
    assert len(contents.first) == NUM_PICTURES // 10
    assert len(places.find(chosen.digests)) == NUM_PICTURES
    assert sum(map(len, (splits.train, splits.test, splits.val))) == NUM_PICTURES


def use_once(dataset: ImageDataset) -> None:
    embeddings_of(dataset).rows(scan(dataset, runner=Reader()).dataset.split().train.ids)


def embeddings_of(dataset: ImageDataset) -> Embeddings:
    return Embeddings(
        features=np.arange(len(dataset), dtype=np.float32)[:, None],
        ids=dataset.ids,
        labels=dataset.labels,
        class_names=dataset.class_names,
        model="",
        preprocessing=None,
        feature_point="",
        plan=None,
        space="",
        excluded=(),
        num_computed=0,
        seconds=0.0,
    )


def test_nor_is_a_folder_held_while_it_is_opened(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(columns, "LARGEST_IN_MEMORY_BYTES", 2**12)
    monkeypatch.setattr(columns, "AT_A_TIME", 2**8)
    for label in range(20):
        (tmp_path / "pictures" / f"class {label:02}").mkdir(parents=True)
        for number in range(500):
            (tmp_path / "pictures" / f"class {label:02}" / f"{number:06}.png").touch()
    open_dataset(tmp_path / "pictures")
    tracemalloc.start()
    try:
        dataset = open_dataset(tmp_path / "pictures")
        most = tracemalloc.get_traced_memory()[1] / len(dataset)
    finally:
        tracemalloc.stop()
    assert len(dataset) == 10_000
    assert most < 40, f"{most:.0f} bytes a picture"  # the names of one folder are, and some at a time


def test_no_more_is_listed_than_is_taken():
    begun = []
    results = in_threads(lambda number: begun.append(number) or number, iter(range(100)), num_threads=3)
    assert [next(results) for _ in range(10)] == list(range(10))
    assert len(begun) <= 10 + 3
    assert list(results) == list(range(10, 100))
