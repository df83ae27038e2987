"""The same pieces of work, run by a Ray cluster."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.cluster.connection import connect
    from headstart.cluster.ray_runner import RayRunner
    from headstart.cluster.tuning import tune_on

__all__ = ["RayRunner", "connect", "tune_on"]

__getattr__ = lazy_attributes(
    __name__, {"RayRunner": "ray_runner", "connect": "connection", "tune_on": "tuning"}
)
