"""A million tiny pictures through a Ray cluster on this machine: how long, and each process's memory.

    python benchmarks/million.py WORK [--pictures 100000 300000 1000000] [--workers 2]

Drawn are WebDataset tars of 10,000 PNGs of 16 x 16 pixels in ten classes, in WORK, where they stay for the
next time. For each size a cluster is started, and `headstart embed` runs on it from an empty HEADSTART_HOME,
pictures at 32 pixels. The memory of every process is looked at each second: what it holds by itself, without
pages of files that the system may take back at any time. The list of pictures lies in such files, and above a
gigabyte, 210,000 pictures, so do their features: of 100,000 they are 488 MiB of the command's memory.

Printed for each size: seconds, pictures a second, and the most that one process of each kind held. --json
writes the record.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from turns import begin, headstart, note, save

PER_TAR = 10_000
NUM_CLASSES = 10
_SIDE = 16


def draw(folder: Path, num_pictures: int) -> Path:
    """Return a folder with so many pictures in tars, drawn where they are not there yet."""
    tars = folder / f"tiny-{num_pictures}"
    tars.mkdir(parents=True, exist_ok=True)
    for number in range(-(-num_pictures // PER_TAR)):
        tar = tars / f"shard-{number:06d}.tar"
        if not tar.is_file():
            part = tar.with_suffix(".part")
            _draw_tar(part, number, min(PER_TAR, num_pictures - number * PER_TAR))
            part.rename(tar)
    return tars


def _draw_tar(path: Path, number: int, count: int) -> None:
    generator = np.random.default_rng(number)
    with tarfile.open(path, "w") as archive:
        for index in range(count):
            label = index % NUM_CLASSES
            pixels = generator.integers(0, 128, (_SIDE, _SIDE, 3), np.uint8)
            pixels[..., label % 3] += np.uint8(12 * label)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG", compress_level=1)
            for suffix, data in (("png", file.getvalue()), ("cls", str(label).encode())):
                entry = tarfile.TarInfo(f"{number:06d}-{index:06d}.{suffix}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))


@contextmanager
def cluster(num_workers: int, home: str) -> Iterator[list[int]]:
    """Start a cluster, and give the processes of its nodes."""
    environment = {**os.environ, "HEADSTART_HOME": home}
    words = [sys.executable, "-m", "headstart", "cluster"]
    up = [*words, "up", "--workers", str(num_workers), "--cores", "1"]
    subprocess.run(up, env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        yield json.loads((Path(home) / "cluster" / "trial.json").read_text())["process_ids"]
    finally:
        subprocess.run([*words, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


def own_bytes(roots: list[int]) -> dict[str, int]:
    """Return the most that a process of each kind holds by itself, among these and what they started."""
    largest: dict[str, int] = {}
    for root in roots:
        with suppress(psutil.Error):
            first = psutil.Process(root)
            for process in (first, *first.children(recursive=True)):
                with suppress(psutil.Error):
                    memory = process.memory_info()
                    kind = _kind(process.name())
                    largest[kind] = max(largest.get(kind, 0), memory.rss - memory.shared)
    return largest


def _kind(name: str) -> str:
    if name.startswith("ray::"):
        return "worker"
    return name if name in ("raylet", "gcs_server") else "other of Ray"


def embed(tars: Path, num_workers: int) -> dict[str, Any]:
    """Embed the pictures on a cluster, and return what that took."""
    peaks: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as home, cluster(num_workers, home) as nodes:
        words = headstart("embed", tars, "--models", "efficientnet_lite0", "--resolution", 32)
        words += ["--cluster", "auto", "--json"]
        environment = {**os.environ, "HEADSTART_HOME": home}
        started = time.perf_counter()
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                [str(word) for word in words],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            while process.poll() is None:
                time.sleep(1.0)
                found = own_bytes(nodes)
                with suppress(psutil.Error):
                    memory = psutil.Process(process.pid).memory_info()
                    found["the command"] = memory.rss - memory.shared
                peaks = {kind: max(peaks.get(kind, 0), found.get(kind, 0)) for kind in {*peaks, *found}}
            seconds = time.perf_counter() - started
            if process.returncode:
                errors.seek(0)
                sys.exit(errors.read()[-3000:])
        printed = json.loads(process.stdout.read()) if process.stdout is not None else {}
    return {
        "num_pictures": printed["num_pictures"],
        "num_computed": printed["num_computed"],
        "seconds": seconds,
        "plan": printed["plan"],
        "peak_bytes": dict(sorted(peaks.items())),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the pictures")
    parser.add_argument("--pictures", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file for the record")
    args = parser.parse_args()
    record = begin("million", args)
    record["results"] = []
    for num_pictures in args.pictures:
        tars = draw(args.work.resolve(), num_pictures)
        note(f"{num_pictures:,} pictures are there")
        result = embed(tars, args.workers)
        record["results"].append(result)
        peaks = ", ".join(f"{kind} {size / 2**20:,.0f} MiB" for kind, size in result["peak_bytes"].items())
        rate = result["num_pictures"] / result["seconds"]
        took = f"{result['seconds']:,.0f} s, {rate:,.0f} a second"
        print(f"{num_pictures:>9,} pictures: {took}; {peaks}", flush=True)
    save(record, args.json)


if __name__ == "__main__":
    main()
