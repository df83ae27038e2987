"""Public names of a room that are imported when they are first asked for, not with the room (PEP 562).

It keeps torch, scikit-learn and Pillow out of commands that do not need them.
"""

import gc
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType


def lazy_attributes(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return a module-level ``__getattr__`` for `package`.

    Args:
        package: the package's ``__name__``.
        homes: for each public name the module of the package that defines it; a module must not have the
            name of what it defines, for its import would hide it.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_quickly(f"{package}.{homes[name]}"), name)

    return get


def import_quickly(name: str) -> ModuleType:
    """Import a module while the garbage collector rests.

    It would go through all that is being loaded again and again, which is a fifth of the time that torch,
    timm and scikit-learn take to import.
    """
    if not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.enable()
