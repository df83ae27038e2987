"""Learning on somebody's pictures: `LinearProbe` on frozen features, and the temperature that calibrates it.

Nothing here prints, chooses a model or sees test data.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.train.probe import LinearProbe
    from headstart.train.temperature import fit_temperature

__all__ = ["LinearProbe", "fit_temperature"]

__getattr__ = lazy_attributes(__name__, {"LinearProbe": "probe", "fit_temperature": "temperature"})
