"""What the deep part of an audit found, as records."""

from dataclasses import dataclass

from headstart.evaluate.records import Estimate, PairedDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A picture that can be read and is still likely of no use.

    Attributes:
        id: the picture's id.
        reason: in words: "one colour", "4 x 3 pixels".
    """

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicates:
    """Pictures that show the same without being the same file.

    Attributes:
        groups: ids that belong together, two or more, the largest group first.
        across_splits: those of them whose pictures lie in different splits that the data set brings.
        conflicts: those of them whose pictures have different labels.
        inflation: accuracy when the pictures of a group may lie on both sides of a split, minus accuracy when
            they may not, on the same pictures; None where it could not be measured.
    """

    groups: tuple[tuple[str, ...], ...]
    across_splits: tuple[tuple[str, ...], ...]
    conflicts: tuple[tuple[str, ...], ...]
    inflation: PairedDifference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSuspect:
    """A label that may well be wrong.

    Attributes:
        id: the picture's id.
        label: the class that it has.
        suggested: the class that a probe which never saw it gives most probability.
        probability: what the probe gives `label`, in [0, 1].
        suggested_probability: what it gives `suggested`.
    """

    id: str
    label: str
    suggested: str
    probability: float
    suggested_probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """A picture unlike all others.

    Attributes:
        id: the picture's id.
        similarity: mean cosine between its features and those of the ten pictures most like it.
    """

    id: str
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """How well the class is predicted by something that should say nothing of it.

    Attributes:
        source: what it was predicted from: "size and file format", "border pixels", "camera data".
        accuracy: cross-validated.
        chance: accuracy of always saying the most common class.
        is_suspicious: whether it says so much that a model may learn it in place of what is shown.
    """

    source: str
    accuracy: Estimate
    chance: float
    is_suspicious: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupProposal:
    """Pictures that seem to belong together, and should not lie on both sides of a split.

    Attributes:
        by: what to give `--group-by`: "folder", "name", "burst".
        num_groups: groups of two or more pictures.
        example: the name of one.
        nearest_inside: share of the grouped pictures whose most similar picture is of the same group.
        by_chance: the same share if groups said nothing.
    """

    by: str
    num_groups: int
    example: str
    nearest_inside: float
    by_chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepAudit:
    """What pixels, features and out-of-fold predictions show.

    Attributes:
        model: full name of the model that the features come from.
        suspects: pictures that are likely of no use.
        near_duplicates: pictures that show the same.
        label_suspects: labels that may well be wrong, the likeliest first.
        outliers: pictures unlike all others, the least similar first.
        shortcuts: what else predicts the class.
        groups: what seems to belong together.
        accuracy: of the probe whose predictions the label suspects rest on, near duplicates kept together;
            None where none could be fitted.
        skipped: what was not looked for, and why.
    """

    model: str
    suspects: tuple[Suspect, ...]
    near_duplicates: NearDuplicates
    label_suspects: tuple[LabelSuspect, ...]
    outliers: tuple[Outlier, ...]
    shortcuts: tuple[Shortcut, ...]
    groups: tuple[GroupProposal, ...]
    accuracy: Estimate | None
    skipped: tuple[str, ...]
