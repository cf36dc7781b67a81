"""What the routes work with, and how many requests may be open at once."""

from dataclasses import dataclass, field

from opentelemetry.trace import Tracer

from penstock.gateway.access import Access
from penstock.gateway.adapters.ingestion import Ingestion
from penstock.gateway.asking import Asking
from penstock.gateway.budget import Budget
from penstock.gateway.handler import Exchange
from penstock.gateway.models import Models
from penstock.gateway.presence import Presence
from penstock.telemetry.readiness import Readiness


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Sizes in bytes, times in seconds."""

    max_body: int = 1 << 20
    max_buffered: int = 64 << 20
    max_open: int = 1024
    body_timeout_s: float = 30
    keep_alive_s: float = 15
    disconnect_grace_s: float = 10
    max_upload: int = 50 << 20
    max_uploads: int = 32


@dataclass(slots=True)
class Service:
    """The parts behind the routes."""

    exchange: Exchange
    asking: Asking
    presence: Presence
    models: Models
    access: Access
    readiness: Readiness
    tracer: Tracer
    limits: HttpLimits
    ingestion: Ingestion | None = None
    open_requests: Budget = field(init=False)
    buffered: Budget = field(init=False)
    uploads: Budget = field(init=False)

    def __post_init__(self) -> None:
        self.open_requests = Budget(self.limits.max_open, "Too many open requests. Try again in a moment.")
        self.buffered = Budget(self.limits.max_buffered, "Too much is being sent. Try again in a moment.")
        self.uploads = Budget(self.limits.max_uploads, "Too many uploads at once. Try again in a moment.")
