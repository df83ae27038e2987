"""Learning on somebody's pictures: `LinearProbe` on frozen features, and `fine_tune` for the whole network.

Nothing here prints, chooses a model or sees test data.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.train.fine_tuning import TuneOptions, fine_tune
    from headstart.train.folding import fold_probe
    from headstart.train.probe import LinearProbe
    from headstart.train.recipe import RECIPES, Recipe, choose_recipe
    from headstart.train.temperature import fit_temperature

__all__ = [
    "RECIPES",
    "LinearProbe",
    "Recipe",
    "TuneOptions",
    "choose_recipe",
    "fine_tune",
    "fit_temperature",
    "fold_probe",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "RECIPES": "recipe",
        "LinearProbe": "probe",
        "Recipe": "recipe",
        "TuneOptions": "fine_tuning",
        "choose_recipe": "recipe",
        "fine_tune": "fine_tuning",
        "fit_temperature": "temperature",
        "fold_probe": "folding",
    },
)
