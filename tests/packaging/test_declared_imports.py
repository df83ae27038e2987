"""What the code imports, pyproject.toml asks for: a package that only happens to lie here is not enough."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[2]
OURS = {"headstart", "pretrainedmodels"}


def requirements(texts: list[str], extras: frozenset[str]) -> Iterator[Requirement]:
    """Those of `texts` that apply on this machine with any of `extras` chosen."""
    for text in texts:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def asked_for(extras: set[str]) -> set[str]:
    """Names of all distributions that the project brings with `extras`, theirs included."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    texts = project["dependencies"] + [text for extra in extras for text in optional[extra]]
    waiting = list(requirements(texts, frozenset()))
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            texts = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:
            continue
        waiting.extend(requirements(texts, key[1]))
    return {name for name, _ in seen}


def imported(folder: Path) -> set[str]:
    """Top-level names of what the files under `folder` import, less the standard library and their own."""
    names = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    own = {file.stem for file in folder.rglob("*") if file.is_dir() or file.suffix == ".py"}
    return names - set(sys.stdlib_module_names) - OURS - own


@pytest.mark.parametrize(
    ("folder", "leaves_out"), [("src", {"dev", "docs", "browser"}), ("tests", set())], ids=["src", "tests"]
)
def test_every_import_is_asked_for(folder: str, leaves_out: set[str]) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = asked_for(set(project["optional-dependencies"]) - leaves_out)
    homes = metadata.packages_distributions()
    undeclared = {
        name: homes.get(name, [])
        for name in imported(CHECKOUT / folder)
        if name in homes and not {canonicalize_name(home) for home in homes[name]} & brought
    }
    assert not undeclared
