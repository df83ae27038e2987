"""What `import headstart` promises: the names, that they are light, what they say of themselves."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

import headstart as hs

HEAVY = ("torch", "torchvision", "timm", "numpy", "scipy", "sklearn", "PIL", "typer", "jinja2")
# Each bears the name of the room it lives in, which Python would put in its place.
NAMED_LIKE_ROOMS = ("audit", "compare", "embed", "evaluate", "export", "predict")


def all_modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(hs.__path__, "headstart."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def test_the_names_are_sorted_and_are_those_that_dir_shows() -> None:
    assert hs.__all__ == sorted(hs.__all__)
    assert set(dir(hs)) == {*hs.__all__, "__version__"}


@pytest.mark.parametrize("name", hs.__all__)
def test_every_name_is_a_function_or_class_that_says_what_it_does(name: str) -> None:
    thing = getattr(hs, name)
    assert inspect.isfunction(thing) or inspect.isclass(thing)
    assert thing.__module__.startswith("headstart.")
    assert inspect.getdoc(thing)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = hs.colour  # type: ignore[attr-defined]


def test_importing_headstart_imports_nothing_heavy() -> None:
    code = f"import sys, headstart; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_functions_stay_functions_after_their_rooms_are_imported() -> None:
    """In a process of its own, in which nothing was imported in another order before."""
    code = (
        "import headstart as hs\n"
        f"for name in {NAMED_LIKE_ROOMS!r}:\n"
        "    exec(f'import headstart.{name}')\n"
        "    exec(f'from headstart.{name} import {name}')\n"
        "import headstart.compare.records, headstart.embed.plan, headstart.audit.pictures\n"
        "import headstart.evaluate.records, headstart.predict.scoring\n"
        f"print(*(type(getattr(hs, name)).__name__ for name in {NAMED_LIKE_ROOMS!r}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["function"] * len(NAMED_LIKE_ROOMS)


def test_what_a_room_exports_exists_and_is_documented() -> None:
    undocumented = []
    for module in all_modules():
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if (inspect.isfunction(thing) or inspect.isclass(thing)) and not inspect.getdoc(thing):
                undocumented.append(f"{module.__name__}.{name}")
    assert undocumented == []


def test_no_public_function_has_boolean_positionals_or_keyword_dictionaries() -> None:
    found = []
    for name in hs.__all__:
        thing = getattr(hs, name)
        for parameter in inspect.signature(thing).parameters.values():
            positional = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                found.append(f"{name}(**{parameter.name})")
            elif positional and isinstance(parameter.default, bool):
                found.append(f"{name}({parameter.name})")
    assert found == []


def test_the_examples_in_docstrings_are_true() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(verbose=False)
    said: list[str] = []
    for module in [hs, *all_modules()]:
        for example in finder.find(module, module.__name__):
            runner.run(example, out=said.append)
    assert "".join(said) == ""
    assert runner.tries > 20  # else the finder finds nothing
