"""What the README and docs/ show is run: every command and all Python, in one folder, page after page."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import headstart as hs

CHECKOUT = Path(__file__).resolve().parents[2]
# In the order a reader meets them: later pages use what earlier ones leave, such as the trained model.
PAGES = (
    "README.md",
    "docs/index.md",
    "docs/get-started.md",
    "docs/compare.md",
    "docs/report.md",
    "docs/tune.md",
    "docs/data.md",
    "docs/check.md",
    "docs/models.md",
    "docs/weights.md",
    "docs/migrating.md",
    "docs/from-timm.md",
    "docs/from-fastai.md",
    "docs/predict.md",
    "docs/export.md",
    "docs/cluster.md",
    "docs/push.md",
    "docs/serve.md",
    "docs/embedding.md",
    "docs/statistics.md",
    "docs/benchmarks.md",
    "docs/speed.md",
    "docs/tutorial-claim.md",
    "docs/troubleshooting.md",
    "docs/architecture.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
)
LONG_PAGES = ("docs/cluster.md", "docs/compare.md", "docs/export.md", "docs/tune.md")
DOCS = [page for page in PAGES if page.startswith("docs/")]
OPTIONS_OF_OTHERS = (
    "--force-reinstall",
    "--local-dir",
    "--lr",
    "--no-deps",
    "--nproc-per-node",
    "--num-processes",
)

# A comment above a block says what is special about it.
_FAILS = "exit code 1"
_NETWORK = "needs the network"
_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_CALLS_HEADSTART = re.compile(r"^(?:[A-Z_]+=\S+ )*headstart |\| headstart ")
_SHELL_LETTERS = re.compile(r"[|>&;*]")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    mark: str
    kind: str
    text: str


def read(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    return [
        Block(mark=found["mark"] or "", kind=found["kind"], text=found["text"])
        for found in _BLOCK.finditer(read(page))
    ]


def commands_of(block: Block) -> list[str]:
    return [line for line in block.text.splitlines() if line.strip() and not line.startswith("#")]


def all_words() -> str:
    return "\n".join(read(page) for page in PAGES)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, draw_folder: Callable[..., Path]) -> Iterator[Path]:
    """A folder with what the pages name, and a command `headstart` for lines that need a shell."""
    import timm
    import torch
    from safetensors.torch import save_file

    root = tmp_path_factory.mktemp("workplace")
    # Few, for every comparison cross-validates them again.
    for folder, per_class in (("flowers", 4), ("new-photos", 2), ("damaged", 6)):
        draw_folder(root / folder, per_class=per_class)
        for shape, flower in (("cross", "daisy"), ("disc", "rose"), ("square", "tulip")):
            (root / folder / shape).rename(root / folder / flower)
    (root / "damaged" / "rose" / "0001.png").write_bytes(b"")
    (root / "damaged" / "daisy" / "0002.png").write_text("not a picture")
    pictures = sorted((root / "flowers").glob("*/*.png"))
    names = [picture.relative_to(root).as_posix() for picture in pictures]
    with zipfile.ZipFile(root / "flowers.zip", "w") as archive:
        for picture, name in zip(pictures, names, strict=True):
            archive.write(picture, name)
    rows = "".join(f"{name},{name.split('/')[1]}\n" for name in names)
    (root / "flowers.csv").write_text(f"path,label\n{rows}")
    # Of each flower the first two pictures are of one patient.
    patients = (
        f"{name},{name.split('/')[1]},{name.split('/')[1]}{max(1, index % 4)}"
        for index, name in enumerate(names)
    )
    (root / "patients.csv").write_text("\n".join(["path,label,patient", *patients]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model("resnet18", num_classes=7)
    save_file(network.state_dict(), root / "my.safetensors")
    (root / "bin").mkdir()
    command = root / "bin" / "headstart"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m headstart "$@"\n')
    command.chmod(0o755)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small only wait for each other's threads on a busy machine
    yield root
    torch.set_num_threads(num_threads)
    shutil.rmtree(root)


def run_here(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command in this process, which saves the seconds that importing takes; return its exit code."""
    main = importlib.import_module("headstart.cli").main
    monkeypatch.setattr(sys, "argv", words)
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def run_in_shell(line: str, root: Path) -> int:
    path = f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", line], env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}, check=False
    ).returncode


