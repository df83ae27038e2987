"""What an address says of who will answer at it."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def host_of(address: str) -> str:
    """Return the host that an address names, for messages; the whole of it where it names none."""
    return urlsplit(address).hostname or address


def is_loopback(host: str) -> bool:
    """Return whether a host, a name or number without port, is this machine: no network is crossed then."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def is_plain_http(address: str) -> bool:
    """Return whether anybody on the way could change what comes from `address`: http to another machine."""
    parts = urlsplit(address)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
