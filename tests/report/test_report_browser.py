"""The report in a real browser."""

import os
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from report_shapes import SHAPES

from headstart.compare.records import Comparison
from headstart.report import write_report

pytestmark = pytest.mark.browser

WIDTHS = (360, 800, 1400)
SERIOUS = ("serious", "critical")
# Text that is cut off or pushed out of the page shows as an element reaching past the window's right edge,
# unless it lies in a box that scrolls.
OUTSIDE = """() => [...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName + '.' + e.className)"""
# Where each text was written last onto a plot: left, top, width in pixels of the canvas.
NOTE_TEXTS = """() => {
  window.written = {};
  const plain = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    written[text] = [x - (this.textAlign === 'right' ? this.measureText(text).width : 0), y,
      this.measureText(text).width];
    plain.call(this, text, x, y);
  };
}"""
# The WCAG contrast of an element's text with the first ground behind it that is not transparent.
CONTRAST = """selector => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c[3]) return c; } return [255, 255, 255, 255]; };
  return Math.min(...[...document.querySelectorAll(selector)].map(e => {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }));
}"""


class Visit:
    """A page that was opened, with everything it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, *, width: int, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")


@pytest.mark.parametrize("shape", SHAPES)
def test_loads_alone_without_complaint_and_fits_every_width(
    shape: str, request: pytest.FixtureRequest, browser: Any, tmp_path: Path, run_dir: Path
) -> None:
    comparison: Comparison = request.getfixturevalue(shape)
    path = write_report(comparison, tmp_path / "report.html", run_dir=run_dir)
    for width in WIDTHS:
        visit = Visit(browser, path, width=width)
        asked_for = [url for url in visit.requests if not url.startswith("data:")]
        assert asked_for == [path.as_uri()]
        assert visit.complaints == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        assert visit.page.evaluate(OUTSIDE) == []
        visit.page.close()


def test_thumbnails_are_shown(browser: Any, flowers: Comparison, tmp_path: Path, run_dir: Path) -> None:
    path = write_report(flowers, tmp_path / "report.html", run_dir=run_dir)
    page = Visit(browser, path, width=1280).page
    widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert widths == [96] * 18
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(
    scheme: str, browser: Any, flowers: Comparison, tmp_path: Path
) -> None:
    path = write_report(flowers, tmp_path / "report.html")
    page = Visit(browser, path, width=1280, scheme=scheme).page
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    for selector in (
        "p",
        "a:not(.skip)",
        "td",
        "th",
        "dt",
        "dd",
        "caption",
        ".badge",
        ".interval",
        ".fine li",
        ".none",
        ".reading",
        ".reader label",
        ".sort",
        ".things li",
    ):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("shape", ["flowers", "many_classes", "hostile", "all_failed", "tuned"])
def test_axe_finds_no_serious_fault(
    shape: str, scheme: str, request: pytest.FixtureRequest, browser: Any, tmp_path: Path, run_dir: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    comparison: Comparison = request.getfixturevalue(shape)
    path = write_report(comparison, tmp_path / "report.html", run_dir=run_dir)
    page = Visit(browser, path, width=800, scheme=scheme).page
    found = axe.run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in SERIOUS] == []
    page.close()


def test_plots_are_read_with_the_keyboard_and_the_mouse(
    browser: Any, flowers: Comparison, tmp_path: Path
) -> None:
    page = Visit(browser, write_report(flowers, tmp_path / "report.html"), width=1400).page
    assert page.locator("figure.plotted canvas").count() == 3
    reading = page.locator("#threshold .reading")
    assert "From 20.0 % sure, 80 % of the pictures get an answer" in reading.inner_text()
    page.locator("#threshold input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    assert "From 15.0 % sure, 85 % of the pictures get an answer" in reading.inner_text()
    page.locator("#cost .u-over").scroll_into_view_if_needed()
    box = page.locator("#cost .u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 20)
    assert "convnext_small.fb_in22k_ft_in1k: 95.7 %" in page.locator("#cost .reading").inner_text()
    page.close()


def test_what_a_plot_shows_is_there_without_it(browser: Any, flowers: Comparison, tmp_path: Path) -> None:
    path = write_report(flowers, tmp_path / "report.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    for section in ("#cost", "#calibration", "#threshold"):
        assert page.locator(f"{section} svg.scatter").bounding_box()["height"] > 200
    assert page.locator("button, input, canvas").count() == 0
    context.close()


def test_classes_are_sorted_and_searched(browser: Any, many_classes: Comparison, tmp_path: Path) -> None:
    page = Visit(browser, write_report(many_classes, tmp_path / "report.html"), width=800).page
    table = page.locator("#classes table")
    names = "rows => rows.filter(row => !row.hidden).map(row => row.cells[0].textContent.trim())"
    table.locator("thead button").first.click()
    assert table.locator("tbody tr").evaluate_all(names)[:3] == [
        f"species number {index}" for index in range(3)
    ]
    table.locator("thead button").nth(3).focus()
    page.keyboard.press("Enter")
    assert table.locator("th").nth(3).get_attribute("aria-sort") == "ascending"
    found = table.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => Number(row.cells[3].dataset.value))"
    )
    assert found == sorted(found)
    page.get_by_label("Find a class").fill("NUMBER 17")
    assert sorted(table.locator("tbody tr").evaluate_all(names)) == sorted(
        ["species number 17", *(f"species number 17{digit}" for digit in range(10))]
    )
    page.close()


def test_a_matrix_of_200_classes_is_looked_up_and_pointed_at(
    browser: Any, many_classes: Comparison, tmp_path: Path
) -> None:
    page = Visit(browser, write_report(many_classes, tmp_path / "report.html"), width=1400).page
    said = page.locator("#confusion .tools .reading")
    one, other = next(
        (true, predicted)
        for true, row in enumerate(many_classes.confusion)
        for predicted, number in enumerate(row)
        if number and true != predicted
    )
    counts = many_classes.confusion[one]
    page.get_by_label("Look a class up").fill(f"species number {one}")
    assert f"species number {one}: {counts[one]} of {sum(counts)} found" in said.inner_text()
    page.get_by_role("button", name="Zoom in").click()
    assert page.locator("#confusion svg.grid").get_attribute("viewBox").endswith("25 25")
    page.get_by_role("button", name="Zoom in").click()
    picture = page.locator("#confusion svg.grid")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    cell = box["width"] / 201
    page.mouse.move(box["x"] + (other + 1) * cell, box["y"] + (one + 1) * cell)
    assert f"species number {one} taken for species number {other}: {counts[other]} of" in said.inner_text()
    page.close()


def test_pictures_are_enlarged_with_the_keyboard(
    browser: Any, flowers: Comparison, tmp_path: Path, run_dir: Path
) -> None:
    page = Visit(browser, write_report(flowers, tmp_path / "report.html", run_dir=run_dir), width=800).page
    page.locator("#mistakes .enlarge").first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    assert dialog.locator(".stage img").count() == 2  # the picture and its heat map
    assert dialog.locator(".stage img").first.bounding_box()["width"] > 300
    assert "anemone/IMG 0000.jpg" in dialog.inner_text()
    page.keyboard.press("ArrowRight")
    assert "bluebell/IMG 0001.jpg" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.className") == "enlarge"
    page.close()


def test_names_stay_text_in_what_the_script_writes(
    browser: Any, hostile: Comparison, tmp_path: Path, run_dir: Path
) -> None:
    visit = Visit(browser, write_report(hostile, tmp_path / "report.html", run_dir=run_dir), width=800)
    visit.page.locator("#mistakes .enlarge").first.click()
    assert "<script>alert(1)</script>" in visit.page.locator("dialog[open]").inner_text()
    assert visit.page.locator("img[onerror]").count() == 0
    assert visit.complaints == []
    visit.page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_screenshots(width: int, browser: Any, flowers: Comparison, tmp_path: Path, run_dir: Path) -> None:
    """They are not compared: they are for people, in the folder that SCREENSHOTS names."""
    page = Visit(browser, write_report(flowers, tmp_path / "report.html", run_dir=run_dir), width=width).page
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    page.screenshot(path=folder / f"report-{width}.png", full_page=True)
    assert (folder / f"report-{width}.png").stat().st_size > 50_000
    page.close()


def test_a_script_could_not_run_even_if_one_got_in(browser: Any, flowers: Comparison, tmp_path: Path) -> None:
    path = write_report(flowers, tmp_path / "report.html")
    html = path.read_text(encoding="utf-8")
    path.write_text(
        html.replace("</body>", "<script>document.title = 'run'</script></body>"), encoding="utf-8"
    )
    visit = Visit(browser, path, width=768)
    assert visit.page.title() != "run"
    assert any("Content Security Policy" in each for each in visit.complaints)
    visit.page.close()


def test_a_page_of_paper_is_wide_enough(browser: Any, flowers: Comparison, tmp_path: Path) -> None:
    path = write_report(flowers, tmp_path / "report.html")
    page = Visit(browser, path, width=680).page  # A4 with margins of 15 mm
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    page.close()


def test_everything_folded_is_printed(browser: Any, flowers: Comparison, tmp_path: Path) -> None:
    path = write_report(flowers, tmp_path / "report.html")
    page = browser.new_page()
    page.goto(path.as_uri())
    folded = "document.querySelector('#left-out details').getBoundingClientRect().height"
    assert page.evaluate(folded) < 50
    page.emulate_media(media="print")
    assert page.evaluate(folded) > 1000
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_names_in_the_plot_do_not_cover_one_another(
    width: int, browser: Any, many_classes: Comparison, tmp_path: Path
) -> None:
    path = write_report(many_classes, tmp_path / "report.html")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script(f"({NOTE_TEXTS})()")
    page.goto(path.as_uri())
    page.locator("#cost canvas").wait_for()
    page.wait_for_timeout(300)
    names = page.evaluate("JSON.parse(document.querySelector('#cost figure').dataset.plot).names")
    places = {text: place for text, place in page.evaluate("written").items() if text in names}
    assert "efficientnet_lite2@128" in places  # the chosen one
    for one, other in combinations(places.values(), 2):
        beside = one[0] + one[2] <= other[0] or other[0] + other[2] <= one[0]
        assert beside or abs(one[1] - other[1]) >= 12, (one, other)
    canvas = page.evaluate("document.querySelector('#cost canvas').width")
    assert all(left >= 0 and left + long <= canvas for left, _, long in places.values())
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_mixed_up_needs_no_scrolling(
    width: int, browser: Any, many_classes: Comparison, tmp_path: Path
) -> None:
    page = Visit(browser, write_report(many_classes, tmp_path / "report.html"), width=width).page
    hidden = """[...document.querySelectorAll('#confusion .side-by-side .scroll')]
      .map(each => each.scrollWidth - each.clientWidth)"""
    assert page.evaluate(hidden) == [0, 0]
    page.close()
