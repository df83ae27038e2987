"""Whose class is it: names, wordnet ids, indices; of folders, tables and files. Never two of them mixed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import headstart as hs
from headstart.core.errors import DataError
from headstart.data import ImageDataset, dataset_from_arrays
from headstart.models import Classifier
from headstart.models.imagenet import class_names, wordnet_ids
from headstart.predict.matching import Rule, attempt, first_complete, rules_for

NAMES = class_names(1000)
IDS = wordnet_ids(NAMES)
BY_NAME, BY_ID, BY_ID_IN_FILE, BY_INDEX, BY_INDEX_IN_FILE = rules_for(NAMES)


@pytest.fixture(scope="module")
def imagenet(tiny_models: tuple[str, str]) -> Classifier:
    """A tiny network that knows ImageNet's classes by name."""
    return hs.load(tiny_models[1], num_classes=1000)


def pictures(texts: Sequence[str], *, folder: str = "") -> ImageDataset:
    """A data set with one picture in each class, in this order."""
    grey = np.zeros((len(texts), 2, 2), np.uint8)
    dataset = dataset_from_arrays(grey, np.arange(len(texts)), class_names=list(texts))
    return replace(dataset, ids=tuple(f"{folder}{index}.png" for index in range(len(texts))))


def places(rule: Rule, texts: Sequence[str]) -> list[int]:
    return attempt(rule, pictures(texts)).places.tolist()


# ---- ImageNet's classes -----------------------------------------------------------------------------------


def test_wordnet_ids_stand_in_the_order_of_the_labels() -> None:
    assert len(set(IDS)) == 1000
    for index, (wordnet_id, name) in {
        0: ("n01440764", "tench"),
        207: ("n02099601", "golden retriever"),
        985: ("n11939491", "daisy"),
        999: ("n15075141", "toilet tissue"),
    }.items():
        assert (IDS[index], NAMES[index]) == (wordnet_id, name)
    assert list(IDS) == sorted(IDS)  # that is how the labels of the challenge were given


def test_a_background_class_comes_first_and_has_no_id() -> None:
    names = class_names(1001)
    assert names[:2] == ("background", "tench")
    assert wordnet_ids(names) == ("", *IDS)
    _, by_id, _, by_index, _ = rules_for(names)
    assert places(by_id, ["n01440764", ""]) == [1, -1]
    assert places(by_index, ["0", "999", "1000"]) == [1, 1000, -1]


def test_classes_of_ones_own_have_no_ids() -> None:
    for names in (("daisy", "rose"), class_names(7), tuple(reversed(NAMES)), (*NAMES, "selfie"), ()):
        assert wordnet_ids(names) == ()
        assert [rule.words for rule in rules_for(names)] == ["name"]
    (by_name,) = rules_for(("2", "red rose", "3"))
    assert places(by_name, ["2", "3", "0", "red_rose", "n01440764"]) == [0, 2, -1, -1, -1]


def test_larger_sets_are_known_too() -> None:
    names = class_names(21843)
    ids = wordnet_ids(names)
    assert len(ids) == 21843
    assert sum(each in ids for each in IDS) == 999  # "teddy" is not among them
    assert places(rules_for(names)[1], ["n01440764"]) == [ids.index("n01440764")]


# ---- each rule --------------------------------------------------------------------------------------------


def test_names() -> None:
    assert len(set(NAMES)) == 1000
    assert places(BY_NAME, ["tench", "water_ouzel", "water ouzel", "Cardigan", "cardigan"]) == [
        0,
        20,
        20,
        264,
        474,
    ]
    wrong = ["Tench", "", "tench ", "n01440764", "0", "te", "tench\u0301", "maillot, tank suit"]
    assert places(BY_NAME, wrong) == [-1] * len(wrong)


def test_wordnet_ids() -> None:
    assert places(BY_ID, ["n01440764", "n15075141"]) == [0, 999]
    wrong = [
        "n99999999",
        "n0144076",
        "n014407640",
        "N01440764",
        "n01440764 ",
        "",
        "n０１４４０７６４",
        "01440764",
    ]
    assert places(BY_ID, wrong) == [-1] * len(wrong)


def test_wordnet_ids_in_file_names() -> None:
    for stem in (
        "ILSVRC2012_val_00000293_n01440764",
        "n01440764_10026",
        "0_n01440764_tench",
        "n01440764",
        "Schlei—é n01440764",
        "n01440764_n01440764",
        "281-n01440764-n1",
    ):
        assert places(BY_ID_IN_FILE, [stem]) == [0], stem
    for stem in (
        "ILSVRC2012_val_00000293",
        "n01440764_n02123045",  # whose is it?
        "xn01440764",
        "n01440764x",
        "n014407641",
        "N01440764_1",
        "n٠١٤٤٠٧٦٤",
        "n99999999_1",
        "",
    ):
        assert places(BY_ID_IN_FILE, [stem]) == [-1], stem


def test_indices() -> None:
    assert places(BY_INDEX, ["0", "007", "999", "7"]) == [0, 7, 999, 7]
    wrong = ["1000", "-1", "+1", "1.0", "٧", "²", " 1", "1_0", "", "0x1", "9" * 5000]
    assert places(BY_INDEX, wrong) == [-1] * len(wrong)


def test_indices_in_file_names() -> None:
    assert places(BY_INDEX_IN_FILE, ["0_a", "000_b", "17_c_3", "999_", "5_٧"]) == [0, 0, 17, 999, 5]
    wrong = [
        "00017",
        "17",
        "1000_a",
        "17-a",
        "a_17",
        "_17",
        "٧_a",
        "-1_a",
        "9" * 50 + "_a",
        "2020-01-01_a",
        "",
    ]
    assert places(BY_INDEX_IN_FILE, wrong) == [-1] * len(wrong)


