"""Where the labels of a chart go, so that none lies on another, on a mark or outside."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

# Of the chart's letters, 12 units high; on the wide side, for fonts differ.
_LETTER_WIDTH = 6.8
_ASCENT, _DESCENT = 10.0, 3.0


class Box(NamedTuple):
    """A rectangle, in units of the chart, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Return whether the two share more than an edge."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def inside(self, other: "Box") -> bool:
        """Return whether this one lies in the other entirely."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


class Label(NamedTuple):
    """A text wanted for a mark at (x, y) from top to bottom, and a shorter one if it has no room."""

    x: float
    y: float
    top: float
    bottom: float
    text: str
    fallback: str


class PlacedLabel(NamedTuple):
    """A text whose "start", "middle" or "end", as `anchor` says, is at x, and its base line at y."""

    x: float
    y: float
    anchor: str
    text: str


def place_labels(wanted: Sequence[Label], *, taken: Sequence[Box], area: Box) -> list[PlacedLabel]:
    """Return the labels that find a free place, earlier ones choosing first.

    Args:
        wanted: the labels, the most important first.
        taken: where no label may lie.
        area: where all labels must lie.
    """
    occupied, placed = list(taken), []
    for label in wanted:
        candidates = (place for text in (label.text, label.fallback) for place in _places(label, text))
        found = next((place for place in candidates if _is_free(place, occupied, area)), None)
        if found is not None:
            placed.append(found)
            occupied.append(extent(found))
    return placed


def _places(label: Label, text: str) -> Iterator[PlacedLabel]:
    """Yield where `text` could go, the best first: beside the mark, above and below it, then further away."""
    x, y, above, below = label.x, label.y, label.top - 5, label.bottom + 13
    for down in (4, -10, 18):
        yield PlacedLabel(x + 12, y + down, "start", text)
        yield PlacedLabel(x - 12, y + down, "end", text)
    for level in (above, below):
        yield PlacedLabel(x, level, "middle", text)
    for level in (above, below):
        yield PlacedLabel(x - 4, level, "start", text)
        yield PlacedLabel(x + 4, level, "end", text)
    for down in (-24, 32, -38, 46):
        yield PlacedLabel(x + 12, y + down, "start", text)
        yield PlacedLabel(x - 12, y + down, "end", text)


def _is_free(place: PlacedLabel, occupied: list[Box], area: Box) -> bool:
    box = extent(place)
    return box.inside(area) and not any(box.overlaps(other) for other in occupied)


def extent(label: PlacedLabel) -> Box:
    """Return the room that a placed label takes at most."""
    width = _LETTER_WIDTH * len(label.text)
    left = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
    return Box(left, label.y - _ASCENT, left + width, label.y + _DESCENT)
