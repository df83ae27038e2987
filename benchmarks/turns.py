"""What the benchmarks share: turns in processes of their own, spreads, memory, the machine, records."""

import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from headstart import __version__ as headstart_version
from headstart.core.machine import describe_machine, instruction_sets

PEERS = Path(__file__).parent / "peers"
_PACKAGES = ("torch", "torchvision", "timm", "pillow", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one process took and printed.

    Attributes:
        seconds: from its start to its end.
        printed: the JSON object that it printed, all of its output or the last line.
        peak_tree_bytes: most memory of the process and its children together that was seen.
        peak_process_bytes: largest resident set of the process itself, as the kernel kept it (VmHWM).
    """

    seconds: float
    printed: dict[str, Any]
    peak_tree_bytes: int
    peak_process_bytes: int


def run(command: Sequence[object], *, home: Path | None = None, sample_seconds: float = 0.5) -> Turn:
    """Run a command in a process of its own, and end the benchmark where it fails.

    Args:
        command: words of the command.
        home: its HEADSTART_HOME; None for an empty one that is gone afterwards.
        sample_seconds: how long to wait between two looks at its memory.
    """
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile("w+") as out:
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            "HEADSTART_HOME": str(home or empty),
            # What torch.compile translated must not be there from the turn before.
            "TORCHINDUCTOR_CACHE_DIR": str((home or Path(empty)) / "inductor"),
        }
        with tempfile.TemporaryFile("w+") as errors:
            words = [str(word) for word in command]
            start = time.perf_counter()
            process = subprocess.Popen(
                words, stdout=out, stderr=errors, env=environment, cwd=empty, text=True
            )
            tree = peak = 0
            while True:
                tree, peak = max(tree, _tree_bytes(process.pid)), max(peak, _peak_bytes(process.pid))
                try:
                    code = process.wait(sample_seconds)
                    break
                except subprocess.TimeoutExpired:
                    continue
            seconds = time.perf_counter() - start
            if code:
                errors.seek(0)
                sys.exit(f"{' '.join(words)}\nfailed with {code}:\n{errors.read()[-3000:]}")
        out.seek(0)
        return Turn(seconds=seconds, printed=_read(out.read()), peak_tree_bytes=tree, peak_process_bytes=peak)


def headstart(*words: object) -> list[object]:
    """Return the words of a headstart command of this Python."""
    return [sys.executable, "-m", "headstart", *words]


def take_turns(contestants: Mapping[str, Callable[[], Turn]], num_turns: int) -> dict[str, list[Turn]]:
    """Run every contestant `num_turns` times, alternating; every second round goes backwards."""
    taken: dict[str, list[Turn]] = {name: [] for name in contestants}
    for turn in range(num_turns):
        for name in reversed(contestants) if turn % 2 else contestants:
            taken[name].append(contestants[name]())
            note(f"turn {turn + 1} of {num_turns}: {name} {taken[name][-1].seconds:.1f} s")
    return taken


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median, lowest and highest of the turns' values, and the values."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "values": list(values),
    }


def ratios(peer: Sequence[float], ours: Sequence[float]) -> dict[str, Any]:
    """Return the spread of peer / ours, turn by turn: above 1 where the peer needs more."""
    return spread([theirs / our for theirs, our in zip(peer, ours, strict=True)])


def words(values: Mapping[str, Any], unit: str = "", *, digits: int = 1) -> str:
    """Return a spread in words: "2.4 s (2.3 to 2.6)"."""
    low, high = (f"{values[key]:,.{digits}f}" for key in ("low", "high"))
    return f"{values['median']:,.{digits}f}{unit and ' ' + unit} ({low} to {high})"


def goal_words(values: Mapping[str, Any], goal: float) -> str:
    """Return whether the median of some ratios reaches the goal, in words."""
    return f"goal {goal:g}: {'reached' if values['median'] >= goal else 'MISSED'}"


def begin(name: str, args: Any) -> dict[str, Any]:
    """Print what runs where, and return it as the beginning of the record.

    Args:
        name: of the benchmark.
        args: its parsed options; of paths only the last part is kept.
    """
    options = {key: value.name if isinstance(value, Path) else value for key, value in vars(args).items()}
    record = {
        "benchmark": name,
        "options": options,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": describe_machine(),
        "instruction_sets": instruction_sets(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_before": psutil.getloadavg()[0],
        "versions": {"headstart": headstart_version} | {each: version(each) for each in _PACKAGES},
    }
    versions = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
    print(f"{name}, {record['date']}, {record['machine']}, {record['cpu_capability']}, {record['gpu']}")
    print(f"{versions}; load before {record['load_before']:.2f}", flush=True)
    return record


def save(record: dict[str, Any], path: Path | None) -> None:
    """Write the record as JSON where --json says."""
    if path is not None:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def add_options(parser: Any, *, num_turns: int) -> None:
    """Add the options that every benchmark has."""
    parser.add_argument("--turns", type=int, default=num_turns, help="how often each contestant runs")
    parser.add_argument("--json", type=Path, help="file for the record, say in benchmarks/results/")


def note(text: str) -> None:
    """Say on stderr what was just done."""
    print(text, file=sys.stderr, flush=True)


def _read(text: str) -> dict[str, Any]:
    try:
        printed = json.loads(text)
    except ValueError:
        printed = json.loads(text.strip().splitlines()[-1])
    return dict(printed)


def _tree_bytes(pid: int) -> int:
    """Return the memory of a process and its children; on Linux pages that they share count once."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    except psutil.Error:
        pass
    return total


def _peak_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:  # ended, or no Linux
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) * 1024 if lines else 0
