from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.core.digest import digest_bytes
from headstart.core.errors import DataError, InputError
from headstart.data.dataset import ImageDataset
from headstart.data.sources import ArraySource
from headstart.data.split import Splits, require_classes, sample, split


def dataset(labels, *, contents=None, given=None, num_classes=None):
    """A data set without pictures: splits look at labels and digests only."""
    count = num_classes or (max(labels) + 1 if len(labels) else 0)
    return ImageDataset(
        name="made",
        location="made",
        ids=tuple(f"{index:05d}" for index in range(len(labels))),
        labels=np.array(labels, dtype=np.int64),
        class_names=tuple(f"class {index}" for index in range(count)),
        source=ArraySource(pictures={}),
        given_splits=None if given is None else tuple(given),
        digests=None if contents is None else [digest_bytes(str(each).encode()) for each in contents],
    )


def parts_of(splits: Splits):
    return {
        n: p
        for n, p in (("train", splits.train), ("val", splits.val), ("test", splits.test))
        if p is not None
    }


@st.composite
def grouped_datasets(draw):
    """From 500 pictures up, in classes of at least 20, some contents several times within a class."""
    labels, contents = [], []
    for label in range(draw(st.integers(2, 6))):
        group_sizes = draw(st.lists(st.integers(1, 4), min_size=130, max_size=180))
        for group, size in enumerate(group_sizes):
            labels += [label] * max(size, 3 if group < 60 else 1)
            contents += [f"{label}-{group}"] * max(size, 3 if group < 60 else 1)
    order = np.random.default_rng(draw(st.integers(0, 5))).permutation(len(labels))
    return dataset([labels[index] for index in order], contents=[contents[index] for index in order])


@settings(max_examples=25, deadline=None)
@given(
    pictures=grouped_datasets(),
    test=st.sampled_from([0.0, 0.1, 0.2, 0.5]),
    val=st.sampled_from([0.0, 0.2, 0.4]),
    seed=st.integers(0, 1000),
)
def test_splits_are_disjoint_complete_stratified_seeded_and_keep_contents_together(pictures, test, val, seed):
    splits = pictures.split(test=test, val=val, seed=seed)
    parts = parts_of(splits)
    assert ("test" in parts) == (test > 0)
    assert Counter(each for part in parts.values() for each in part.ids) == Counter(pictures.ids)
    assert splits.excluded == ()
    seen = [set(part.digests) for part in parts.values()]
    assert sum(map(len, seen)) == len(set().union(*seen))

    counts, largest_group = pictures.class_counts(), 4
    if test:
        assert np.abs(splits.test.class_counts() - test * counts).max() <= largest_group / 2
    if "val" in parts:
        rest = counts - (splits.test.class_counts() if test else 0)
        assert np.abs(splits.val.class_counts() - val * rest).max() <= largest_group / 2

    again = parts_of(pictures.split(test=test, val=val, seed=seed))
    assert {name: part.ids for name, part in parts.items()} == {
        name: part.ids for name, part in again.items()
    }


def test_single_pictures_are_stratified_to_the_nearest_picture():
    pictures = dataset([0] * 300 + [1] * 203)
    splits = split(pictures, test=0.2, val=0.2, seed=3)
    assert splits.test.class_counts().tolist() == [60, 41]
    assert splits.val is None  # 402 pictures remain, too few
    assert splits.train.class_counts().tolist() == [240, 162]
    assert list(splits.train.ids) == sorted(splits.train.ids)
    assert pictures.split(seed=4).test.ids != pictures.split(seed=3).test.ids


def test_the_validation_part_is_a_share_of_what_remains():
    splits = dataset([0, 1] * 500).split()
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [640, 160, 200]
    assert (splits.given_test, splits.seed) == (False, 0)
    without = dataset([0, 1] * 500).split(val=0)
    assert without.val is None
    assert without.test.ids == splits.test.ids


@pytest.mark.parametrize(
    ("labels", "has_test"),
    [
        ([0, 1] * 250, True),
        ([0, 1] * 249 + [0], False),
        ([0] * 500 + [1] * 20, True),
        ([0] * 500 + [1] * 19, False),
    ],
)
def test_too_few_pictures_lock_nothing_away(labels, has_test):
    splits = dataset(labels).split()
    assert (splits.test is not None) == has_test
    if not has_test:
        assert splits.val is None
        assert len(splits.train) == len(labels)


def test_given_splits_are_kept_and_val_is_drawn_from_train():
    given = ["train"] * 600 + ["test"] * 10
    splits = dataset([0, 1] * 305, given=given).split(test=0.5)
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [480, 120, 10]
    assert splits.given_test
    assert splits.test.ids == tuple(f"{index:05d}" for index in range(600, 610))


def test_given_val_is_kept_and_test_is_drawn_from_train():
    given = ["train"] * 600 + ["val"] * 10
    splits = dataset([0, 1] * 305, given=given).split()
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [480, 10, 120]
    assert not splits.given_test
    small = dataset([0, 1] * 20, given=["train"] * 30 + ["val"] * 6 + ["test"] * 4).split()
    assert [len(part) for part in (small.train, small.val, small.test)] == [30, 6, 4]


