"""What every test stands on: a cache of its own, no network, small drawn pictures, tiny networks."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

BROWSER_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an empty cache, and nothing of the user's settings."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HEADSTART_HOME", str(home))
    for variable in ("HEADSTART_MIRROR", "HEADSTART_OFFLINE", "HEADSTART_CATALOG", "HEADSTART_TRACEBACK"):
        monkeypatch.delenv(variable, raising=False)
    return home


@pytest.fixture(scope="session")
def shared() -> Path:
    """The material that lies beside the checkout on some machines; tests that need it skip elsewhere."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the material beside the checkout is not on this machine")
    return folder


def draw_shape(kind: str, *, seed: int, side: int = 48) -> Image.Image:
    """Draw a disc, a square or a cross of random colour, size and place on a noisy ground."""
    generator = np.random.default_rng([seed, len(kind)])
    ground = generator.integers(0, 90, (side, side, 3), dtype=np.uint8)
    image = Image.fromarray(ground)
    pen = ImageDraw.Draw(image)
    colour = tuple(int(level) for level in generator.integers(120, 256, 3))
    half = int(generator.integers(side // 6, side // 3))
    x, y = (int(value) for value in generator.integers(half, side - half, 2))
    if kind == "disc":
        pen.ellipse((x - half, y - half, x + half, y + half), fill=colour)
    elif kind == "square":
        pen.rectangle((x - half, y - half, x + half, y + half), fill=colour)
    else:
        pen.line((x - half, y, x + half, y), fill=colour, width=4)
        pen.line((x, y - half, x, y + half), fill=colour, width=4)
    return image


@pytest.fixture(scope="session")
def draw() -> Callable[..., Image.Image]:
    """Return the function that draws one shape."""
    return draw_shape


@pytest.fixture(scope="session")
def draw_folder() -> Callable[..., Path]:
    """Return a function that fills a folder with drawn shapes, one folder a class."""

    def draw(root: Path, *, per_class: int, kinds: tuple[str, ...] = ("cross", "disc", "square")) -> Path:
        for kind in kinds:
            (root / kind).mkdir(parents=True, exist_ok=True)
            for index in range(per_class):
                draw_shape(kind, seed=index).save(root / kind / f"{index:04}.png")
        return root

    return draw


@pytest.fixture(scope="session")
def draw_noise() -> Callable[..., Path]:
    """Return a function that fills a folder with pictures of noise."""

    def draw(root: Path, *, count: int) -> Path:
        root.mkdir()
        for index in range(count):
            pixels = np.random.default_rng(index).integers(0, 256, (48, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"{index:04}.png")
        return root

    return draw


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory, draw_folder: Callable[..., Path]) -> Path:
    """A folder of 3 classes with 180 pictures each: enough for a locked test set."""
    return draw_folder(tmp_path_factory.mktemp("data") / "shapes", per_class=180)


@pytest.fixture(scope="session")
def few_shapes(tmp_path_factory: pytest.TempPathFactory, draw_folder: Callable[..., Path]) -> Path:
    """A folder of 3 classes with 15 pictures each: too few to lock any away."""
    return draw_folder(tmp_path_factory.mktemp("data") / "few", per_class=15)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Names of two networks of half a million random parameters, as checkpoints of timm's test models."""
    import timm
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("weights")
    names = []
    for architecture in ("test_resnet", "test_efficientnet"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = timm.create_model(architecture, num_classes=7)
        path = folder / f"{architecture}.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
        names.append(f"timm/{architecture}@{path}")
    return names[0], names[1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser, as Playwright drives it."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=list(BROWSER_ARGUMENTS))
        yield opened
        opened.close()