def run_line(line: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a line that calls headstart; return its exit code."""
    on_cluster = "cluster" in shlex.split(line)[:2] or "--cluster" in line  # Ray wants a process of its own
    if on_cluster or _SHELL_LETTERS.search(re.sub(r"'[^']*'", "", line)):
        return run_in_shell(line, root)
    words = shlex.split(line, comments=True)
    with monkeypatch.context() as patch:
        while "=" in words[0]:
            patch.setenv(*words.pop(0).split("=", maxsplit=1))
        return run_here(words, patch)


def targets_of_make() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.M))


def check_other_line(line: str) -> None:
    """Check a line that is not run: what it names must exist."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        assert set(words[1:]) <= targets_of_make(), line
    elif words[0].endswith("pip"):
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = {extra for found in re.findall(r"\[([\w,-]+)\]", line) for extra in found.split(",")}
        assert extras <= set(project["optional-dependencies"]), line
    elif words[0].endswith("python"):
        assert (CHECKOUT / words[1]).is_file(), line
    else:
        assert words[0] == ".venv/bin/pre-commit", f"nothing checks this line: {line}"


def run_block(block: Block, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a block; yield each line of it that did not do what the page says."""
    if block.mark.startswith("file: "):
        (root / block.mark.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
    elif block.kind == "python":
        exec(compile(block.text, "<docs>", "exec"), {"__name__": "docs"})
    elif block.kind == "sh":
        expected = 1 if block.mark in (_FAILS, _NETWORK) else 0
        for line in commands_of(block):
            if not _CALLS_HEADSTART.search(line):
                check_other_line(line)
                continue
            code = run_line(line, root, monkeypatch)
            if code != expected:
                yield f"{line}: exit code {code}, expected {expected}"


def check_page(
    page: str, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Run what a page shows, without a network: what needs one must fail by saying that it does."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("HEADSTART_HOME", str(root / "home"))
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    wrong = []
    for block in blocks_of(page):
        capfd.readouterr()
        wrong += run_block(block, root, monkeypatch)
        said = capfd.readouterr().err
        assert not wrong, "\n".join([*wrong, said])
        assert "something unforeseen" not in said
        if block.mark == _FAILS:
            assert said.count("error: ") == len(commands_of(block)), said
        if block.mark == _NETWORK:
            assert "HEADSTART_OFFLINE" in said


@pytest.mark.skipif(os.name == "nt", reason="the pages are written for a POSIX shell")
def test_what_the_readme_shows_works(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    check_page("README.md", workplace, monkeypatch, capfd)


@pytest.mark.skipif(os.name == "nt", reason="the pages are written for a POSIX shell")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.heavy if page in LONG_PAGES else pytest.mark.slow)
        for page in PAGES
    ],
)
def test_what_a_page_shows_works(
    page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    check_page(page, workplace, monkeypatch, capfd)


def cli_options() -> dict[str, set[str]]:
    """Return the long options of every command, read from the command itself."""
    from typer.main import get_command

    app = get_command(importlib.import_module("headstart.cli.app").app)
    commands = {"headstart": app, **getattr(app, "commands", {})}
    for name, group in [*commands.items()]:
        if name != "headstart":
            inner = getattr(group, "commands", {})
            commands |= {f"{name} {each}": command for each, command in inner.items()}
    return {
        name: {option for each in command.params for option in each.opts if option.startswith("--")}
        for name, command in commands.items()
    }


def test_every_command_is_documented_with_an_example() -> None:
    lines = [
        line
        for page in PAGES
        for block in blocks_of(page)
        if block.kind == "sh"
        for line in commands_of(block)
    ]
    missing = [
        name
        for name in cli_options()
        if name != "headstart" and not any(f"headstart {name}" in line for line in lines)
    ]
    assert missing == []


def test_every_option_is_documented_and_every_documented_option_exists() -> None:
    text = "\n".join(read(page) for page in DOCS)
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))
    existing = {option for options in cli_options().values() for option in options}
    assert existing - mentioned == set()
    scripts = ["examples/going_beyond_torchvision.py", *map(str, (CHECKOUT / "benchmarks").glob("*.py"))]
    of_scripts = {option for script in scripts for option in re.findall(r'"(--[a-z-]+)"', read(script))}
    assert mentioned - existing - {"--help", *of_scripts, *OPTIONS_OF_OTHERS} == set()


def test_every_public_name_is_documented() -> None:
    text = all_words()
    assert [name for name in hs.__all__ if not re.search(rf"\bhs\.{name}\b", text)] == []


def test_every_variable_is_documented_and_every_documented_variable_exists() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "src").rglob("*.py"))
    existing = set(re.findall(r"\bHEADSTART_[A-Z]+\b", sources))
    assert existing
    assert existing == set(re.findall(r"\bHEADSTART_[A-Z]+\b", all_words()))


def anchors_of(text: str) -> set[str]:
    """Return the anchors that a Markdown page's headings get."""
    outside = _BLOCK.sub("", text)
    headings = re.findall(r"^#+ (.*)$", outside, re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    broken = []
    for link in _LINK.findall(read(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (CHECKOUT / page).parent / path if path else CHECKOUT / page
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_every_page_is_linked_from_another() -> None:
    pages = [path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "docs").glob("*.md")]
    assert set(pages) == set(DOCS)
    linked = {
        (CHECKOUT / page).parent.joinpath(link.partition("#")[0]).resolve()
        for page in PAGES
        for link in _LINK.findall(read(page))
        if "#" not in link[:1]
    }
    assert [page for page in pages if (CHECKOUT / page).resolve() not in linked] == []


def test_the_picture_of_the_report_is_small() -> None:
    assert (CHECKOUT / "docs" / "images" / "report.png").stat().st_size < 300_000
