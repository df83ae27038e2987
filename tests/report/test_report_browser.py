"""The report in a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headstart.compare.records import Comparison
from headstart.report import write_report

pytestmark = pytest.mark.browser

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SHAPES = ("flowers", "two_classes", "many_classes", "one_row", "nested", "hostile", "all_failed")
WIDTHS = (360, 768, 1280)
# Text that is cut off or pushed out of the page shows as an element reaching past the window's right edge,
# unless it lies in a box that scrolls.
OUTSIDE = """() => [...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName + '.' + e.className)"""
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield opened
        opened.close()


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
    assert widths == [96] * 6
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
    ):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector
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
