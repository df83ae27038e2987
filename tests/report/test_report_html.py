"""The report as a file: whole, well-formed, self-contained, and nothing in it that was not put there."""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from report_shapes import SHAPES

from headstart.compare.records import Comparison
from headstart.core.errors import StorageError
from headstart.core.records import dumps, from_json
from headstart.report import write_report

# Two for each of six mistakes, two near ties, two doubted labels, two that are alike.
NUM_PICTURES = 6 * 2 + 2 + 2 + 2
VOID = {"meta", "link", "img", "br", "wbr"}
SVG_LEAVES = {"path", "rect", "circle"}
HEADINGS = ("h1", "h2", "h3")


class Page(HTMLParser):
    """Collects what a test asks about, and refuses tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SVG_LEAVES, f"<{tag}/> closes nothing in html"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        """Everything a reader sees, with single spaces."""
        return " ".join("".join(self.texts).replace("\u00a0", " ").split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every element called `tag`."""
        return [attributes for name, attributes in self.tags if name == tag]


def written(comparison: Comparison, folder: Path, run_dir: Path | None = None) -> str:
    path = write_report(comparison, folder / "report.html", run_dir=run_dir)
    return path.read_text(encoding="utf-8")


@pytest.fixture(params=SHAPES)
def any_comparison(request: pytest.FixtureRequest) -> Comparison:
    comparison: Comparison = request.getfixturevalue(request.param)
    return comparison


def test_every_shape_is_well_formed_small_and_loads_nothing(
    any_comparison: Comparison, tmp_path: Path
) -> None:
    html = written(any_comparison, tmp_path)
    page = Page(html)

    assert len(html.encode()) < 1_000_000
    assert not {"iframe", "object", "embed", "form", "base", "audio", "video"} & {tag for tag, _ in page.tags}
    assert page.all("script") == [{}, {}]
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], f"a handler in <{tag}>"
        source = attributes.get("src", "data:")
        assert source.startswith("data:"), source
    assert page.all("link") == [{"rel": "icon", "href": "data:,"}]
    assert not re.search(r"url\(|@import", html)
    assert not re.search(r"<style>.*https?:.*</style>", html, re.DOTALL)


def test_every_shape_has_the_policy_and_one_line_of_headings(
    any_comparison: Comparison, tmp_path: Path
) -> None:
    page = Page(written(any_comparison, tmp_path))
    policy = next(each["content"] for each in page.all("meta") if "http-equiv" in each)
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[^' ]{44}' 'sha256-[^' ]{44}';", policy)

    levels = [HEADINGS.index(tag) for tag, _ in page.tags if tag in HEADINGS]
    assert levels.count(0) == 1
    assert levels[0] == 0
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_shape_has_accessible_tables_links_and_pictures(
    any_comparison: Comparison, tmp_path: Path
) -> None:
    page = Page(written(any_comparison, tmp_path))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in each for each in page.all("th"))
    assert all(each.get("alt") for each in page.all("img"))
    assert all("aria-hidden" in each or "role" in each for each in page.all("svg"))

    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert max(ids.values()) == 1
    targets = [each["href"][1:] for each in page.all("a") if each["href"].startswith("#")]
    assert set(targets) <= set(ids)


def test_every_shape_hands_the_script_what_it_draws(any_comparison: Comparison, tmp_path: Path) -> None:
    figures = Page(written(any_comparison, tmp_path)).all("figure")
    plots = [json.loads(each["data-plot"]) for each in figures if "data-plot" in each]
    for plot in plots:
        assert plot["x"] == sorted(plot["x"])
        assert len(plot["words"]) == len(plot["x"])
        assert all(len(each["values"]) == len(plot["x"]) for each in plot["series"])
    num_plots = 2 * bool(any_comparison.calibration) + (len(any_comparison.rows) > 2)
    assert len(plots) == num_plots
    for each in figures:
        if "data-matrix" in each:
            matrix = json.loads(each["data-matrix"])
            assert len(matrix["names"]) == len(matrix["totals"]) == len(any_comparison.class_names)


def test_every_shape_survives_its_json(any_comparison: Comparison, tmp_path: Path) -> None:
    reloaded = from_json(Comparison, json.loads(dumps(any_comparison)))
    assert written(reloaded, tmp_path / "a") == written(any_comparison, tmp_path / "b")


def test_first_screen_answers_the_question(flowers: Comparison, tmp_path: Path) -> None:
    text = Page(written(flowers, tmp_path)).text
    first = text[: text.index("Ranking", text.index("allotment flowers") + 40)]
    assert "The model to use starter/efficientnet_lite2@128" in first
    assert "Right on about 94 of 100 new pictures" in first
    assert "95 % interval 92 to 97, measured on 360 pictures never used before" in first
    assert "and the cheapest of those by far" in first
    assert "starter/efficientnet_lite0@128 takes 8.2 ms a picture instead of 14 ms" in first
    assert "headstart predict RUN/model YOUR-PICTURES" in first
    assert "2 labels are in doubt. 1 picture has copies with another label" in first
    assert "14 pictures are copies" in first
    assert re.search("It mixes up “[a-z]+” and “[a-z]+” most: it took [0-9]+ pictures of “[a-z]+”", first)
    assert "Answers less than 20.0 % sure come out as “unknown”" in first


