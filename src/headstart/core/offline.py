"""Whether the user has forbidden requests: ``HEADSTART_OFFLINE=1``."""

import os

OFFLINE_VARIABLE = "HEADSTART_OFFLINE"


def is_offline() -> bool:
    """Return whether the user has forbidden requests."""
    return os.environ.get(OFFLINE_VARIABLE, "").strip().lower() not in ("", "0", "false", "no", "off")
