"""What is wrong with somebody's pictures and labels, as one record with sentences a person can act on.

`audit` looks at what reading the files shows: unreadable and repeated pictures, contradicting labels, sizes
and balance. It changes nothing.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.audit.pictures import Audit, audit

__all__ = [
    "Audit",
    "audit",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Audit": "pictures",
        "audit": "pictures",
    },
)
