"""An extension of griffe, for the site: the section "Example" of a docstring is code, as "Examples" is."""

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^( *)Example:$", re.M)


class ExampleSections(griffe.Extension):
    """Renames the section in the copy that griffe works with."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rename it in one object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = _SECTION.sub(r"\1Examples:", obj.docstring.value)
