"""What is wrong with somebody's pictures and labels, as one record with sentences a person can act on.

`pictures` looks at what reading the files shows: unreadable and repeated pictures, contradicting labels,
sizes and balance. `deep` goes on with a model's features: near duplicates (`near_duplicates`, by `thumbnails`
and `neighbours`), labels that are likely wrong (`labels`), what else tells the class (`shortcuts`), what
belongs together (`groups`) and outliers. No picture is changed; `cleaned` writes a table of the sound ones.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.audit.cleaned import check_cleanable, write_cleaned
    from headstart.audit.pictures import Audit, audit
    from headstart.audit.records import DeepAudit

__all__ = [
    "Audit",
    "DeepAudit",
    "audit",
    "check_cleanable",
    "write_cleaned",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Audit": "pictures",
        "DeepAudit": "records",
        "audit": "pictures",
        "check_cleanable": "cleaned",
        "write_cleaned": "cleaned",
    },
)
