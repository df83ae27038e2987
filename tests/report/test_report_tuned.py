"""What the report says of a fine-tuning: curves in numbers, whether it helped in words, pictures, recipe."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.compare.records import Comparison
from headstart.evaluate.records import PairedDifference
from headstart.models.history import History
from headstart.report import write_report
from headstart.report.confusion import changed_pairs
from headstart.report.training_curves import round_scale, training_chart
from headstart.report.tuned import MAX_NOTES, MEANINGS, recipe_rows, tuning_sentences
from headstart.train import Recipe


def section(comparison: Comparison, folder: Path, run_dir: Path | None = None) -> str:
    path = write_report(comparison, folder / "report.html", run_dir=run_dir)
    html = path.read_text(encoding="utf-8").replace("\u00a0", " ")
    return html[html.index('<section id="fine-tuned"') :].partition("</section>")[0]


def history_of(tuned: Comparison) -> History:
    return tuned.tunings[0].history


def test_the_curves_go_through_every_epoch_and_mark_the_chosen_one(tuned: Comparison) -> None:
    root = ElementTree.fromstring(training_chart(history_of(tuned), number=1))
    lines = [each for each in root.iter("path") if each.get("class") == "line"]
    assert [each.get("stroke-dasharray") for each in lines] == ["5 4", None, None]
    assert all(each.attrib["d"].count("L") == 7 for each in lines)
    circles = list(root.iter("circle"))
    assert len(circles) == 3 * 8
    large = [each for each in circles if float(each.attrib["r"]) > 4]
    assert len(large) == 3
    assert all("epoch 6 (chosen)" in each.findtext("title", "") for each in large)
    ends = {each.attrib["d"].split()[0] for each in root.iter("path") if each.get("class") == "chosen-epoch"}
    assert ends == {f"M{large[0].attrib['cx']}", f"M{large[2].attrib['cx']}"}
    assert "epoch 1: training loss 1.300, validation log loss 0.504, accuracy 83.0" in root.findtext(
        "desc", ""
    )


def test_nothing_is_drawn_outside(tuned: Comparison) -> None:
    for epochs in (history_of(tuned).epochs, history_of(tuned).epochs[:1], history_of(tuned).epochs * 40):
        numbered = tuple(replace(each, number=number) for number, each in enumerate(epochs, start=1))
        history = replace(history_of(tuned), epochs=numbered, chosen=1)
        root = ElementTree.fromstring(training_chart(history, number=1))
        for circle in root.iter("circle"):
            assert 48 <= float(circle.attrib["cx"]) <= 752
            assert 30 <= float(circle.attrib["cy"]) <= 274
        assert len([each for each in root.iter("text") if each.get("text-anchor") == "middle"]) <= 18


def test_a_start_that_was_kept_has_no_mark_and_no_epoch_has_no_chart(tuned: Comparison) -> None:
    assert "chosen" not in re.sub(
        r'class="mark chosen"', "", training_chart(replace(history_of(tuned), chosen=0), number=1)
    )
    assert training_chart(replace(history_of(tuned), epochs=(), chosen=0), number=1) == ""


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=9))
def test_round_scales_hold_every_value_with_few_ticks(values: list[float]) -> None:
    scale = round_scale(values)
    assert all(-1e-6 <= scale.part(value) <= 1 + 1e-6 for value in values)
    assert 2 <= len(scale.ticks()) <= 10


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        ((0.021, 0.006, 0.036), "Fine-tuning helped: its accuracy is 2.1 points above that of its probe"),
        ((0.01, -0.005, 0.025), "cannot be told: its accuracy is 1.0 points above"),
        ((-0.01, -0.025, 0.005), "cannot be told: its accuracy is 1.0 points below"),
        ((-0.03, -0.05, -0.01), "did harm: its accuracy is 3.0 points below"),
        ((0.0, -0.01, 0.01), "did not help: its accuracy is that of its probe"),
    ],
)
def test_whether_it_helped_is_told_in_words(
    gain: tuple[float, float, float], words: str, tuned: Comparison
) -> None:
    value, low, high = gain
    difference = PairedDifference(value=value, low=low, high=high, confidence=0.95, n=288)
    first, second, *_ = tuning_sentences(tuned, replace(tuned.tunings[0], gain=difference))
    assert words in first
    assert "288 validation pictures" in first
    assert second == "The fine-tuned network is the chosen one."


def test_what_was_chosen_and_which_epoch_is_told(tuned: Comparison) -> None:
    first, second = tuned.tunings
    told = tuning_sentences(tuned, first)
    assert "Of 8 epochs number 6 was chosen" in told[2]
    assert "Training took 3" in told[3]
    assert "Another model was chosen." in tuning_sentences(tuned, second)
    kept = replace(tuned, chosen=first.probe)
    assert "with its probe, is kept" in tuning_sentences(kept, first)[1]
    start = replace(first, history=replace(first.history, chosen=0))
    assert "the weights of the start" in tuning_sentences(tuned, start)[2]
    none = replace(first, history=replace(first.history, chosen=0, epochs=()))
    assert "No epoch came to its end." in tuning_sentences(tuned, none)


def test_the_method_tells_how_tuned_networks_were_judged(tuned: Comparison, tmp_path: Path) -> None:
    html = write_report(tuned, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "is chosen only where the interval of its gain" in html
    assert "trained on the training pictures alone" in html
    assert "head was then trained again" not in html
    assert 'href="#fine-tuned"' in html


def test_every_setting_of_the_recipe_is_shown_with_its_meaning(tuned: Comparison, tmp_path: Path) -> None:
    names = [field.name for field in fields(Recipe)]
    assert set(MEANINGS) == set(names)
    rows = recipe_rows(history_of(tuned).recipe)
    assert [name for name, _, _ in rows] == [name.replace("_", " ") for name in names]
    assert dict((name, value) for name, value, _ in rows)["flip"] == "yes"
    shown = section(tuned, tmp_path)
    assert all(f">{name}</th>" in shown for name, _, _ in rows)
    assert recipe_rows({"from_later": 0.5}) == (("from later", "0.5", ""),)


def test_notes_lose_their_paths_and_are_not_endless(tuned: Comparison, tmp_path: Path) -> None:
    assert "left out: 1.jpg: truncated" in section(tuned, tmp_path)
    many = replace(history_of(tuned), notes=tuple(f"note {index}." for index in range(50)))
    shown = section(replace(tuned, tunings=(replace(tuned.tunings[0], history=many),)), tmp_path)
    assert shown.count("<li>note ") == MAX_NOTES
    assert "and 30 more of the like" in shown


def test_what_is_mixed_up_is_shown_before_and_after(tuned: Comparison, tmp_path: Path) -> None:
    before, after = ((5, 3, 0), (0, 9, 1), (0, 0, 4)), ((8, 0, 0), (2, 7, 1), (0, 0, 4))
    pairs = changed_pairs(before, after, ("a", "b", "c"), limit=2)
    assert [(each.true_class, each.predicted_class, each.before, each.after) for each in pairs] == [
        ("a", "b", 3, 0),
        ("b", "a", 0, 2),
    ]
    shown = section(tuned, tmp_path)
    assert shown.count('<table class="heat">') == 2 * 2
    assert "Before, by the probe" in shown


def test_many_classes_are_pictures(tuned_many: Comparison, tmp_path: Path) -> None:
    shown = section(tuned_many, tmp_path)
    assert shown.count('class="grid"') == 2 * 2
    assert 'class="heat' not in shown


def test_pictures_as_they_were_trained_on_are_inlined_with_words(
    tuned: Comparison, tmp_path: Path, run_dir: Path
) -> None:
    assert "<img" not in section(tuned, tmp_path)
    sheet = run_dir / tuned.tunings[0].sheet
    sheet.parent.mkdir(parents=True)
    sheet.write_bytes((run_dir / "mistakes" / "000.jpg").read_bytes())
    shown = section(tuned, tmp_path, run_dir)
    (alt,) = set(re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^"]*)"', shown))
    assert "From the top: anemone; bluebell" in alt


def test_without_fine_tuning_there_is_no_such_section(flowers: Comparison, tmp_path: Path) -> None:
    assert "fine-tuned" not in write_report(flowers, tmp_path / "r.html").read_text(encoding="utf-8")
