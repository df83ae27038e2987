"""What the service answers, as records of JSON."""

import base64

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from headstart.catalog.user_rows import without_folders
from headstart.models import Classifier
from headstart.models.neighbours import Neighbours
from headstart.predict.prediction import Prediction
from headstart.preprocess import describe
from headstart.serve.refusals import Refusal


class NamedClass(BaseModel):
    """One class and how probable it is."""

    label: str
    probability: float = Field(description="calibrated, in [0, 1]")


class Answer(BaseModel):
    """What is said of one picture."""

    name: str = Field(description="as it was sent")
    label: str | None = Field(
        description='the most probable class, or "unknown" where it is below the threshold; null where '
        "the picture cannot be read"
    )
    probability: float | None = Field(description="of the most probable class")
    best: str | None = Field(description="the most probable class, also where the label is unknown")
    unknown: bool = Field(description="whether the label says so")
    unlike: bool | None = Field(
        description="whether the picture is unlike those that the model was trained on; null where it knows "
        "nothing of them"
    )
    top: list[NamedClass] = Field(description="the most probable first")
    error: str = Field(description='why it cannot be read, or ""')
    hint: str = Field(description="what to do about it")


class Answers(BaseModel):
    """What is said of the pictures of one request, in their order."""

    predictions: list[Answer]


class TrainingPicture(BaseModel):
    """One training picture that is like the new one."""

    label: str
    distance: float = Field(description="between the features, at least 0")
    jpeg: str = Field(description="a small copy, in base64")


class TrainingPictures(BaseModel):
    """The training pictures that are most like one new one, the most similar first."""

    neighbours: list[TrainingPicture]


class Model(BaseModel):
    """What the model is."""

    name: str
    class_names: list[str]
    num_params: int
    preprocessing: str = Field(description="what a picture goes through, in words")
    temperature: float
    threshold: float | None = Field(description="below which an answer is unknown; null where there is none")
    false_alarm_rate: float | None = Field(
        description="share of pictures like those of training that are called unlike them; null where none is"
    )
    keeps_neighbours: bool = Field(description="whether it has training pictures to show beside new ones")
    license: str = Field(description="of the pretrained weights")
    plan: str = Field(description="how the network is run here")
    card: str = Field(description='the model folder\'s card, as Markdown; "" without one')


class RefusalBody(BaseModel):
    """Why a request is not answered."""

    error: str = Field(description="what happened")
    hint: str = Field(description="what to do")


def answer(name: str, prediction: Prediction, class_names: tuple[str, ...], *, top: int) -> Answer:
    """Return the answer for one picture.

    Args:
        name: of the picture, as it was sent.
        prediction: what is said of it.
        class_names: in the order of its probabilities.
        top: number of classes to name.
    """
    row = prediction.probabilities
    best = (-row).argsort(kind="stable")[:top]
    return Answer(
        name=name,
        label=prediction.label,
        probability=prediction.probability,
        best=prediction.best,
        unknown=prediction.is_unknown,
        unlike=prediction.is_unlike,
        top=[NamedClass(label=class_names[place], probability=float(row[place])) for place in best],
        error="",
        hint="",
    )


def unread(name: str, refusal: Refusal) -> Answer:
    """Return the answer for one picture, among others, that cannot be read."""
    return Answer(
        name=name,
        label=None,
        probability=None,
        best=None,
        unknown=False,
        unlike=None,
        top=[],
        error=refusal.error,
        hint=refusal.hint,
    )


def training_pictures(
    neighbours: Neighbours, features: npt.NDArray[np.float32], class_names: tuple[str, ...], *, k: int
) -> TrainingPictures:
    """Return the training pictures most like one new picture, whose features are float32 of shape (1, D)."""
    places, distances = neighbours.nearest(features, k=k)
    return TrainingPictures(
        neighbours=[
            TrainingPicture(
                label=class_names[neighbours.labels[place]],
                distance=float(distance),
                jpeg=base64.b64encode(neighbours.thumbnail(int(place))).decode(),
            )
            for place, distance in zip(places[0], distances[0], strict=True)
        ]
    )


def describe_model(classifier: Classifier, *, plan: str, card: str, keeps_neighbours: bool) -> Model:
    """Return what the model is.

    Args:
        classifier: the model.
        plan: how it is run, in words.
        card: the model folder's card, as Markdown; "" without one.
        keeps_neighbours: whether there are training pictures to show.
    """
    return Model(
        name=without_folders(classifier.entry).name,
        class_names=list(classifier.class_names),
        num_params=classifier.num_params,
        preprocessing=describe(classifier.preprocessing),
        temperature=classifier.temperature,
        threshold=classifier.threshold,
        false_alarm_rate=classifier.familiarity.false_alarm_rate if classifier.familiarity else None,
        keeps_neighbours=keeps_neighbours,
        license=classifier.license or "unknown",
        plan=plan,
        card=card,
    )
