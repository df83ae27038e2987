"""Help that reads well, and answers before anything heavy is imported."""

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import pytest

COMMANDS = (
    "compare",
    "predict",
    "probe",
    "tune",
    "evaluate",
    "export",
    "models",
    "check",
    "embed",
    "report",
    "push",
    "serve",
    "cache",
    "fetch",
    "bundle",
    "load-bundle",
    "doctor",
)
_HEAVY = ("torch", "torchvision", "timm", "sklearn", "scipy", "numpy", "PIL")
# The goals are 0.3 and 0.5 s on an idle machine; tests may run beside other work.
_SLACK = 2.0


def test_help_names_every_command_and_where_to_start(headstart: Callable) -> None:
    said = headstart("--help")
    assert said.code == 0
    listed = [line.split()[0] for line in said.out.partition("Commands:\n")[2].splitlines() if line.strip()]
    assert listed[: len(COMMANDS)] == list(COMMANDS)
    assert "headstart compare digits" in said.out
    assert "..." not in said.out.partition("Commands:")[2], "a command's one line is cut off"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_examples_a_line_each(headstart: Callable, command: str) -> None:
    said = headstart(command, "--help")
    assert said.code == 0
    assert said.err == ""
    lines = said.out.splitlines()
    start = next(index for index, line in enumerate(lines) if line in ("  Example:", "  Examples:"))
    examples = lines[start + 1 : lines.index("", start)]
    assert examples
    assert all(line.startswith("    ") and "headstart " in line for line in examples)
    assert any(line.startswith(f"    headstart {command}") for line in examples)
    assert "\b" not in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_options_shown_in_examples_exist(headstart: Callable, command: str) -> None:
    """An example with a misspelt option would be worse than none."""
    text = headstart(command, "--help").out
    description, _, options = text.partition("\nOptions:\n")
    for line in description.splitlines():
        if line.startswith(f"    headstart {command}"):
            for word in line.split():
                assert not word.startswith("--") or word in options, f"{line}: {word}"


def test_short_and_long_help_are_the_same(headstart: Callable) -> None:
    assert headstart("-h").out == headstart("--help").out


def test_without_words_the_help_is_shown(headstart: Callable) -> None:
    said = headstart()
    assert said.code == 2
    assert "Commands:" in said.out + said.err


def test_version(headstart: Callable) -> None:
    import headstart as package

    assert headstart("--version").out == f"headstart {package.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        *([command, "--help"] for command in COMMANDS),
        ["models"],
        ["models", "efficientnet*"],
        ["models", "--available"],
        ["models", "efficientnet_lite0"],
        ["models", "efficientnet_lite0", "--json"],
        ["cache"],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    program = (
        "import sys\n"
        "from headstart.cli import main\n"
        f"sys.argv = ['headstart', *{words!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        f"    heavy = [name for name in {_HEAVY!r} if name in sys.modules]\n"
        "    sys.exit(end.code or (f'imported: {heavy}' if heavy else 0))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("words", "goal_seconds"), [(["--help"], 0.3), (["models", "efficientnet*"], 0.5)], ids=str
)
def test_light_commands_are_quick(words: list[str], goal_seconds: float) -> None:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "headstart", *words], capture_output=True, check=True)
        seconds.append(time.perf_counter() - started)
    assert median(seconds) < goal_seconds * _SLACK, seconds
