"""A classifier as a web service: one page to try it, and REST; the room in which FastAPI is imported."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.serve.app import create_app
    from headstart.serve.limits import Limits
    from headstart.serve.server import Server

__all__ = [
    "Limits",
    "Server",
    "create_app",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Limits": "limits",
        "Server": "server",
        "create_app": "app",
    },
)
