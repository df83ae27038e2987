import inspect

from headstart.core import errors
from headstart.core.spreadsheet import safe_cell


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)
    assert all(issubclass(kind, errors.HeadstartError) for kind in kinds)


def test_each_error_is_also_the_built_in_one() -> None:
    for kind in errors.HeadstartError.__subclasses__():
        assert len(kind.__mro__) > len(errors.HeadstartError.__mro__) + 1, kind
        error = kind("what happened", hint="how to mend it")
        assert str(error) == "what happened"
        assert error.hint == "how to mend it"


def test_cells_that_a_spreadsheet_would_run_become_text() -> None:
    for start in "=+-@\t":
        assert safe_cell(f"{start}cmd") == f"'{start}cmd"
    assert safe_cell("flowers/a.jpg") == "flowers/a.jpg"
    assert safe_cell(-1.5) == -1.5
