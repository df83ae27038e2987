"""A classifier over a stream of pictures: probabilities, one row a picture, unreadable ones included."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.predict.prediction import Prediction, predict
    from headstart.predict.scoring import predict_labelled

__all__ = [
    "Prediction",
    "predict",
    "predict_labelled",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Prediction": "prediction",
        "predict_labelled": "scoring",
        "predict": "prediction",
    },
)
