"""The command: parse, call one public function, show its progress, print. Data to stdout, the rest to stderr."""

from headstart.cli.app import main

__all__ = ["main"]
