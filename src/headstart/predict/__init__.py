"""A classifier over pictures: probabilities, one row a picture, with the labels where there are some."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.predict.heat_map import heat_maps, overlay_heat_map
    from headstart.predict.labelled import LabelledPictures, open_labelled
    from headstart.predict.prediction import UNKNOWN, Prediction, predict
    from headstart.predict.scoring import predict_labelled
    from headstart.predict.unlike import batch_warning

__all__ = [
    "UNKNOWN",
    "LabelledPictures",
    "Prediction",
    "batch_warning",
    "heat_maps",
    "open_labelled",
    "overlay_heat_map",
    "predict",
    "predict_labelled",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "UNKNOWN": "prediction",
        "LabelledPictures": "labelled",
        "Prediction": "prediction",
        "heat_maps": "heat_map",
        "batch_warning": "unlike",
        "open_labelled": "labelled",
        "overlay_heat_map": "heat_map",
        "predict_labelled": "scoring",
        "predict": "prediction",
    },
)
