"""How often pictures are decoded."""

import threading
from collections import Counter

import pytest

from headstart.data import RawPicture
from headstart.data.pixels import PreparedPicture, prepare_picture
from headstart.embed import decoding, pixels


def count_decodes(monkeypatch: pytest.MonkeyPatch) -> Counter[RawPicture]:
    """Count how often each picture is prepared."""
    counts: Counter[RawPicture] = Counter()
    lock = threading.Lock()

    def prepare(raw: RawPicture, *args: object, **options: object) -> PreparedPicture:
        with lock:
            counts[raw] += 1
        return prepare_picture(raw, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pixels, "prepare_picture", prepare)
    monkeypatch.setattr(decoding, "prepare_picture", prepare)
    return counts
