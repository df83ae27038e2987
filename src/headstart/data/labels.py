"""Labels as data sets write them, and the numbers and names of classes that they become."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.data.columns import ColumnWriter, parts

Label: TypeAlias = int | str


class LabelsWriter:
    """Takes labels as they come, and numbers their classes at the end."""

    def __init__(self) -> None:
        self._places: dict[Label, int] = {}  # of different labels, in the order in which they came
        self._column = ColumnWriter(np.int64)

    def extend(self, labels: Iterable[Label]) -> None:
        """Add labels at the end."""
        self._column.write([self._places.setdefault(each, len(self._places)) for each in labels])

    def finish(self, known: tuple[str, ...]) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
        """Return the names of classes, and int64 of shape (N,): their numbers.

        Args:
            known: names by number; () where only the labels themselves are known: classes are then in order
                of number where all are numbers, else of name.
        """
        names = self._names(known)
        if names is known:
            numbers = np.array(list(self._places), np.int64)
        else:
            number_of = {each: number for number, each in enumerate(names)}
            numbers = np.array([number_of[str(each)] for each in self._places], np.int64)
        places, labels = self._column.finish(), ColumnWriter(np.int64)
        for part in parts(len(places)):
            labels.write(numbers[places[part]])
        return names, labels.finish()

    def _names(self, known: tuple[str, ...]) -> tuple[str, ...]:
        if not all(isinstance(each, int) for each in self._places):
            return tuple(sorted({str(each) for each in self._places}))
        return known or tuple(str(each) for each in sorted({int(each) for each in self._places}))
