"""Memory between batches: glibc gives large blocks back to the system, to fetch them again a moment later.

A network's activations are such blocks. Measured on two cores, EfficientNet-Lite0 in float32 at
224 px and batch 32 is 1.86 times as fast when they stay (`benchmarks/allocator.py`, features equal).
"""

import ctypes
import sys
from contextlib import suppress
from functools import cache

# Source: mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_NEVER = 2**31 - 1


def give_back_freed_memory() -> None:
    """Give what was freed back to the system after all, where no batch comes. Source: malloc_trim(3)."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def use_one_heap() -> bool:
    """Let all threads of this process take memory from one heap; to be called before there are others.

    Else glibc makes heaps of 64 MB for them, which it gives back whole, whatever `keep_freed_memory` says: a
    network that runs in another thread than the first ran at 0.66 of its speed, 31,000 page faults a batch.

    Returns:
        Whether that could be arranged: only with glibc.
    """
    return _set_all({_M_ARENA_MAX: 1})


@cache
def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next batch; it grows to its peak and no further.

    Returns:
        Whether that could be arranged: only with glibc. Elsewhere nothing is changed.
    """
    return _set_all({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER})


def _set_all(parameters: dict[int, int]) -> bool:
    """Set parameters of glibc's allocator; return whether they were taken. Source: mallopt(3)."""
    if sys.platform != "linux":
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        return all(libc.mallopt(name, value) for name, value in parameters.items())
    except (OSError, AttributeError):  # another C library
        return False
