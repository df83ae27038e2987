"""The page in a real browser: somebody drops a picture and sees classes, and nothing leaves the machine."""

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running_service import TOKEN, Running, encoded

from headstart.models.neighbours import Neighbours

pytestmark = pytest.mark.browser

WIDTHS = (360, 768, 1280)
GIVE = """([name, data, kind]) => {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], name, {type: "image/jpeg"}));
  document.body.dispatchEvent(kind === "drop"
    ? new DragEvent("drop", {bubbles: true, dataTransfer: given})
    : new ClipboardEvent("paste", {bubbles: true, clipboardData: given}));
}"""


@pytest.fixture
def with_neighbours(start: Callable[..., Running], neighbours: Neighbours) -> Running:
    """A service that keeps training pictures."""
    return start(neighbours=neighbours)


class Visit:
    """The page, with everything it asked for and complained about."""

    def __init__(self, browser: Any, address: str, *, width: int = 1280, scheme: str = "light") -> None:
        self.page = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            has_touch=width < 500,
            is_mobile=width < 500,
        ).new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)

    def give(self, kind: str, name: str = "rose.jpg", seed: int = 0) -> None:
        """Drop or paste a picture."""
        raw = base64.b64encode(encoded(seed, size=(320, 240))).decode()
        self.page.evaluate(GIVE, [name, raw, kind])

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many pictures have their table."""
        self.page.wait_for_function(
            "count => document.querySelectorAll('tbody tr:first-child').length === count", arg=count
        )


def serious_faults(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['help']}" for each in found if each["impact"] in ("serious", "critical")]


def test_dropped_pasted_and_chosen_pictures_are_answered(
    browser: Any, service: Running, tmp_path: Path
) -> None:
    visit = Visit(browser, service.address)
    page = visit.page
    visit.give("drop", "dropped.jpg", 1)
    visit.wait_for_answers(1)
    visit.give("paste", "pasted.jpg", 2)
    visit.wait_for_answers(2)
    chosen = tmp_path / "chosen <b>.jpg"
    chosen.write_bytes(encoded(3))
    page.set_input_files("#files", [chosen])
    visit.wait_for_answers(3)
    assert page.locator("h3").all_inner_texts() == ["chosen <b>.jpg", "pasted.jpg", "dropped.jpg"]
    with service.client() as client:
        said = client.post("/predict", files={"f": encoded(3)}).json()["predictions"][0]
    assert page.locator(".verdict").first.inner_text() == said["label"]
    rows = page.locator("article").first.locator("tbody tr").all_inner_texts()
    assert len(rows) == 5
    assert rows[0].split() == [*said["label"].split(), f"{100 * said['probability']:.1f}", "%"]
    assert page.locator("#status").inner_text() == "3 pictures were looked at."
    assert {url.partition("://")[2].partition("/")[0] for url in visit.requests if "://" in url} == {
        service.address.partition("://")[2]
    } | {url.partition("://")[2].partition("/")[0] for url in visit.requests if url.startswith("blob:")}
    assert visit.complaints == []


def test_the_heat_map_comes_and_goes_by_keyboard(browser: Any, service: Running) -> None:
    visit = Visit(browser, service.address)
    page = visit.page
    visit.give("drop")
    visit.wait_for_answers(1)
    image, button = page.locator("figure img"), page.locator("button.map")
    before = image.get_attribute("src")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("button.map[aria-pressed=true]")
    assert image.get_attribute("src") != before
    assert image.evaluate("each => each.decode().then(() => each.naturalWidth)") > 0
    page.keyboard.press("Enter")
    page.wait_for_selector("button.map[aria-pressed=false]")
    assert image.get_attribute("src") == before
    assert visit.complaints == []


def test_the_keyboard_reaches_everything_and_taking_away_keeps_the_focus(
    browser: Any, service: Running
) -> None:
    visit = Visit(browser, service.address)
    page = visit.page
    visit.give("drop")
    visit.wait_for_answers(1)
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"files", "away", "map"} <= set(reached)
    page.locator(".away").focus()
    page.keyboard.press("Enter")
    assert page.locator("article").count() == 0
    assert page.evaluate("document.activeElement.id") == "files"


def test_a_refusal_is_told(browser: Any, service: Running) -> None:
    visit = Visit(browser, service.address)
    visit.page.evaluate(GIVE, ["bad.jpg", base64.b64encode(b"no picture at all").decode(), "drop"])
    visit.page.wait_for_selector(".wrong")
    assert "not a picture" in visit.page.locator(".wrong").inner_text()
    assert visit.page.locator(".no-picture").is_visible()


def test_the_token_comes_from_the_link_or_is_asked_for(browser: Any, start: Callable[..., Running]) -> None:
    service = start(token=TOKEN)
    visit = Visit(browser, f"{service.address}/#token={TOKEN}")
    visit.give("drop")
    visit.wait_for_answers(1)
    assert TOKEN not in visit.page.url
    assert not [url for url in visit.requests if TOKEN in url]
    stranger = Visit(browser, service.address)
    stranger.page.wait_for_selector("#token-form", state="visible")
    stranger.give("drop")
    for token in ("a-wrong-one", TOKEN):
        stranger.page.wait_for_selector("#token-form", state="visible")
        stranger.page.fill("#token", token)
        stranger.page.keyboard.press("Enter")
    stranger.wait_for_answers(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_axe_finds_no_serious_fault(
    browser: Any, service: Running, width: int, scheme: str
) -> None:
    visit = Visit(browser, service.address, width=width, scheme=scheme)
    page = visit.page
    visit.give("drop", "a-very-long-name-of-a-picture-without-any-break-in-it-" * 3 + ".jpg", 1)
    visit.give("drop", "tulip.jpg", 2)
    visit.wait_for_answers(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_faults(page) == []
    assert page.locator(".camera").is_visible() == (width < 500)
    folder = os.environ.get("HEADSTART_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/serve-{scheme}-{width}.png", full_page=True)
    page.goto(f"{service.address}/docs")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_faults(page) == []
    if folder:
        page.screenshot(path=f"{folder}/docs-{scheme}-{width}.png", full_page=True)
    assert visit.complaints == []


def test_a_script_could_not_run_even_if_one_got_in(browser: Any, service: Running) -> None:
    visit = Visit(browser, service.address)
    visit.page.evaluate(
        "() => { const script = document.createElement('script'); script.textContent = 'document.title = 1';"
        " document.body.append(script); }"
    )
    assert visit.page.title() != "1"
    assert any("Content Security Policy" in each for each in visit.complaints)


def test_training_pictures_like_it_are_shown_on_demand(browser: Any, with_neighbours: Running) -> None:
    visit = Visit(browser, with_neighbours.address)
    visit.give("drop")
    visit.wait_for_answers(1)
    visit.page.get_by_role("button", name="Show training pictures like it").click()
    pictures = visit.page.get_by_role("list", name="Training pictures like it").get_by_role("listitem")
    pictures.first.wait_for()
    assert pictures.count() == 4
    assert pictures.first.inner_text()
    assert visit.page.evaluate("[...document.querySelectorAll('.neighbours img')].every(e => e.naturalWidth)")
    assert visit.complaints == []


def test_without_training_pictures_none_are_offered(browser: Any, service: Running) -> None:
    visit = Visit(browser, service.address)
    visit.give("drop")
    visit.wait_for_answers(1)
    assert visit.page.get_by_role("button", name="Show training pictures like it").count() == 0
