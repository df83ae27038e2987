"""What this machine is, in words and numbers, from what the standard library and the system tell."""

import os
import platform
from pathlib import Path

# Instruction sets that decide how fast a network runs, by the kernel's names.
_INSTRUCTION_SETS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "amx_bf16",
    "amx_tile",
    "asimd",
    "bf16",
    "sve",
)


def processor_name() -> str:
    """Return the processor's name, or the architecture where the system tells no name."""
    for line in _cpu_lines():
        if line.lower().startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def instruction_sets() -> tuple[str, ...]:
    """Return the instruction sets that matter here, of those the processor has; () where it is not known."""
    for line in _cpu_lines():
        if line.lower().startswith(("flags", "features")):
            flags = set(line.partition(":")[2].split())
            return tuple(name for name in _INSTRUCTION_SETS if name in flags)
    return ()


def num_cores() -> int:
    """Return the number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the size of the main memory in bytes, 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0


def describe_machine() -> str:
    """Return processor, cores, memory and system in one line."""
    memory = f", {memory_bytes() / 2**30:.0f} GiB memory" if memory_bytes() else ""
    return f"{processor_name()}, {num_cores()} cores{memory}, {platform.system()} {platform.machine()}"


def _cpu_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # only Linux has it
        return []


def is_main_process() -> bool:
    """Return whether this process prints and writes: of those that `torchrun` started, the first."""
    return os.environ.get("RANK", "0") == "0"