def test_numbers_that_merely_count_are_no_indices() -> None:
    assert places(BY_INDEX_IN_FILE, ["0_a", "1_a", "2_a"]) == [-1] * 3
    assert places(BY_INDEX_IN_FILE, ["012_x", "010_z", "011_y"]) == [-1] * 3
    assert places(BY_INDEX_IN_FILE, ["0_a", "1_a", "2_a", "1_b"]) == [0, 1, 2, 1]
    assert places(BY_INDEX_IN_FILE, ["0_a", "10_a", "20_a"]) == [0, 10, 20]
    assert places(BY_INDEX_IN_FILE, ["5_a"]) == [5]


def test_numbered_files_in_several_folders_are_no_indices() -> None:
    dataset = pictures(["3_a", "9_b"])
    apart = replace(dataset, ids=("daisy/3_a.png", "rose/9_b.png"))
    assert attempt(BY_INDEX_IN_FILE, apart).places.tolist() == [-1, -1]
    together = replace(dataset, ids=("x/3_a.png", "x/9_b.png"))
    assert attempt(BY_INDEX_IN_FILE, together).places.tolist() == [3, 9]


# ---- the choice of a rule ---------------------------------------------------------------------------------


def test_the_first_that_finds_every_class_is_taken(imagenet: Classifier) -> None:
    texts = {"folder": ["0", "1"], "file": ["a_n15075141", "b_n15075141"]}
    attempts = [
        attempt(rule, pictures(texts["file" if rule.in_file_names else "folder"]))
        for rule in rules_for(NAMES)
    ]
    dataset, words = first_complete(imagenet, attempts)
    assert words == "the wordnet id in file names"  # shards called 0 and 1 are no classes
    assert dataset.class_names == NAMES
    assert dataset.labels.tolist() == [999, 999]
    dataset, words = first_complete(imagenet, [each for each in attempts if not each.rule.in_file_names])
    assert (words, dataset.labels.tolist()) == ("class index", [0, 1])


def test_two_texts_for_one_class_are_that_class(imagenet: Classifier) -> None:
    dataset, _ = first_complete(imagenet, [attempt(BY_INDEX, pictures(["7", "007", "8"]))])
    assert dataset.labels.tolist() == [7, 7, 8]


def test_classes_without_pictures_do_not_matter(imagenet: Classifier) -> None:
    dataset = replace(pictures(["nobody", "tench", "no one"]).select([1]))
    assert first_complete(imagenet, [attempt(BY_NAME, dataset)])[0].labels.tolist() == [0]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["n01440764", "n01443537", "tench"], r"the class 'tench' \(1 of 3 pictures\)"),
        (["tench", "goldfish", "n01440764"], r"the class 'n01440764' \(1 of 3 pictures\)"),
        (["0", "1", "1000"], r"the class '1000' \(1 of 3 pictures\)"),
        (["n01440764", "n99999999"], r"the class 'n99999999' \(1 of 2 pictures\)"),
        (
            ["daisy", "rose", "Löwenzahn", "tulip", "a", "b"],
            r"'rose', nor 'Löwenzahn', 'tulip' and 2 more \(5 of",
        ),
        (["x", "y"], r"the class 'x', nor 'y' \(2 of 2 pictures\)"),
    ],
)
def test_what_the_best_rule_does_not_find_is_named(texts: list[str], said: str, imagenet: Classifier) -> None:
    rules = [rule for rule in rules_for(NAMES) if not rule.in_file_names]
    with pytest.raises(DataError, match=f"does not know .*{said}") as caught:
        first_complete(imagenet, [attempt(rule, pictures(texts)) for rule in rules])
    assert "it knows 1000 classes: 'tench', 'goldfish'" in caught.value.hint
    assert "wordnet ids (n01440764) or indices" in caught.value.hint


@pytest.mark.parametrize(
    ("stems", "said"),
    [
        (["a_n01440764", "b_n01443537", "7_c"], r"in the file name '7_c' \(1 of 3 pictures\)"),
        (["n01440764_1", "n99999999_1"], r"in the file name 'n99999999_1' \(1 of 2 pictures\)"),
        (["7_a", "9_b", "1000_c"], r"in the file name '1000_c' \(1 of 3 pictures\)"),
        (["00017", "00018"], r"in the file name '00017', nor '00018' \(2 of 2 pictures\)"),
        (["1_a", "2_b"], r"in the file name '1_a', nor '2_b' \(2 of 2 pictures\)"),
    ],
)
def test_file_names_without_a_class_are_named(stems: list[str], said: str, imagenet: Classifier) -> None:
    rules = [rule for rule in rules_for(NAMES) if rule.in_file_names]
    with pytest.raises(DataError, match=f"finds no class of its own {said}") as caught:
        first_complete(imagenet, [attempt(rule, pictures(stems)) for rule in rules])
    assert "0001.jpg is no class" in caught.value.hint


def test_classes_of_ones_own_are_known_by_name_alone(tiny_models: tuple[str, str]) -> None:
    own = hs.load(tiny_models[1], num_classes=2)
    with pytest.raises(DataError, match=r"does not know the class '0', nor '1'") as caught:
        first_complete(own, [attempt(rule, pictures(["0", "1"])) for rule in rules_for(own.class_names)])
    assert caught.value.hint == "it knows 2 classes: 'class 0', 'class 1', ..."
