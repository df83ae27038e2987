"""The proof: what a file says of pictures, beside what the classifier itself says of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from headstart.core.errors import DataError, PictureError
from headstart.core.progress import Progress
from headstart.data import ImageDataset
from headstart.data.decode import decode
from headstart.embed import PlanOptions
from headstart.evaluate import paired_difference, wilson
from headstart.export.graph import Arrays, Floats, Run
from headstart.export.proof_pictures import ProofPictures
from headstart.export.records import ExportOptions, Parity
from headstart.models import Classifier
from headstart.predict import predict
from headstart.preprocess import to_input, to_pixels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proof:
    """What files of one classifier are held against.

    Attributes:
        classifier: the classifier.
        pictures: N pictures to measure on, all of which can be read, and others to calibrate with.
        own: what the classifier says of them, float32 of shape (N, K).
        options: what the files are given, and what is tolerated.
        progress: told about every picture.
    """

    classifier: Classifier
    pictures: ProofPictures
    own: Floats
    options: ExportOptions
    progress: Progress

    def given(self) -> Iterator[Arrays]:
        """Yield what a file is given for each picture."""
        preprocessing = self.options.include_preprocessing
        return file_inputs(self.classifier, self.pictures.measured, include_preprocessing=preprocessing)

    def probabilities(self, run: Run) -> Floats:
        """Return what a file says of the pictures, float32 of shape (N, K)."""
        self.progress.start("running the exported file", total=len(self.own), unit="pictures")
        rows = []
        for x in self.given():
            rows.append(run(x)[0])
            self.progress.advance()
        return np.stack(rows)

    def parity(self, probabilities: Floats) -> Parity:
        """Return how far a file's probabilities, (N, K), are from the classifier's."""
        same = self.own.argmax(1) == probabilities.argmax(1)
        # A probability that is no number is as far away as can be.
        differences = np.nan_to_num(np.abs(self.own - probabilities), nan=1.0)
        parity = Parity(
            pictures=self.pictures.words,
            num_pictures=len(same),
            largest_difference=float(differences.max()),
            agreement=wilson(int(same.sum()), len(same)),
        )
        if not self.pictures.are_labelled:
            return parity
        labels = self.pictures.measured.labels
        own_right, right = (each.argmax(1) == labels for each in (self.own, probabilities))
        return replace(
            parity,
            accuracy=wilson(int(right.sum()), len(right)),
            own_accuracy=wilson(int(own_right.sum()), len(right)),
            loss=paired_difference(own_right.astype(float), right.astype(float)),
        )


def begin_proof(
    classifier: Classifier, pictures: ProofPictures, *, options: ExportOptions, progress: Progress
) -> Proof:
    """Return what files are held against: what `headstart.predict` says of the pictures in its exact plan.

    Raises:
        DataError: none of the pictures can be read.
    """
    plan = PlanOptions(device=options.device, precision="fp32", plan="exact")
    rows = list(predict(classifier, pictures.measured, options=plan, progress=progress))
    readable = [index for index, row in enumerate(rows) if not row.error]
    if not readable:
        raise DataError(f"none of the {len(rows)} pictures can be read; the first: {rows[0].error}")
    if len(readable) < len(rows):
        words = f"{pictures.words}, less {len(rows) - len(readable)} that cannot be read"
        pictures = replace(pictures, words=words, measured=pictures.measured.select(readable))
    return Proof(
        classifier=classifier,
        pictures=pictures,
        own=np.stack([rows[index].probabilities for index in readable]),
        options=options,
        progress=progress,
    )


def file_inputs(
    classifier: Classifier, pictures: ImageDataset, *, include_preprocessing: bool
) -> Iterator[Arrays]:
    """Yield what a file is given for each picture: its upright pixels, or the network's input.

    Pictures that cannot be read are passed over.
    """
    for each in pictures.ids:
        try:
            image = decode(pictures.source.read(each))
        except PictureError:
            continue
        if include_preprocessing:
            yield np.array(image)[None]  # a copy that may be written to, or torch warns
        else:
            pixels = torch.from_numpy(to_pixels(image, classifier.preprocessing).copy())[None]
            yield to_input(pixels, classifier.preprocessing).contiguous().numpy()
