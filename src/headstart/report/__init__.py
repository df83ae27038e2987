"""A comparison or an audit as one html file: self-contained, no request to anywhere, paths relative.

`html` writes it, `words` says it in sentences (the command's closing lines use them too), `things_to_know`
picks three of them; `numbers` sets values, `charts`, `scatter`, `share_charts` and `confusion` draw, `plots`
hands the same to the script. What it looks like, the script and uPlot stand in `templates/`, which travel
with the wheel.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.report.audit_page import write_audit_page
    from headstart.report.html import write_report

__all__ = ["write_audit_page", "write_report"]

# Not with the room: `words` needs no template engine.
__getattr__ = lazy_attributes(__name__, {"write_audit_page": "audit_page", "write_report": "html"})