def test_ranking_shows_places_ties_costs_and_failures(flowers: Comparison, tmp_path: Path) -> None:
    text = Page(written(flowers, tmp_path)).text
    row = text[text.index("3 starter/efficientnet_lite1@128") :][:160]
    assert "tied with the best" in row
    assert "94.4 % 91.7 to 97.1" in row
    assert "1.3 −0.9 to 3.5" in row
    assert "5.4 M 11 ms Apache-2.0" in row
    failed = text[text.index("Candidates that failed") :][:400]
    assert "timm/resnest50d.in1k" in failed
    assert "HEADSTART_MIRROR" in failed


def test_looks_are_counted_and_shown(flowers: Comparison, tmp_path: Path) -> None:
    text = Page(written(flowers, tmp_path)).text
    assert "looked at twice: for the chosen model and a reference that was named beforehand" in text
    assert "too hopeful" not in text
    again = replace(flowers, looks=(*flowers.looks, flowers.looks[0]))
    assert "looked at 3 times" in Page(written(again, tmp_path)).text
    assert "too hopeful" in Page(written(again, tmp_path)).text


def test_nested_cross_validation_is_explained(nested: Comparison, tmp_path: Path) -> None:
    text = Page(written(nested, tmp_path)).text
    assert "No test set was locked away: that takes 500 pictures" in text
    assert "each judged by a model that had not seen it" in text
    assert "5-fold cross-validation, drawn 2 times" in text
    assert "Every look at the test set" not in text


def test_small_matrix_is_a_table_with_counts_and_shares(two_classes: Comparison, tmp_path: Path) -> None:
    html = written(two_classes, tmp_path)
    assert 'class="heat"' in html
    assert 'class="grid"' not in html
    assert "data-matrix" not in html[: html.index("<script>")]
    (cat_right, cat_wrong), _ = two_classes.confusion
    share = 100 * cat_right / (cat_right + cat_wrong)
    assert f"cat {cat_right} {share:.0f} % {cat_wrong}" in Page(html).text


def test_big_matrix_is_a_picture_with_the_worst_pairs(many_classes: Comparison, tmp_path: Path) -> None:
    html = written(many_classes, tmp_path)
    assert 'class="heat' not in html
    assert 'class="grid"' in html
    pairs = html[html.index("Mixed up most often") :]
    pairs = pairs[: pairs.index("</table>")]
    assert pairs.count("<tr>") == 1 + 20


def test_size_stays_bounded_for_a_full_matrix_of_many_classes(
    many_classes: Comparison, tmp_path: Path
) -> None:
    names = tuple(f"{index:04}" + "n" * 246 for index in range(1000))
    full = tuple(tuple((index + column) % 7 + 1 for column in range(1000)) for index in range(1000))
    huge = replace(many_classes, class_names=names, class_counts=(9,) * 1000, confusion=full)
    assert len(written(huge, tmp_path)) < 3_000_000


