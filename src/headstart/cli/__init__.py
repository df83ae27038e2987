"""The command: parse, call one public function, show its progress, print its result."""

from headstart.cli.start import main

__all__ = ["main"]