def test_what_also_lies_in_a_given_test_or_val_is_dropped_from_training():
    labels = [0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1]
    contents = [0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 4, 1]
    given = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    splits = dataset(labels, contents=contents, given=given).split()
    assert splits.train.ids == ("00000", "00002", "00003", "00005", "00006", "00007")
    assert splits.val.ids == ("00008",)
    assert splits.test.ids == ("00010", "00011")
    assert {each.id: each.reason for each in splits.excluded} == {
        "00001": "same content as 00011 in test",
        "00004": "same content as 00010 in test",
        "00009": "same content as 00011 in test",
    }


def test_a_content_with_two_labels_stays_on_one_side():
    labels = [0, 1] * 300
    for seed in range(20):
        splits = dataset(labels, contents=[index // 2 for index in range(600)]).split(seed=seed)
        assert not set(splits.train.digests) & set(splits.test.digests)
        assert len(splits.train) + len(splits.test) + (len(splits.val) if splits.val else 0) == 600


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (dataset([0] * 9), "two classes or more, and the pictures have 1: 'class 0'"),
        (dataset([]), "two classes or more, and the pictures have 0"),
        (dataset([0] * 9 + [1]), r"'class 1' \(1\)"),
        (dataset([0] * 9 + [1] * 2), r"'class 1' \(2\)"),
        (dataset([0] * 9, num_classes=2), r"'class 1' \(0\)"),
        (dataset([0] * 3 + [1] * 3, contents=[0, 1, 2, 3, 3, 3]), r"'class 1' \(1\)"),
        (dataset([0, 0, 0, 1, 1, 1], given=["train"] * 4 + ["test"] * 2), r"'class 1' \(1\)"),
    ],
)
def test_too_little_to_train_on(pictures, message):
    with pytest.raises(DataError, match=message) as caught:
        pictures.split()
    assert caught.value.hint


def test_require_classes():
    require_classes(dataset([0, 0, 0, 1, 1, 1]))
    require_classes(dataset([0, 1]), minimum_per_class=1)
    with pytest.raises(DataError, match="1 of 2 classes"):
        require_classes(dataset([0, 0, 0, 1, 1]))


@pytest.mark.parametrize("arguments", [{"test": 1.0}, {"val": -0.1}, {"test": 20}, {"seed": -1}])
def test_wrong_arguments(arguments):
    with pytest.raises(InputError):
        dataset([0, 1] * 5).split(**arguments)


def test_splitting_many_pictures_is_quick():
    import time

    pictures = dataset([index % 1000 for index in range(200_000)], contents=range(200_000))
    started = time.perf_counter()
    pictures.split()
    assert time.perf_counter() - started < 5


def test_sample_with_given_splits():
    given = ["train"] * 600 + ["val"] * 300 + ["test"] * 300
    drawn = sample(dataset([0, 0, 1] * 400, given=given), train=90, test=30, seed=1).dataset
    cells = Counter(zip(drawn.given_splits, drawn.labels.tolist(), strict=True))
    assert cells == {
        ("train", 0): 40, ("train", 1): 20, ("val", 0): 20, ("val", 1): 10, ("test", 0): 20, ("test", 1): 10,
    }  # fmt: skip
    assert list(drawn.ids) == sorted(drawn.ids)
    whole_test = sample(dataset([0, 0, 1] * 400, given=given), train=90).dataset
    assert Counter(whole_test.given_splits)["test"] == 300


def test_sample_without_given_splits_leads_to_the_test_part_asked_for():
    pictures = dataset([0, 0, 1] * 2000)
    drawn = sample(pictures, train=900, test=300, seed=5)
    assert drawn.dataset.class_counts().tolist() == [800, 400]
    splits = drawn.dataset.split(test=drawn.test_share)
    assert len(splits.test) == 300
    assert len(sample(pictures, train=800).dataset) == 1000
    assert len(sample(pictures, test=200).dataset) == 1000
    assert sample(pictures).dataset.ids == pictures.ids


@settings(max_examples=50, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=300),
    count=st.integers(1, 400),
    seed=st.integers(0, 9),
)
def test_a_sample_has_the_size_asked_for_and_each_class_its_share(labels, count, seed):
    pictures = dataset(labels, num_classes=5)
    drawn = sample(pictures, train=count, test=1, seed=seed).dataset
    total = min(count + 1, len(labels))
    assert len(drawn) == len(set(drawn.ids)) == total
    assert set(drawn.ids) <= set(pictures.ids)
    assert np.abs(drawn.class_counts() - total * pictures.class_counts() / len(labels)).max() < 1
    assert drawn.ids == sample(pictures, train=count, test=1, seed=seed).dataset.ids


def test_sample_refuses_numbers_that_mean_nothing():
    for arguments in ({"train": 0}, {"test": -5}, {"seed": -1}):
        with pytest.raises(InputError):
            sample(dataset([0, 1]), **arguments)
