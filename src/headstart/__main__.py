"""``python -m headstart`` is the command ``headstart``."""

from headstart.cli import main

main()
