"""The site builds strictly, its reference is whole, and its pages ask nothing of anybody else."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import headstart as hs

CHECKOUT = Path(__file__).resolve().parents[2]
# What makes a browser fetch: attributes of elements that load, and what style sheets name.
_LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object|link)\b[^>]*?\b(?:src|href|data)\s*=\s*["']?"""
    r"""((?:https?:)?//[^"'\s>]+)""",
    re.I,
)
_STYLE_LOADS = re.compile(r"""(?:url\(|@import\s+)\s*["']?((?:https?:)?//[^"')\s]+)""", re.I)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="comes with the extra 'docs'")
    folder = tmp_path_factory.mktemp("site")
    path = os.pathsep.join(filter(None, [str(CHECKOUT / "src"), os.environ.get("PYTHONPATH", "")]))
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=CHECKOUT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def text_of(page: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_page_is_there(site: Path) -> None:
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    for source in (CHECKOUT / "docs").glob("*.md"):
        assert f"{source.stem}.html" in pages
    assert {"tutorial.html", "beside/benchmarks/index.html", "beside/CHANGELOG.html"} <= pages
    assert (site / "tutorial.ipynb").is_file()


def test_the_reference_is_whole(site: Path) -> None:
    from typer.main import get_command

    from headstart.cli.app import app

    commands = text_of(site / "reference" / "commands.html")
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"Usage: headstart {name} " in commands
        for option in (each for param in command.params for each in param.opts if each.startswith("--")):
            assert option in commands, f"{name} {option}"
    python = (site / "reference" / "python.html").read_text(encoding="utf-8")
    headings = re.findall(r'<h2 id="headstart\.([\w.]+)"', python)
    assert sorted(name.rpartition(".")[2] for name in headings) == sorted(hs.__all__)
    # A function's arguments and errors come from its docstring.
    assert "the run's folder; None is" in text_of(site / "reference" / "python.html")
    rooms = text_of(site / "reference" / "rooms.html")
    for name in ("paired_difference", "save_folder", "push", "CompareOptions", "PlanOptions"):
        assert name in rooms


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    foreign = [
        f"{page.name}: {address}"
        for page in pages
        for pattern in (_LOADS, _STYLE_LOADS)
        for address in pattern.findall(page.read_text(encoding="utf-8"))
    ]
    sheets = [address for sheet in site.rglob("*.css") for address in _STYLE_LOADS.findall(sheet.read_text())]
    assert foreign + sheets == []


def test_links_within_the_site_lead_somewhere(site: Path) -> None:
    broken = []
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # its links are from the root
            continue
        for link in re.findall(r'<a [^>]*href="([^"#:]+)(?:#[^"]*)?"', page.read_text(encoding="utf-8")):
            target = (page.parent / unescape(link)).resolve()
            if not (target.is_file() or (target / "index.html").is_file()):
                broken.append(f"{page.name}: {link}")
    assert broken == []


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.browser
def test_a_browser_asks_nobody_else_and_finds_what_is_searched(browser: Any, served: str) -> None:
    page = browser.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for name in ("index", "compare", "reference/python", "reference/commands", "tutorial"):
        page.goto(f"{served}/{name}.html", wait_until="networkidle")
    page.goto(f"{served}/index.html", wait_until="networkidle")
    page.keyboard.press("/")
    page.keyboard.type("temperature")
    page.wait_for_selector(".md-search-result__item", timeout=20_000)
    assert wrong == []
    assert [address for address in asked if not address.startswith((served, "data:", "blob:"))] == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(scheme: str, browser: Any, served: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    faults = []
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        for name in ("index", "compare", "export"):
            page.goto(f"{served}/{name}.html", wait_until="networkidle")
            found = axe.run(page).response["violations"]
            faults += [
                (width, name, each["id"], each["nodes"][0]["html"])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
    assert faults == []
