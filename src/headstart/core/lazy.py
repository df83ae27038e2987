"""Public names of a room that are imported when they are first asked for, not with the room (PEP 562).

It keeps torch, scikit-learn and Pillow out of commands that do not need them.
"""

from collections.abc import Callable, Mapping
from importlib import import_module


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
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get
