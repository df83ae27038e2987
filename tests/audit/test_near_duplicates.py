"""Near duplicates: the index finds what looking at all pairs finds, and planted copies are found."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.audit.near_duplicates import _count_bits, _pairs_by_band, find_groups, members_of
from headstart.audit.neighbours import Neighbours, find_neighbours, unit_rows
from headstart.audit.thumbnails import perceptual_hashes


def random_rows(num, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 3))
def test_hashes_that_differ_in_up_to_three_bits_are_always_paired(seed, num_flips):
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 2**64, 40, dtype=np.uint64)
    for bit in generator.permutation(64)[:num_flips]:
        hashes[7] ^= np.uint64(1) << np.uint64(bit)
    copy = hashes[7]
    for bit in generator.permutation(64)[:num_flips]:
        copy ^= np.uint64(1) << np.uint64(bit)
    hashes = np.append(hashes, copy)
    pairs = {tuple(sorted(pair)) for part in _pairs_by_band(hashes) for pair in part.tolist()}
    assert (7, 40) in pairs
    assert all(first < second for first, second in pairs)


def test_pairs_by_band_are_those_of_looking_at_all():
    hashes = np.random.default_rng(0).integers(0, 2**64, 300, dtype=np.uint64) & np.uint64(
        0x0003_0003_0003_FFFF
    )
    found = {tuple(sorted(pair)) for part in _pairs_by_band(hashes) for pair in part.tolist()}
    bands = [(hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF) for band in range(4)]
    for band in bands:  # a value that more than 64 share pairs only those that follow each other
        values, counts = np.unique(band, return_counts=True)
        for value in values[(counts > 1) & (counts <= 64)]:
            members = np.flatnonzero(band == value).tolist()
            assert {(a, b) for a in members for b in members if a < b} <= found


def test_flat_pictures_by_the_thousand_stay_cheap():
    pairs = np.concatenate(list(_pairs_by_band(np.zeros(20_000, np.uint64))))
    assert len(pairs) < 100_000


def test_bits_are_counted():
    words = np.array([0, 1, 2**63, 2**64 - 1, 0b1011], np.uint64)
    assert _count_bits(words).tolist() == [0, 1, 1, 64, 3]


def test_the_hash_is_that_of_its_definition_and_bears_small_changes():
    generator = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(generator.normal(size=(50, 32, 32)), axis=1), axis=2).astype(np.float32)
    hashes = perceptual_hashes(smooth)
    assert (_count_bits(hashes ^ perceptual_hashes(smooth * 1.2 + 5)) <= 2).all()
    noisy = smooth + generator.normal(size=smooth.shape).astype(np.float32)
    assert np.median(_count_bits(hashes ^ perceptual_hashes(noisy))) <= 4
    apart = _count_bits(hashes[1:] ^ hashes[:-1])
    assert np.median(apart) > 15


@pytest.mark.parametrize("num_exact", [10**9, 100])
def test_neighbours_are_the_most_similar_rows(num_exact, monkeypatch):
    # The function `headstart.audit` hides the room from a dotted name.
    monkeypatch.setattr(sys.modules["headstart.audit.neighbours"], "_EXACT_UP_TO", num_exact)
    centres = random_rows(30, 16, seed=1) * 4
    vectors = unit_rows(np.repeat(centres, 40, axis=0) + random_rows(1200, 16))
    found = find_neighbours(vectors, k=5, seed=0)
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -2)
    best = np.sort(similarities, axis=1)[:, ::-1][:, :5]
    assert (found.indices != np.arange(1200)[:, None]).all()
    assert (np.diff(found.similarities, axis=1) <= 1e-6).all()
    np.testing.assert_allclose(
        found.similarities, np.take_along_axis(similarities, found.indices, axis=1), atol=1e-5
    )
    exact = np.isclose(found.similarities, best, atol=1e-5).mean()
    assert exact == 1 if num_exact > 1200 else exact > 0.97


def test_groups_are_linked_through_others_and_others_stay_alone():
    vectors = unit_rows(random_rows(30, 64))
    vectors[4] = vectors[3]
    vectors[5] = vectors[4]
    hashes = np.random.default_rng(0).integers(0, 2**64, 30, dtype=np.uint64)
    neighbours = find_neighbours(vectors, k=1, seed=0)  # each names one neighbour alone
    groups = find_groups(hashes, vectors, neighbours)
    assert [members.tolist() for members in members_of(groups)] == [[3, 4, 5]]


def test_what_hashes_alone_take_for_the_same_is_not():
    vectors = unit_rows(random_rows(30, 64))
    nothing = Neighbours(indices=np.zeros((30, 1), np.int64), similarities=np.full((30, 1), 0.6, np.float32))
    assert members_of(find_groups(np.zeros(30, np.uint64), vectors, nothing)) == []
