"""What clients may ask of the service: sizes, counts and times."""

from dataclasses import dataclass, fields

from headstart.core.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, and all of them together, may ask for.

    Attributes:
        max_body_bytes: of one request, pictures and all.
        max_held_bytes: of the bodies of all requests that are being answered.
        max_pixels: of one picture, by its header, before it is decoded.
        max_pictures: in one request.
        max_waiting_pictures: received and not yet answered, of all requests.
        max_waiting_chores: heat maps and searches for training pictures, asked for and not yet done; a heat
            map takes as long as several pictures.
        max_requests: with pictures, answered at once.
        max_requests_per_client: likewise, of one address.
        max_connections: open at once; those beyond are told to come back.
        header_seconds: within which a request's headers must have come.
        body_seconds: within which its body must have come.
        answer_seconds: after which a request that still waits for its answer is given up.
        max_wait_ms: how long the first picture of a batch waits for others that are on their way.
    """

    max_body_bytes: int = 32 * 2**20
    max_held_bytes: int = 512 * 2**20
    max_pixels: int = 50_000_000
    max_pictures: int = 32
    max_waiting_pictures: int = 512
    max_waiting_chores: int = 8
    max_requests: int = 128
    max_requests_per_client: int = 64
    max_connections: int = 256
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    answer_seconds: float = 60.0
    max_wait_ms: float = 5.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            lowest = 0 if each.name == "max_wait_ms" else 1 if isinstance(value, int) else 0.01
            if not value >= lowest:
                raise InputError(f"{each.name} is {value}; it must be {lowest} or more")
