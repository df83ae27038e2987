"""Pixels to vectors, once: decoding, forward pass and writing as three stages, and the cache between runs."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.embed.embedding import Embeddings, embed, embed_all
    from headstart.embed.engine import Engine
    from headstart.embed.group import fitting_groups
    from headstart.embed.pixels import PixelStore
    from headstart.embed.plan import Plan, PlanOptions, require_device
    from headstart.embed.resolution import choose_resolution, sample_sides

__all__ = [
    "Embeddings",
    "Engine",
    "PixelStore",
    "Plan",
    "PlanOptions",
    "choose_resolution",
    "embed",
    "embed_all",
    "fitting_groups",
    "require_device",
    "sample_sides",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Embeddings": "embedding",
        "Engine": "engine",
        "PixelStore": "pixels",
        "Plan": "plan",
        "PlanOptions": "plan",
        "choose_resolution": "resolution",
        "embed": "embedding",
        "embed_all": "embedding",
        "fitting_groups": "group",
        "require_device": "plan",
        "sample_sides": "resolution",
    },
)
