"""Who may reach the service: by which names, and with which token."""

import ipaddress
import re
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress

from headstart.core.errors import InputError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
NEW_TOKEN = "new"
_SHORTEST_TOKEN = 16
_TOKEN = re.compile(r"[!-~]+")  # what a header and a link carry as it is


def checked_token(token: str, *, host: str) -> str:
    """Return the token that requests must bear, "" for none.

    Args:
        token: as the user gave it; "new" draws one.
        host: name or address to listen at; one that other machines reach must have a token.

    Raises:
        InputError: there must be one, or it is none that can be used.
    """
    if token == NEW_TOKEN:
        return secrets.token_urlsafe(24)
    if not token:
        if is_loopback(host):
            return ""
        raise InputError(
            f"at {host} other machines reach the service, and there is no token",
            hint="--token new draws one; --host 127.0.0.1 serves this machine alone",
        )
    if len(token) < _SHORTEST_TOKEN or not _TOKEN.fullmatch(token):
        raise InputError(
            f"the token has {len(token)} characters, or some that cannot be used; it must be "
            f"{_SHORTEST_TOKEN} or more letters, digits and signs without a space",
            hint="--token new draws one",
        )
    return token


def accepted_hosts(host: str, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names that the service answers to; a list, so that no name can be bound to it from outside.

    Args:
        host: name or address that it listens at.
        more: what it is also called.

    Source: DNS rebinding, https://en.wikipedia.org/wiki/DNS_rebinding
    """
    own = _names_of_machine() if _is_any(host) else (host.strip("[]"),)
    return tuple(dict.fromkeys((*LOOPBACK_NAMES, *own, *(each.strip("[]") for each in more))))


def reachable_name(host: str) -> str:
    """Return the name under which somebody reaches what listens at `host`, as it stands in an address."""
    name = socket.gethostname() if _is_any(host) else host
    return f"[{name}]" if ":" in name else name


def is_loopback(host: str) -> bool:
    """Return whether this machine alone reaches what listens at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_any(host: str) -> bool:
    """Return whether an address stands for all of the machine's."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host


def _names_of_machine() -> tuple[str, ...]:
    name = socket.gethostname()
    addresses: list[str] = []
    with suppress(OSError):  # the name need not be known to any server of names
        addresses = [str(found[4][0]) for found in socket.getaddrinfo(name, None)]
    return (name, *addresses)
