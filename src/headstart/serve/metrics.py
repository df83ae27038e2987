"""What the service tells about itself, for Prometheus."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PICTURES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one service; they are not those of another in the same process.

    Attributes:
        requests: by path and status; paths that do not exist count as "other".
        seconds: from a request's headers to the end of its answer, by path.
        pictures: by outcome: "answered", or the status that one was refused with.
        batch_pictures: how many pictures went through the network together.
        waiting_pictures: how many wait for it.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._registry = registry
        self.requests = Counter(
            "headstart_requests", "Requests answered.", ("path", "status"), registry=registry
        )
        self.seconds = Histogram(
            "headstart_request_seconds",
            "Time from headers to answer.",
            ("path",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.pictures = Counter("headstart_pictures", "Pictures by outcome.", ("outcome",), registry=registry)
        self.batch_pictures = Histogram(
            "headstart_batch_pictures",
            "Pictures that went through the network together.",
            buckets=_PICTURES,
            registry=registry,
        )
        self.waiting_pictures = Gauge(
            "headstart_waiting_pictures", "Pictures received and not yet answered.", registry=registry
        )

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)
