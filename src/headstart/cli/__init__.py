"""The command: parse, call one public function, show its progress, print its result."""

from headstart.cli.app import main

__all__ = ["main"]
