"""Packed columns look like tuples, an index like a dict, and what is large lies in a file."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.core.digest import digest_bytes, digest_json, digest_lists
from headstart.core.errors import InputError, StorageError
from headstart.data import columns
from headstart.data.columns import ColumnWriter, Digests, Texts, follow_one_another, gathered
from headstart.data.index import Index, TextIndex, first_rows, numbered

# Some letters, so that equal texts come; lone surrogates, as names have that are no UTF-8.
any_text = st.text(st.characters() | st.sampled_from("ab\ud800\udfff\0é"), max_size=4)
texts = st.lists(any_text, max_size=40)
digests = st.lists(st.integers(0, 9).map(lambda number: digest_bytes(bytes([number]))), max_size=40)
kinds = st.one_of(texts.map(lambda found: (Texts, found)), digests.map(lambda found: (Digests, found)))


@pytest.fixture(params=["in memory", "in files"])
def few_at_a_time(request, monkeypatch, tmp_path):
    """Columns in parts of three values, and in files where that is asked for."""
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    monkeypatch.setattr(columns, "AT_A_TIME", 3)
    if request.param == "in files":
        monkeypatch.setattr(columns, "LARGEST_IN_MEMORY_BYTES", 16)


@given(kinds, st.slices(40))
def test_columns_look_like_tuples(kind_and_values, part):
    kind, values = kind_and_values
    column = kind.of(iter(values))
    assert tuple(column) == tuple(values)
    assert column == values == column
    assert column == tuple(values)
    assert kind.of(values) == column
    assert (column == [*values, "more"]) is False
    assert (column == "text") is False
    with pytest.raises(TypeError, match="unhashable"):  # it is equal to a tuple, whose hash is another
        hash(column)
    assert len(column) == len(values)
    assert bool(column) == bool(values)
    assert [column[row] for row in range(-len(values), len(values))] == values * 2
    assert all(each in column for each in values)
    assert "not there" not in column
    assert column[part] == values[part]
    assert type(column[part]) is kind
    assert repr(column) == repr(tuple(values))
    assert kind.of(column) is column


@given(kinds, st.data())
def test_rows_are_taken_in_any_order(kind_and_values, data):
    kind, values = kind_and_values
    row = st.integers(-len(values), len(values) - 1)
    rows = data.draw(st.lists(row, max_size=60)) if values else []
    taken = kind.of(values).take(np.array(rows, np.int64))
    assert taken == [values[each] for each in rows]
    assert taken.take(np.arange(len(rows))[::-1]) == [values[each] for each in reversed(rows)]


@given(st.lists(texts, max_size=4))
def test_columns_are_joined(many):
    assert Texts.joined([Texts.of(each) for each in many]) == [each for values in many for each in values]
    keys = [[digest_bytes(each.encode(*columns._UTF8)) for each in values] for values in many]
    assert Digests.joined([Digests.of(each) for each in keys]) == [each for values in keys for each in values]


@given(texts, st.slices(40), st.lists(st.integers(-3, 45), max_size=9))
def test_what_lies_in_order_is_found_as_anything_else(values, part, rows):
    values = list(dict.fromkeys(values))
    wanted = values[part] + [values[row] if 0 <= row < len(values) else "not there" for row in rows]
    found = Index(Texts.of(values), are_different=True).find(Texts.of(wanted))
    assert found.tolist() == [values.index(each) if each in values else -1 for each in wanted]


@pytest.mark.parametrize("row", [2, -3])
def test_rows_that_are_not_there(row):
    with pytest.raises(IndexError):
        Texts.of("ab").take(np.array([0, row]))
    with pytest.raises(IndexError):
        Texts.of("ab")[row]


@given(kinds)
def test_columns_are_pickled(kind_and_values):
    kind, values = kind_and_values
    again = pickle.loads(pickle.dumps(kind.of(values)[1:]))
    assert type(again) is kind
    assert again == values[1:]


def test_a_part_takes_nothing_of_the_whole_along():
    names = Texts.of(f"folder/{number:08}.png" for number in range(100_000))
    assert len(pickle.dumps(names[50_000:50_100])) < 100 * (len(names[0]) + 1) + 1000
    keys = Digests.of(digest_bytes(b"%d" % number) for number in range(1000))
    assert len(pickle.dumps(keys[500:510])) < 10 * 32 + 1000


@pytest.mark.usefixtures("few_at_a_time")
def test_columns_in_parts_and_files():
    values = [*map(str, range(95, 130)), "", "é", "\ud800", *map(str, range(95, 130))]
    column = Texts.of(values)
    assert column == values
    assert column[5:60] == values[5:60]
    assert column == Texts.of(values)
    rows = np.random.default_rng(0).permutation(len(values))
    assert column.take(rows) == [values[row] for row in rows]
    assert Index(column).find(column.take(rows)).tolist() == [values.index(values[row]) for row in rows]
    keys = Digests.of(digest_bytes(each.encode("utf-8", "surrogatepass")) for each in values)
    assert numbered(keys).tolist() == numbered(column).tolist() == [*range(38), *range(35)]
    assert pickle.loads(pickle.dumps(keys[3:70])) == keys[3:70]
    assert Texts.joined([column[:7], column[3:]]) == [*values[:7], *values[3:]]
    assert Digests.joined([keys[:7], keys[3:]]) == [*keys[:7], *keys[3:]]
    different = Index(column[:38], are_different=True)
    assert different.find(column[2:38]).tolist() == list(range(2, 38))


def test_only_large_columns_lie_in_files(monkeypatch, tmp_path):
    home = tmp_path / "home"
    monkeypatch.setenv("HEADSTART_HOME", str(home))
    monkeypatch.setattr(columns, "LARGEST_IN_MEMORY_BYTES", 800)
    small, large = (ColumnWriter(np.int64, (2,)) for _ in range(2))
    small.write(np.arange(100).reshape(50, 2))
    assert small.finish().tolist() == np.arange(100).reshape(50, 2).tolist()
    assert not home.exists()
    for number in range(200):
        large.write([number, -number])
    found = large.finish()
    assert found.tolist() == [[number, -number] for number in range(200)]
    assert list(home.iterdir()) == []  # the file has no name, so nothing has to be removed
    while not isinstance(found, np.memmap):  # it is what the array lies in
        found = found.base


def test_where_no_file_can_be_made_all_stays_in_memory(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(columns, "LARGEST_IN_MEMORY_BYTES", 10)
    values = [f"longer than ten bytes {number}" for number in range(50)]
    assert Texts.of(values) == values


@pytest.mark.parametrize("num_bytes", [100, 100_000])
def test_a_full_disk_is_told(num_bytes, monkeypatch, tmp_path):
    """Also where the last bytes, which wait to be written, are those that do not fit."""
    resource = pytest.importorskip("resource")
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    monkeypatch.setattr(columns, "LARGEST_IN_MEMORY_BYTES", 10)
    monkeypatch.setattr(columns, "AT_A_TIME", 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
    try:
        with pytest.raises(StorageError, match="cannot write"):
            Digests.of(digest_bytes(b"%d" % number) for number in range(num_bytes // 32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_texts_that_must_be_there() -> None:
    index = Index(Texts.of("abc"))
    assert index.rows_of(Texts.of("ca")).tolist() == [2, 0]
    with pytest.raises(KeyError, match="z"):
        index.rows_of(Texts.of("az"))


@given(kinds, kinds)
def test_an_index_finds_what_a_dict_does(one, other):
    kind, values = one
    wanted = [*values, *other[1]] if other[0] is kind else values
    table = {each: row for row, each in reversed(list(enumerate(values)))}
    index = Index(kind.of(values))
    assert index.find(kind.of(wanted)).tolist() == [table.get(each, -1) for each in wanted]


@given(texts, texts)
@pytest.mark.parametrize("collide", [lambda text: 0, len, lambda text: -1, lambda text: hash(text) >> 62])
def test_texts_with_the_same_hash_are_told_apart(collide, values, others):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Texts, "_hash", staticmethod(collide))
        index, wanted = TextIndex(Texts.of(values)), [*values, *others]
        expected = [values.index(each) if each in values else -1 for each in wanted]
        assert index.find(Texts.of(wanted)).tolist() == expected
        assert [index.row(each) for each in wanted] == expected


@given(kinds)
def test_equal_texts_have_one_number(kind_and_values):
    kind, values = kind_and_values
    numbers: dict[str, int] = {}
    expected = [numbers.setdefault(each, len(numbers)) for each in values]
    found = numbered(kind.of(values))
    assert found.tolist() == expected
    assert first_rows(found).tolist() == [expected.index(number) for number in range(len(numbers))]


@pytest.mark.parametrize("odd", ["ab", "g" * 64, " " + "a" * 63, "a" * 63 + " ", "a" * 62 + " a"])
def test_what_is_no_digest_is_named(odd):
    with pytest.raises(InputError, match="no sha256") as error:
        Digests.of(["a" * 64, odd])
    assert odd in error.value.message or len(odd) == 64


@given(
    st.lists(st.integers(-5, 5)) | st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda t: range(*t))
)
def test_rows_that_follow_one_another_are_a_view(rows):
    rows = np.array(rows, np.int64)
    one_by_one = all(after == before + 1 for before, after in pairwise(rows))
    assert follow_one_another(rows) == (len(rows) > 0 and bool(rows[0] >= 0) and one_by_one)
    whole = np.arange(20).reshape(10, 2)
    found = gathered(whole, rows)
    assert found.tolist() == whole[rows].tolist()
    assert np.shares_memory(found, whole) == follow_one_another(rows)


@given(st.lists(st.none() | st.lists(st.integers() | st.text(), max_size=9)))
def test_lists_have_the_digest_of_their_json(lists):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headstart.core.digest._VALUES_AT_A_TIME", 2)
        assert digest_lists(None if each is None else iter(each) for each in lists) == digest_json(lists)
