"""Pieces of a data set: disjoint, complete, in order, cut where files end, and small when they are sent."""

import io
import pickle
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.core.digest import digest_bytes
from headstart.core.errors import InputError
from headstart.data import ImageDataset, dataset_from_arrays, open_dataset
from headstart.data.shards import shards
from headstart.data.sources import RemoteSource, TarMember, TarSource, ZipMember, ZipSource


def dataset_of(source, ids):
    return ImageDataset(
        name="n",
        location="l",
        ids=tuple(ids),
        labels=np.arange(len(ids)) % 2,
        class_names=("a", "b"),
        source=source,
        digests=tuple(digest_bytes(each.encode()) for each in ids),
    )


def tars(*sizes):
    members = {
        f"{shard}.tar/{n:03}.png": TarMember(shard=f"{shard}.tar", offset=512 * n, size_bytes=9)
        for shard, size in enumerate(sizes)
        for n in range(size)
    }
    files = {f"{shard}.tar": f"s3://bucket/{shard}.tar" for shard in range(len(sizes))}
    return dataset_of(TarSource(shards=files, members=members), members)


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12))
def test_pieces_are_disjoint_complete_and_in_order(sizes, num_pictures):
    whole = tars(*sizes)
    pieces = list(shards(whole, num_pictures))
    assert tuple(each for piece in pieces for each in piece.ids) == whole.ids
    assert [label for piece in pieces for label in piece.labels] == whole.labels.tolist()
    assert [each for piece in pieces for each in piece.digests] == list(whole.digests)
    assert all(0 < len(piece) <= num_pictures for piece in pieces)
    for piece in pieces:
        assert set(piece.source.members) == set(piece.ids)
        assert set(piece.source.shards) == {each.partition("/")[0] for each in piece.ids}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 12))
def test_what_fits_is_not_cut(sizes, num_pictures):
    found = list(shards(tars(*sizes), num_pictures))
    for shard, size in enumerate(sizes):
        lies_in = [piece for piece in found if any(each.startswith(f"{shard}.tar/") for each in piece.ids)]
        assert len(lies_in) == (1 if size <= num_pictures else -(-size // num_pictures))


def test_where_it_is_cut():
    assert [len(piece) for piece in shards(tars(3, 3, 3, 10, 1, 1), 6)] == [6, 3, 5, 5, 2]


def test_a_piece_of_a_large_zip_is_small():
    members = {
        f"class/{n:06}.png": ZipMember(offset=n, packed_bytes=9, size_bytes=9, method=0, crc=1)
        for n in range(60_000)
    }
    whole = dataset_of(ZipSource(path="s3://bucket/flowers.zip", members=members), members)
    pieces = list(shards(whole, 1000))
    assert len(pieces) == 60
    sizes = [len(pickle.dumps(piece)) for piece in pieces]
    assert max(sizes) < len(pickle.dumps(whole)) / 50
    assert max(sizes) < 150_000


def test_pieces_of_anything_else():
    plain = dataset_of(RemoteSource(root="s3://bucket"), [f"{n}.png" for n in range(10)])
    assert [len(piece) for piece in shards(plain, 4)] == [4, 4, 2]
    pixels = dataset_from_arrays(np.zeros((50, 64, 64), np.uint8), np.arange(50) % 2)
    pieces = [pickle.loads(pickle.dumps(piece)) for piece in shards(pixels, 5)]
    assert all(piece.source.read(each).shape == (64, 64) for piece in pieces for each in piece.ids)
    assert max(len(pickle.dumps(piece)) for piece in pieces) < 30_000
    with pytest.raises(InputError, match="num_pictures=0"):
        next(shards(pixels, 0))


def test_pieces_of_files(make_folder, make_zip):
    names = [f"{label}/{n}.png" for label in "ab" for n in range(5)]
    for location in (make_folder(names), make_zip(names)):
        whole = open_dataset(location)
        pieces = [pickle.loads(pickle.dumps(piece)) for piece in shards(whole, 3)]
        read = [piece.source.read(each) for piece in pieces for each in piece.ids]
        assert read == [whole.source.read(each) for each in whole.ids]


def test_row_groups_stay_whole(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name in ("train-0.parquet", "test-0.parquet"):
        pq.write_table(
            pa.table({"image": [bytes([n]) for n in range(10)], "label": [0, 1] * 5}),
            tmp_path / name,
            row_group_size=4,
        )
    whole = open_dataset(tmp_path)
    pieces = [pickle.loads(pickle.dumps(piece)) for piece in shards(whole, 6)]
    assert [len(piece) for piece in pieces] == [4, 6, 4, 6]
    assert [len(piece.source.shards) for piece in pieces] == [1, 1, 1, 1]
    read = [piece.source.read(each) for piece in pieces for each in piece.ids]
    assert read == [bytes([n]) for n in range(10)] * 2
    assert [split for piece in pieces for split in piece.given_splits] == list(whole.given_splits)


def test_pieces_of_a_tar_can_be_read(tmp_path):
    with tarfile.open(tmp_path / "f.tar", "w") as archive:
        for n in range(6):
            for name, content in ((f"{n}.png", bytes([n]) * 99), (f"{n}.cls", b"%d" % (n % 2))):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    pieces = [pickle.loads(pickle.dumps(piece)) for piece in shards(open_dataset(tmp_path / "f.tar"), 4)]
    assert [piece.source.read(each)[0] for piece in pieces for each in piece.ids] == list(range(6))
