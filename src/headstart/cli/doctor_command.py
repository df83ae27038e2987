"""``headstart doctor``: what can this machine do?"""

import os
import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer

from headstart import __version__
from headstart.catalog import list_models
from headstart.cli import options as opt
from headstart.cli.installation import drop_in_findings
from headstart.core.machine import describe_machine, instruction_sets, num_cores
from headstart.core.offline import OFFLINE_VARIABLE, is_offline
from headstart.core.paths import home
from headstart.core.records import dumps

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*extra == ['\"]([a-z]+)['\"]")
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow")
_ADDRESSES = ("https://huggingface.co", "https://download.pytorch.org", "https://github.com")
_SECONDS_TO_ANSWER = 3.0


def doctor(json: opt.Json = False) -> None:
    """Show what this machine can do, and what is installed: GPU, disk, compiler, extras, drop-in, hosts.

    \b
    Example:
      headstart doctor
    """
    findings = examine()
    if json:
        typer.echo(dumps(findings), nl=False)
        return
    width = max(map(len, findings))
    for name, finding in findings.items():
        typer.echo(f"{name:<{width}}  {_in_words(finding)}")


def examine() -> dict[str, Any]:
    """Return what was found, by name: text, a list, or a dictionary of yes and no."""
    place = _existing(home())
    return {
        "headstart": __version__,
        "machine": describe_machine(),
        "cores": num_cores(),
        "instruction sets": list(instruction_sets()),
        "packages": {name: _version(name) for name in _PACKAGES},
        **_torch_findings(),
        "compiler": shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++") or "none found",
        "cache": str(home()),
        "free disk": f"{shutil.disk_usage(place).free / 1e9:.1f} GB at {place}",
        "extras": _extras(),
        **drop_in_findings(),
        "models here now": len(list_models(available=True)),
        "hosts that answer": _hosts(),
    }


def _torch_findings() -> dict[str, Any]:
    """Return what torch knows of the machine; late, for importing it takes seconds."""
    import torch

    from headstart.embed.plan import fast_precision

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        gpus.append("Apple GPU")
    return {"GPU": gpus, "fastest precision on the processor": fast_precision("cpu")}


def _extras() -> dict[str, bool]:
    """Return for every extra of the distribution whether all packages that it asks for are installed."""
    extras: dict[str, bool] = {}
    for requirement in requires("headstart") or []:
        match = _REQUIREMENT.match(requirement)
        if match:
            package, extra = match.groups()
            extras[extra] = extras.get(extra, True) and _version(package) != "missing"
    return extras


def _hosts() -> dict[str, bool] | str:
    if is_offline():
        return f"not asked: {OFFLINE_VARIABLE} is set"
    mirror = os.environ.get("HEADSTART_MIRROR", "")
    addresses = [*_ADDRESSES, *([mirror] if urlsplit(mirror).hostname else [])]
    with ThreadPoolExecutor(len(addresses)) as pool:
        answers = pool.map(_answers, addresses)
        return {str(urlsplit(each).hostname): answer for each, answer in zip(addresses, answers, strict=True)}


def _answers(address: str) -> bool:
    parts = urlsplit(address)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        socket.create_connection((str(parts.hostname), port), timeout=_SECONDS_TO_ANSWER).close()
    except OSError:
        return False
    return True


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _in_words(finding: object) -> str:
    if isinstance(finding, dict):
        return ", ".join(f"{name} {_in_words(value)}" for name, value in finding.items())
    if isinstance(finding, (list, tuple)):
        return ", ".join(map(str, finding)) or "none"
    if isinstance(finding, bool):
        return "yes" if finding else "no"
    return str(finding)
