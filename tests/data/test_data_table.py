import pytest

from headstart.core.errors import DataError
from headstart.data import open_dataset


@pytest.fixture
def table(make_folder):
    """Return a function that writes a CSV beside four pictures and opens it."""
    root = make_folder(["p/1.png", "p/2.png", "p/3.png", "p/4.png"])

    def make(text, *, encoding="utf-8", name="labels.csv"):
        path = root / name
        path.write_bytes(text.encode(encoding))
        return open_dataset(path)

    return make


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_columns_are_found_whatever_the_dialect(table, delimiter, encoding, newline):
    rows = [["label", "Path"], ["rosé", "p/1.png"], ["tulip", "./p/2.png"], ["tulip", "p/x/../3.png"], []]
    pictures = table(newline.join(delimiter.join(row) for row in rows), encoding=encoding)
    assert pictures.ids == ("p/1.png", "p/2.png", "p/3.png")
    assert pictures.class_names == ("rosé", "tulip")
    assert pictures.labels.tolist() == [0, 1, 1]
    assert pictures.given_splits is None
    assert all(pictures.source.read(each).startswith(b"\x89PNG") for each in pictures.ids)


def test_splits_are_kept(table):
    pictures = table("path,label,split\np/1.png,a,Train\np/2.png,b,test\np/3.png,b,valid\n")
    assert pictures.given_splits == ("train", "test", "val")


def test_absolute_paths_work(table, tmp_path):
    pictures = table(f"path,label\n{tmp_path / 'flowers' / 'p' / '1.png'},a\np/2.png,b\n")
    assert all(pictures.source.read(each) for each in pictures.ids)


def test_rows_that_cannot_be_used_are_excluded_by_line(table):
    pictures = table("path,label\np/1.png,a\np/1.png,a\np/none.png,b\np/2.png,\n,b\np/3.png,b\n")
    assert pictures.ids == ("p/1.png", "p/3.png")
    assert {each.reason for each in pictures.excluded} == {
        "line 3 repeats line 2",
        "no such file, named in line 4",
        "no label in line 5",
        "no path in line 6",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\np/1.png,a\np/2.png,b\n./p/1.png,b\n", "two labels: 'a' in line 2, 'b' in line 4"),
        ("path,label\nnone/1.png,a\nnone/2.png,b\n", "none of the files .*'none/1.png'"),
        ("path,label\n", "lists no pictures"),
        ("", "lists no pictures"),
        ("picture,label\np/1.png,a\n", "no column for picture paths"),
        ("path,colour\np/1.png,a\n", "no column for labels; it has path, colour"),
        ("path,label,split\np/1.png,a,train\np/2.png,b,dev\n", "line 3: the split is 'dev'"),
        ("path,label,split\np/1.png,a,train\np/2.png,b,\n", "line 3: the split is ''"),
        ("path,label,split\np/1.png,a,test\np/2.png,b,test\n", "no line of the split 'train'"),
    ],
)
def test_tables_that_cannot_be_used(table, text, message):
    with pytest.raises(DataError, match=message):
        table(text)


def test_text_in_another_encoding_is_refused(table):
    with pytest.raises(DataError, match="not UTF-8"):
        table("path,label\np/1.png,rosé\n", encoding="latin-1")


@pytest.mark.parametrize(
    "text",
    [
        "path,label\np/1.png,a|b\np/2.png,a\n",
        "path,label\np/1.png,a;b\np/2.png,b;c\n",
        'path,label\np/1.png,"a,b"\np/2.png,"b,c"\np/3.png,"a,c"\n',
        "path,label\np/1.png,\"['a', 'b']\"\np/2.png,['b']\np/3.png,['a']\n",
        "path,label,label2\np/1.png,a,b\np/2.png,b,a\n",
        "path,labels\np/1.png,a b\np/2.png,b\n",
        "path,rose,tulip,lily\np/1.png,1,0,1\np/2.png,0,1,0\n",
    ],
)
def test_multi_label_tables_are_refused_by_name(table, text):
    with pytest.raises(DataError, match=r"labels\.csv' is a multi-label table"):
        table(text)


def test_a_separator_within_one_label_is_no_second_label(table):
    pictures = table(
        'path,label\np/1.png,"tench, Tinca tinca"\np/2.png,"maillot, tank suit"\np/3.png,maillot\n'
    )
    assert pictures.num_classes == 3


def test_further_columns_are_passed_over(table):
    pictures = table("path,label,width,blurred\np/1.png,0,640,1\np/2.png,1,320,0\n")
    assert pictures.class_names == ("0", "1")
