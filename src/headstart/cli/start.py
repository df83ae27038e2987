"""How the command begins and ends: nothing heavy is imported before errors and Ctrl-C are looked after."""

import atexit
import errno
import io
import os
import signal
import sys
import threading
import warnings
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from headstart.cli.collector import collector_at_rest, forget_all
from headstart.cli.console import print_error
from headstart.core.errors import HeadstartError

TRACEBACK_VARIABLE = "HEADSTART_TRACEBACK"

STOPPED = 130  # 128 + SIGINT, as shells count

# Commands that write everything at their end, or nothing.
_BEGINNING_ANEW = frozenset({"evaluate", "export", "predict", "push", "report"})

_SOON_SECONDS = 0.02
# Name and file of what importlib calls when a module's lock is gone.
_IMPORT_LOCK_CALLBACK = ("cb", "<frozen importlib._bootstrap>")


def main() -> None:
    """Run the command; end with exit code 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    with _noted_interrupts() as interrupts, collector_at_rest():
        code = _run(interrupts)
    if code == STOPPED:
        _leave_at_once()
    # All is said by now: Ctrl-C while the interpreter takes itself apart would only print a traceback.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    atexit.register(forget_all)
    sys.exit(code)


def _run(interrupts: list[int]) -> int | str | None:
    """Return the exit code of the command in ``sys.argv``."""
    # Must be set before torch is imported. Threads that spin for long while they wait for each other are
    # a few percent faster alone, but several times slower as soon as another program keeps one of the cores.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # Odd metadata in somebody's picture is no news to them.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run_app()
        sys.stdout.flush()  # here, where its failing is an error like any other
    except KeyboardInterrupt:
        return _stop()
    except BrokenPipeError:  # the reader of our output has seen enough
        _drop_output()
        return 1
    except Exception as error:
        # Imports of compiled modules turn Ctrl-C into errors of their own.
        return _stop() if interrupts else _fail(error)
    return _stop() if code == STOPPED else code


def _run_app() -> int | str | None:
    from headstart.cli.app import app

    try:
        app()
    except SystemExit as end:  # typer's way of returning
        return end.code
    return 0


def _fail(error: Exception) -> int:
    if isinstance(error, HeadstartError):
        print_error(error.message, error.hint)
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        print_error(f"cannot write: {error.strerror}", "free some space, then run the same command again")
        _drop_output()  # for what could not be written cannot be written at the end either
    elif os.environ.get(TRACEBACK_VARIABLE):
        raise error
    else:
        print_error(
            f"something unforeseen happened: {type(error).__name__}: {error}",
            f"this is a fault of headstart; {TRACEBACK_VARIABLE}=1 shows where, for a report of it",
        )
    return 1


def _stop() -> int:
    hint = "what was finished is kept; run the same command again to go on"
    if not _BEGINNING_ANEW.isdisjoint(sys.argv[1:2]):
        hint = "nothing is kept: the same command begins anew"
    print_error("stopped", hint)
    return STOPPED


def _leave_at_once() -> None:
    """End the process as it is: threads that still work would be waited for.

    Python would also end it with a signal instead of the code where a compiled module saw Ctrl-C first.
    """
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(STOPPED)


def _drop_output() -> None:
    """Send what is still to be written to stdout nowhere."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _swallows_exceptions(frame: FrameType | None) -> bool:
    """Return whether Python, at the end of an object, would print an exception raised here and go on."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or (code.co_name, code.co_filename) == _IMPORT_LOCK_CALLBACK:
            return True
        frame = frame.f_back
    return False


@contextmanager
def _noted_interrupts() -> Iterator[list[int]]:
    """Give a list that Ctrl-C grows inside the block, beside raising KeyboardInterrupt as usual."""
    interrupts: list[int] = []
    usual = signal.getsignal(signal.SIGINT)
    # Somebody who has Ctrl-C ignored (a job in the background) or handled otherwise keeps that.
    if usual is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def note(number: int, frame: FrameType | None) -> None:
        if _swallows_exceptions(frame):
            threading.Timer(_SOON_SECONDS, interrupt_main).start()
            return
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, usual)
