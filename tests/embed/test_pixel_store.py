"""Pixels kept between networks: each picture is decoded once, whatever the number of candidates."""

import errno
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from counting import count_decodes

import headstart as hs
from headstart.catalog.entry import Preprocessing
from headstart.compare import CompareOptions, compare
from headstart.core.errors import PictureError
from headstart.data import pixels as pixels_module
from headstart.data import workers
from headstart.data.pixels import prepare_picture
from headstart.data.scan import scan
from headstart.embed import PixelStore, PlanOptions, embed, pixels
from headstart.embed.decoding import Decoding, decode_batches
from headstart.embed.pixels import pixel_kind

SMALL = Preprocessing(input_size=(24, 24))
OTHER = Preprocessing(input_size=(32, 32), fit="pad", mean=(0.1, 0.2, 0.3))


@pytest.mark.parametrize("min_for_processes", [0, 10**9])
@pytest.mark.parametrize("decoder", ["fast", "exact"])
def test_what_is_kept_is_what_was_decoded(
    few_shapes: Path, decoder: str, min_for_processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_MIN_FOR_PROCESSES", min_for_processes)
    dataset = hs.open_dataset(few_shapes)
    with PixelStore((SMALL, OTHER), decoder=decoder) as store:  # type: ignore[arg-type]
        other_part = hs.open_dataset(few_shapes).select(range(40, 45))
        scan(other_part, keeper=store)  # a second part must not be written over the first
        read = scan(dataset, keeper=store)
        assert read.widths.tolist() == [48] * 45
        for kind in (SMALL, OTHER):
            digests = dict(zip(read.dataset.ids, read.dataset.digests or (), strict=True))
            way = Decoding(
                source=dataset.source, preprocessing=kind, decoder=store.decoder, store=store, digests=digests
            )
            (batch,) = decode_batches(way, dataset.ids, batch_size=64)
            for each, kept in zip(dataset.ids, batch.pixels, strict=True):
                raw = dataset.source.read(each)
                assert np.array_equal(kept, prepare_picture(raw, (kind,), decoder=store.decoder).pixels[0])


@pytest.mark.slow
def test_a_comparison_decodes_every_picture_once(
    shapes: Path, tiny_models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_decodes(monkeypatch)
    options = CompareOptions(resolutions=(32,), fits=("squash", "pad"), plan="exact")
    race = compare(tiny_models, hs.open_dataset(shapes), out=tmp_path / "run", options=options)
    assert [row.error for row in race.rows] == [""] * 4
    assert len(counts) == 540
    assert max(counts.values()) == 1


def test_a_disk_that_is_full_costs_time_and_nothing_else(
    few_shapes: Path, tiny_models: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = hs.load(tiny_models[0]).with_preprocessing(SMALL)
    exact = PlanOptions(plan="exact")
    dataset = hs.open_dataset(few_shapes)
    expected = embed(classifier, dataset, options=exact).features
    monkeypatch.setenv("HEADSTART_HOME", f"{few_shapes}-home")
    monkeypatch.setattr(pixels, "_LEFT_FREE_BYTES", 10**18)
    counts = count_decodes(monkeypatch)
    found = embed(classifier, dataset, options=exact).features
    assert np.array_equal(found, expected)
    assert set(counts.values()) == {2}  # once by the scan, once for the network


def test_processes_find_the_disk_full(few_shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before stays known, the rest is not kept; nothing of it is read as pixels."""
    monkeypatch.setattr(workers, "_MIN_FOR_PROCESSES", 0)
    written, real = multiprocessing.get_context("fork").Value("i", 0), os.pwrite

    def full_after_ten(*args: object) -> int:
        with written.get_lock():
            written.value += 1
            if written.value > 10:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pwrite", full_after_ten)
    dataset = hs.open_dataset(few_shapes)
    with PixelStore((SMALL,), decoder="fast") as store:
        digests = scan(dataset, keeper=store).dataset.digests or ()
        out = np.empty((24, 24, 3), np.uint8)
        kept = [index for index, digest in enumerate(digests) if store.read(digest, SMALL, out)]
        assert len(kept) == 10
        for index in kept:
            store.read(digests[index], SMALL, out)
            raw = dataset.source.read(dataset.ids[index])
            assert np.array_equal(out, prepare_picture(raw, (SMALL,), decoder="fast").pixels[0])


def test_nothing_stays_behind(few_shapes: Path, own_home: Path) -> None:
    with PixelStore((SMALL,), decoder="fast") as store:
        scan(hs.open_dataset(few_shapes), keeper=store)
        assert list((own_home / "pixels").iterdir()) == []  # also while it is in use
    out = np.empty((24, 24, 3), np.uint8)
    assert not store.read("00" * 32, SMALL, out)


def test_what_cannot_be_read_is_not_kept() -> None:
    with PixelStore((SMALL,), decoder="fast") as store:
        with pytest.raises(PictureError, match="not a picture"):
            store.measure(b"no picture", store.reserve(1))
        assert not store.read("aa" * 32, SMALL, np.empty((24, 24, 3), np.uint8))


def test_a_kind_is_what_makes_pixels_and_nothing_else() -> None:
    changed = replace(
        SMALL, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), input_space="BGR", input_range=(0, 255)
    )
    assert pixel_kind(changed) == pixel_kind(SMALL)
    for other in (
        {"input_size": (24, 32)},
        {"fit": "squash"},
        {"crop_fraction": 0.5},
        {"interpolation": "bicubic"},
    ):
        assert pixel_kind(replace(SMALL, **other)) != pixel_kind(SMALL)  # type: ignore[arg-type]
    squash = replace(SMALL, fit="squash")
    assert pixel_kind(replace(squash, crop_fraction=0.5)) == pixel_kind(squash)
    padded = replace(SMALL, fit="pad")
    assert pixel_kind(replace(padded, mean=(0.0, 0.0, 0.0))) != pixel_kind(padded)


def test_decoders_are_loaded_before_processes_are_forked() -> None:
    pixels_module._torchvision_decoder.cache_clear()
    with PixelStore((SMALL,), decoder="fast") as store:
        store.reserve(1)
    assert pixels_module._torchvision_decoder.cache_info().currsize == 1
