"""The garbage collector sleeps while modules load, works while the command does, and is left as it was."""

import gc
import subprocess
import sys
from collections.abc import Callable

import pytest

from headstart.cli.collector import collector_at_rest
from headstart.cli.console import show_progress


def test_it_sleeps_until_the_work_begins() -> None:
    with collector_at_rest():
        assert not gc.isenabled()
        with show_progress():
            assert gc.isenabled()
            assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_an_error_leaves_it_as_it_was() -> None:
    with pytest.raises(OSError, match="full"), collector_at_rest(), show_progress():
        raise OSError("full")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_command_leaves_it_as_it_was(headstart: Callable) -> None:
    assert headstart("models", "starter/*").code == 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_nothing_is_gone_through_at_the_end() -> None:
    """The last collections find nothing: going through all that was loaded took 1.7 seconds."""
    program = "import atexit, gc; atexit.register(lambda: print(len(gc.get_objects())))\n"
    program += "import sys; sys.argv = ['headstart', 'models', 'starter/*']\n"
    program += "from headstart.cli import main; main()"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(ended.stdout.splitlines()[-1]) < 1000
