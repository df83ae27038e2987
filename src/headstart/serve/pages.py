"""The page to try the model, and the description of the interface: nothing on them comes from elsewhere."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_TEMPLATES = "templates"
_BOUNDS = {"minimum": "from", "maximum": "to", "default": "else"}
Page = Callable[[], Awaitable[Response]]


def main_page() -> Page:
    """Return what answers with the page to try the model; it asks the service for the rest."""
    page = _page("page.html")

    async def main_page() -> Response:
        return page

    return main_page


def docs_page(app: FastAPI) -> Page:
    """Return what answers with the description of the interface, made from its OpenAPI document."""

    @cache
    def page() -> Response:
        return _page("docs.html", schema=app.openapi(), words_of=words_of)

    async def docs_page() -> Response:
        return page()

    return docs_page


def words_of(schema: dict[str, Any]) -> str:
    """Return the type that a part of an OpenAPI document states, in words."""
    if "anyOf" in schema:
        return " or ".join(words_of(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if schema.get("type") == "array":
        return f"list of {words_of(schema['items'])}"
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return ", ".join([str(schema.get("format", schema.get("type", "anything"))), *bounds])


def _page(template: str, **shown: object) -> Response:
    style, script = _text("page.css"), _text("page.js") if template == "page.html" else ""
    html = (
        _environment()
        .get_template(template)
        .render(style=Markup(style), script=Markup(script), **shown)  # our own files
    )
    policy = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script) if script else "'none'",
        "img-src": "'self' blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    header = "; ".join(f"{name} {value}" for name, value in policy.items())
    return HTMLResponse(html, headers={"content-security-policy": header})


def _hash(text: str) -> str:
    """Return what a content security policy calls an inline text by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _text(name: str) -> str:
    return files("headstart.serve").joinpath(_TEMPLATES, name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("headstart.serve", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
