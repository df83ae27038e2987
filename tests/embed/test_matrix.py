"""Room for features: in memory up to a limit, above it in a file; rows without a copy where that can be."""

import numpy as np
import pytest

from headstart.core.errors import StorageError
from headstart.embed import matrix
from headstart.embed.matrix import empty_matrix, select_rows


@pytest.fixture
def tiny_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(matrix, "LARGEST_IN_MEMORY_BYTES", 1000)
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    return tmp_path


def test_what_is_larger_than_the_limit_lies_in_a_file_without_a_name(tiny_limit):
    small, large = empty_matrix((25, 10), np.float32), empty_matrix((26, 10), np.float32)
    assert (isinstance(small, np.memmap), isinstance(large, np.memmap)) == (False, True)
    assert (large.shape, large.dtype) == ((26, 10), np.float32)
    large[:] = 7
    assert list((tiny_limit / "embeddings").iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_written(tiny_limit):
    with pytest.raises(StorageError, match="cannot write"):
        empty_matrix((2**50, 2**10), np.float32)


@pytest.mark.parametrize("rows", [[0, 1, 2], [4, 5], [59], list(range(60))])
def test_rows_that_follow_one_another_are_no_copy(rows):
    features = np.random.default_rng(0).normal(size=(60, 5))
    found = select_rows(features, np.array(rows))
    assert np.shares_memory(found, features)
    np.testing.assert_array_equal(found, features[rows])


@pytest.mark.parametrize("num", [0, 1, 5, 9000])
def test_other_rows_are_copied_in_their_order(tiny_limit, num):
    features = np.random.default_rng(0).normal(size=(10_000, 5)).astype(np.float32)
    rows = np.random.default_rng(1).permutation(10_000)[:num]
    found = select_rows(features, rows)
    np.testing.assert_array_equal(found, features[rows])
    assert isinstance(found, np.memmap) == (num == 9000)
