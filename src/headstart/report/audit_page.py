"""From an audit to a page of thumbnails."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.audit import Audit
from headstart.core.errors import PictureError
from headstart.data import ImageDataset
from headstart.data.thumbnail import make_thumbnail
from headstart.report.html import render_page, write_page

_MAX_PICTURES = 48  # of one kind
_MAX_GROUPS, _MAX_IN_GROUP = 24, 4


def write_audit_page(found: Audit, dataset: ImageDataset, path: Path | str) -> Path:
    """Write what an audit found as one self-contained html file with thumbnails.

    Args:
        found: the audit.
        dataset: the pictures; their thumbnails are made now.
        path: the file to write; its folder is made when it is missing.

    Returns:
        The path of the file.

    Raises:
        StorageError: the file cannot be written.
    """
    return write_page(Path(path), render_page("audit.html", **_shown(found, dataset)))


def _shown(found: Audit, dataset: ImageDataset) -> dict[str, Any]:
    """Return the sections: each a title, a sentence, the number found, and rows of pictures with captions."""
    classes = {
        each: dataset.class_names[label] for each, label in zip(dataset.ids, dataset.labels, strict=True)
    }

    def picture(picture_id: str, caption: str = "") -> dict[str, str]:
        return {
            "id": picture_id,
            "caption": caption or classes.get(picture_id, ""),
            "address": _address(dataset, picture_id),
        }

    def row_of(groups: Sequence[Sequence[str]]) -> list[list[dict[str, str]]]:
        return [[picture(each) for each in group[:_MAX_IN_GROUP]] for group in groups[:_MAX_GROUPS]]

    sections = [
        (
            "The same picture under different labels",
            "One of the labels is wrong.",
            len(found.conflicts),
            row_of(found.conflicts),
        )
    ]
    deep = found.deep
    if deep is not None:
        near = deep.near_duplicates
        sections += [
            (
                "Labels that may be wrong",
                "A probe that never saw the picture is sure of another. Look before you change one.",
                len(deep.label_suspects),
                [
                    [
                        picture(
                            each.id, f"{each.label}, or {each.suggested} ({each.suggested_probability:.0%})?"
                        )
                    ]
                    for each in deep.label_suspects[:_MAX_PICTURES]
                ],
            ),
            (
                "Nearly the same in different splits",
                "What training has seen says nothing about new pictures.",
                len(near.across_splits),
                row_of(near.across_splits),
            ),
            ("Nearly the same", "Copies, crops and bursts.", len(near.groups), row_of(near.groups)),
            (
                "Unlike all others",
                "Something else, or something rare.",
                len(deep.outliers),
                [[picture(each.id)] for each in deep.outliers[:_MAX_PICTURES]],
            ),
            (
                "Likely of no use",
                "Tiny, one colour, or a strip.",
                len(deep.suspects),
                [[picture(each.id, each.reason)] for each in deep.suspects[:_MAX_PICTURES]],
            ),
        ]
    return {"found": found, "sections": [each for each in sections if each[2]]}


def _address(dataset: ImageDataset, picture_id: str) -> str:
    """Return a thumbnail as a data: address, "" where the picture cannot be read any more."""
    try:
        thumbnail = make_thumbnail(dataset.source.read(picture_id))
    except PictureError:
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail).decode("ascii")
