"""What the routes work with, and how many requests may be open at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.trace import Tracer

from penstock.gateway.access import Access
from penstock.gateway.domain import errors
from penstock.gateway.handler import Exchange
from penstock.gateway.models import Models
from penstock.telemetry.readiness import Readiness


class Budget:
    """Counts something of which there may only be so much at once."""

    def __init__(self, limit: int, message: str) -> None:
        self._limit = limit
        self._message = message
        self.used = 0

    @contextmanager
    def taken(self, amount: int = 1) -> Iterator[None]:
        """Hold an amount while the block runs. Raises ApiError 429 if there is not so much left."""
        if self.used + amount > self._limit:
            raise errors.too_many(self._message)
        self.used += amount
        try:
            yield
        finally:
            self.used -= amount


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Sizes in bytes, times in seconds."""

    max_body: int = 1 << 20
    max_buffered: int = 64 << 20
    max_open: int = 1024
    body_timeout_s: float = 30
    keep_alive_s: float = 15


@dataclass(slots=True)
class Service:
    """The parts behind the routes."""

    exchange: Exchange
    models: Models
    access: Access
    readiness: Readiness
    tracer: Tracer
    limits: HttpLimits
    open_requests: Budget = field(init=False)
    buffered: Budget = field(init=False)

    def __post_init__(self) -> None:
        self.open_requests = Budget(self.limits.max_open, "Too many open requests. Try again in a moment.")
        self.buffered = Budget(self.limits.max_buffered, "Too much is being sent. Try again in a moment.")
