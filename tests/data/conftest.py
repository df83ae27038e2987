import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def png_bytes(seed=0, *, size=(12, 10)):
    """A small PNG whose content depends on the seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, size=(size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def make_folder(tmp_path):
    """Return a function that writes pictures (or given bytes) at paths below a new folder."""

    def make(paths, *, name="flowers"):
        root = tmp_path / name
        for seed, path in enumerate(paths):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            content = paths[path] if isinstance(paths, dict) else None
            target.write_bytes(png_bytes(seed) if content is None else content)
        return root

    return make


@pytest.fixture
def make_zip(tmp_path):
    """Return a function that packs pictures (or given bytes) under names into a new zip."""

    def make(names, *, name="flowers.zip", method=zipfile.ZIP_STORED) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", method) as archive:
            for seed, entry in enumerate(names):
                content = names[entry] if isinstance(names, dict) else None
                archive.writestr(entry, png_bytes(seed) if content is None else content)
        return path

    return make
