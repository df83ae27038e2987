"""A classifier over pictures: probabilities, one row a picture, with the labels where there are some."""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.predict.labelled import LabelledPictures, open_labelled
    from headstart.predict.prediction import Prediction, predict
    from headstart.predict.scoring import predict_labelled

__all__ = [
    "LabelledPictures",
    "Prediction",
    "open_labelled",
    "predict",
    "predict_labelled",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "LabelledPictures": "labelled",
        "Prediction": "prediction",
        "open_labelled": "labelled",
        "predict_labelled": "scoring",
        "predict": "prediction",
    },
)
