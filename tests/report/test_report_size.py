"""A report with every picture that it may hold can still be sent by mail."""

import io
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.compare.exhibits import MAX_DOUBTED_LABELS, MAX_GROUPS, MAX_IN_GROUP, MAX_NEAR_TIES
from headstart.compare.mistakes import MAX_MISTAKES
from headstart.compare.records import Comparison
from headstart.compare.shown_pictures import save_thumbnail
from headstart.report import write_report

MAX_BYTES, MAX_BYTES_WITHOUT = 10_000_000, 3_000_000


class NoisyPhotographs:
    """Photographs of 4 megapixels whose noise is as coarse as a thumbnail's pixels: the largest JPEGs."""

    def __init__(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=np.uint8)
        data = io.BytesIO()
        Image.fromarray(noise).resize((2000, 2000), Image.Resampling.NEAREST).save(data, "PNG")
        self.photograph = data.getvalue()

    def read(self, picture_id: str) -> bytes:
        return self.photograph


def with_every_picture(comparison: Comparison, run: Path) -> Comparison:
    """Return the comparison with as many pictures as one can have, all of them in the run's folder."""
    thumbnail = (run / save_thumbnail(NoisyPhotographs(), "noise.png", run)).read_bytes()
    numbers = count()

    def save() -> str:
        name = f"mistakes/noise {next(numbers)}.jpg"
        (run / name).write_bytes(thumbnail)
        return name

    mistake, tie, doubt = comparison.mistakes[0], comparison.near_ties[0], comparison.doubted_labels[0]
    group = replace(comparison.alike[0], ids=("a.jpg",) * 9, classes=("a",) * 9)
    return replace(
        comparison,
        mistakes=tuple(replace(mistake, thumbnail=save(), heat_map=save()) for _ in range(MAX_MISTAKES)),
        near_ties=tuple(replace(tie, thumbnail=save()) for _ in range(MAX_NEAR_TIES)),
        doubted_labels=tuple(replace(doubt, thumbnail=save()) for _ in range(MAX_DOUBTED_LABELS)),
        alike=tuple(
            replace(group, thumbnails=tuple(save() for _ in range(MAX_IN_GROUP))) for _ in range(MAX_GROUPS)
        ),
    )


def test_with_and_without_pictures(many_classes: Comparison, run_dir: Path, tmp_path: Path) -> None:
    full = with_every_picture(many_classes, run_dir)
    assert len(full.class_names) == 200
    html = write_report(full, tmp_path / "full.html", run_dir=run_dir).read_bytes()
    num_shown = 2 * MAX_MISTAKES + MAX_NEAR_TIES + MAX_DOUBTED_LABELS + MAX_GROUPS * MAX_IN_GROUP
    assert html.count(b"data:image/jpeg;base64,") == num_shown
    assert len(html) < MAX_BYTES
    without = write_report(full, tmp_path / "without.html").read_bytes()
    assert b"data:image/jpeg" not in without
    assert len(without) < MAX_BYTES_WITHOUT
    print(f"{len(html) / 1e6:.2f} MB with {num_shown} pictures, {len(without) / 1e6:.2f} MB without")