def test_hostile_names_stay_text(hostile: Comparison, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    rows = tuple(
        replace(row, name=f"{evil}{index}", error=row.error and evil)
        for index, row in enumerate(hostile.rows)
    )
    hostile = replace(
        hostile,
        dataset_name=evil,
        dataset_location=evil,
        rows=rows,
        chosen=rows[0].name,
        reason=evil,
        decisions=(evil,),
        command=evil,
        machine=evil,
        versions={evil: evil},
        digests={evil: evil},
        started=evil,
    )
    html = written(hostile, tmp_path)
    page = Page(html)
    assert html.count("<script") == len(page.all("script")) == 2
    assert "<img" not in html
    assert page.text.count("<script>alert(1)</script>") > 20
    assert "{{ 7 * 7 }}" in page.text
    assert "🦄 & 'élan'" in page.text
    assert "x" * 100 not in page.text
    assert any("x" * 250 in each.get("title", "") for each in page.all("bdi"))


def test_a_paper_is_a_link_only_when_it_is_an_address(flowers: Comparison, tmp_path: Path) -> None:
    assert 'href="https://arxiv.org/abs/1905.11946"' in written(flowers, tmp_path)
    entry = flowers.rows[0].entry
    assert entry is not None
    rows = (replace(flowers.rows[0], entry=replace(entry, paper="javascript:alert(1)")),)
    links = Page(written(replace(flowers, rows=rows), tmp_path)).all("a")
    assert not [link for link in links if not link["href"].startswith("#")]


def test_names_that_no_encoding_has_are_written(flowers: Comparison, tmp_path: Path) -> None:
    odd = replace(flowers.mistakes[0], id="caf\udce9\x00\x1b[31m.jpg")
    html = written(replace(flowers, mistakes=(odd,)), tmp_path)
    assert "caf?\ufffd\ufffd[31m.jpg" in html


def test_no_absolute_path_gets_in(flowers: Comparison, tmp_path: Path, run_dir: Path) -> None:
    row = replace(flowers.rows[0], name="timm/resnet50@/home/ann/nets/my.safetensors@224")
    comparison = replace(
        flowers,
        rows=(row, *flowers.rows[1:]),
        chosen=row.name,
        reason=f"{row.name} has the highest accuracy.",
        dataset_location="/home/ann/flowers",
        machine=r"paths C:\Users\ann\flowers and file:///home/ann/x",
        versions={"headstart": "0.1.0 at /home/ann/src/headstart"},
    )
    html = written(comparison, tmp_path, run_dir)
    text = Page(html).text
    for private in ("/home", "/srv", "ann/", "ann\\", "Users", str(tmp_path)):
        assert private not in text, private
        assert private not in html, private
    assert "headstart compare 'my flowers' --models 'starter/*' --out fl --seed 7" in text
    assert "timm/resnet50@my.safetensors@224" in text


def test_thumbnails_are_inlined_and_missing_ones_said(
    flowers: Comparison, tmp_path: Path, run_dir: Path
) -> None:
    page = Page(written(flowers, tmp_path, run_dir))
    pictures = page.all("img")
    assert len(pictures) == NUM_PICTURES
    assert all(each["src"].startswith("data:image/jpeg;base64,/9j/") for each in pictures)
    assert page.text.count("no picture kept") == 1
    assert "anemone/IMG 0000.jpg" in pictures[0]["alt"]
    assert Page(written(flowers, tmp_path)).text.count("no picture kept") == 7 + 2 + 2 + 2


def test_the_comparisons_own_folder_is_the_default(
    flowers: Comparison, tmp_path: Path, run_dir: Path
) -> None:
    page = Page(written(replace(flowers, folder=run_dir), tmp_path))
    assert len(page.all("img")) == NUM_PICTURES
    assert "headstart predict flowers-run/model YOUR-PICTURES" in page.text


def test_thumbnails_from_outside_the_run_stay_outside(
    flowers: Comparison, tmp_path: Path, run_dir: Path
) -> None:
    jpeg = (run_dir / "mistakes" / "000.jpg").read_bytes()
    (tmp_path / "private.jpg").write_bytes(jpeg)
    (run_dir / "notes.txt").write_text("a secret")
    (run_dir / "huge.jpg").write_bytes(jpeg + bytes(300_000))
    places = ("../private.jpg", str(tmp_path / "private.jpg"), "notes.txt", "huge.jpg", "mistakes", "a\0b")
    mistakes = tuple(replace(flowers.mistakes[0], thumbnail=place, heat_map=place) for place in places)
    bare = replace(flowers, mistakes=mistakes, near_ties=(), doubted_labels=(), alike=())
    assert Page(written(bare, tmp_path, run_dir)).all("img") == []


def test_left_out_pictures_are_counted_and_the_first_hundred_listed(
    flowers: Comparison, tmp_path: Path
) -> None:
    text = Page(written(flowers, tmp_path)).text
    assert "130 pictures were left out" in text
    assert text.count("truncated: 812 bytes missing") == 100
    assert "14 pictures have content that occurs more than once" in text


def test_all_failed_says_what_to_do(all_failed: Comparison, tmp_path: Path) -> None:
    text = Page(written(all_failed, tmp_path)).text
    assert "Both candidates failed" in text
    assert "HEADSTART_MIRROR" in text
    assert "The model to use" not in text
    assert "No picture was left out." in text


def test_a_choice_without_a_final_estimate_is_not_called_proven(flowers: Comparison, tmp_path: Path) -> None:
    bare = replace(flowers, final=None, looks=(), confusion=(), mistakes=(), calibration=None, rejection=None)
    page = Page(written(bare, tmp_path))
    text = page.text
    assert "What it mixes up could not be measured." in text
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {each["href"][1:] for each in page.all("a") if each["href"].startswith("#")} <= ids
    assert "They also served to choose it" in text
    assert "never used before" not in text


def test_an_unwritable_place_is_a_clear_error_and_keeps_what_was_there(
    flowers: Comparison, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(StorageError, match="cannot write"):
        write_report(flowers, tmp_path / "file" / "report.html")
    assert (tmp_path / "file").read_text() == "old"


def test_the_folder_is_made_and_the_path_returned(flowers: Comparison, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "r.html"
    assert write_report(flowers, str(path)) == path
    assert [each.name for each in path.parent.iterdir()] == ["r.html"]


def test_the_room_is_light() -> None:
    code = (
        "import sys; from headstart.report import write_report; "
        "print(*{'torch', 'torchvision', 'sklearn', 'scipy', 'timm', 'PIL'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
