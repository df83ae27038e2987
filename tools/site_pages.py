"""A hook of mkdocs: pages of the site that are made from the code, and those that lie beside docs/.

The reference is made anew with every build: the commands' from their ``--help``, Python's from the names that
`headstart` and its rooms export, which mkdocstrings fills with their docstrings. No made page is kept.
"""

import ast
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

CHECKOUT = Path(__file__).resolve().parents[1]
BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "examples/going_beyond_torchvision.py")
"""Files outside of docs/ that its pages link to: they are part of the site, under beside/."""

_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")
_TUTORIAL = "tutorial.ipynb"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made, and what lies beside docs/."""
    made = {
        "reference/commands.md": commands_page(),
        "reference/python.md": python_page(),
        "reference/rooms.md": rooms_page(),
        "tutorial.md": notebook_page((CHECKOUT / "docs" / _TUTORIAL).read_text(encoding="utf-8")),
        **{f"beside/{name}": (CHECKOUT / name).read_text(encoding="utf-8") for name in BESIDE},
    }
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that lead out of docs/ in the checkout to where their targets are in the site."""
    here = page.file.src_uri
    return _LINK.sub(lambda found: _site_link(found[1], here), markdown)


def _site_link(link: str, page: str) -> str:
    """Return a link of a page as it is in the site; links are relative, as on GitHub."""
    beside = page.startswith("beside/")
    source = CHECKOUT / page.removeprefix("beside/") if beside else CHECKOUT / "docs" / page
    target = (source.parent / link).resolve()
    if not target.is_relative_to(CHECKOUT):
        return link
    name = target.relative_to(CHECKOUT).as_posix()
    to_root = "../" * page.count("/")
    if name == f"docs/{_TUTORIAL}" and page != "tutorial.md":
        return f"{to_root}tutorial.md"
    if name in BESIDE:
        return f"{to_root}beside/{name}"
    if beside and name.startswith("docs/"):
        return to_root + name.removeprefix("docs/")
    return f"{to_root}index.md" if name == "README.md" else link


def commands_page() -> str:
    """Return what every command's ``--help`` says."""
    from typer.main import get_command

    from headstart.cli.app import app

    main = get_command(app)
    commands: dict[str, Any] = {"headstart": main, **getattr(main, "commands", {})}
    parts = ["# Commands", "As `headstart COMMAND --help` prints them."]
    for name, command in commands.items():
        full = name if command is main else f"headstart {name}"
        with command.make_context(full, [], resilient_parsing=True) as context:
            text = command.get_help(context).replace("\b\n", "")
        parts.append(f"## {full}\n\n```text\n{text.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def python_page() -> str:
    """Return the page of the names that `import headstart as hs` gives."""
    names = exported(CHECKOUT / "src/headstart/__init__.py")
    intro = "All that `import headstart as hs` gives."
    return _directives("Python", intro, names)


def rooms_page() -> str:
    """Return the page of the names that each room exports, for programs that need more."""
    top = set(exported(CHECKOUT / "src/headstart/__init__.py").values())
    parts = ["# Rooms", "What each room of [the architecture](../architecture.md) exports besides."]
    for init in sorted((CHECKOUT / "src/headstart").glob("*/__init__.py")):
        names = {name: path for name, path in exported(init).items() if path not in top}
        if names and init.parent.name not in ("cli", "architectures"):
            summary = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
            parts += [f"## headstart.{init.parent.name}", summary.split("\n\n")[0]]
            parts += [_directive(path, level=3) for path in names.values()]
    return "\n\n".join(parts) + "\n"


def exported(init: Path) -> dict[str, str]:
    """Return the public names of a package, each with where it is defined, as its imports say.

    A name that another package only hands on is followed to the module that defines it.
    """
    found: dict[str, str] = {}
    tree = ast.parse(init.read_text(encoding="utf-8"))
    public: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("headstart"):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            public = ast.literal_eval(node.value)
    return {name: _home(found[name]) for name in public if name in found}


def _home(path: str) -> str:
    module, _, name = path.rpartition(".")
    init = CHECKOUT / "src" / module.replace(".", "/") / "__init__.py"
    return exported(init).get(name, path) if init.is_file() else path


def _directives(title: str, intro: str, names: dict[str, str]) -> str:
    parts = [f"# {title}", intro, *(_directive(path, level=2) for path in names.values())]
    return "\n\n".join(parts) + "\n"


def _directive(path: str, *, level: int) -> str:
    return f"::: {path}\n    options:\n      heading_level: {level}"


def notebook_page(text: str) -> str:
    """Return a notebook's cells as Markdown."""
    parts = ["[The notebook](tutorial.ipynb), to run for yourself."]
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join([parts[1], parts[0], *parts[2:]]) + "\n"
