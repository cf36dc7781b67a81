"""What the routes work with, and how many requests may be open at once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.gateway.access import Access
from penstock.gateway.adapters.http.measures import Measures
from penstock.gateway.adapters.markdown import Markdown
from penstock.gateway.adapters.upstream import Upstream
from penstock.gateway.budget import Budget
from penstock.gateway.handler import Exchange
from penstock.gateway.models import Models
from penstock.gateway.policies import Policies
from penstock.gateway.presence import Presence
from penstock.gateway.request_intake import RequestIntake
from penstock.gateway.sessions import Sessions
from penstock.telemetry import metric_catalog
from penstock.telemetry.instruments import Read
from penstock.telemetry.metric_definition import MetricDefinition
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
    max_console: int = 64
    session_s: float = 43_200


@dataclass(slots=True)
class Service:
    """The parts behind the routes.

    `stopping` is set when the process is about to end.
    """

    exchange: Exchange
    intake: RequestIntake
    presence: Presence
    models: Models
    access: Access
    sessions: Sessions
    readiness: Readiness
    limits: HttpLimits
    ingestion: Upstream
    observer: Upstream
    policies: Policies
    markdown: Markdown = field(default_factory=Markdown)
    measures: Measures = field(default_factory=Measures)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    open_requests: Budget = field(init=False)
    buffered: Budget = field(init=False)
    uploads: Budget = field(init=False)
    console_calls: Budget = field(init=False)
    console_streams: Budget = field(init=False)

    def __post_init__(self) -> None:
        self.open_requests = Budget(self.limits.max_open, "Too many open requests. Try again in a moment.")
        self.buffered = Budget(self.limits.max_buffered, "Too much is being sent. Try again in a moment.")
        self.uploads = Budget(self.limits.max_uploads, "Too many uploads at once. Try again in a moment.")
        # Of their own: the console shows what is wrong when there are too many requests, and a page that
        # stays open takes no request's place.
        many = "Too many consoles are open. Close one, or try again in a moment."
        self.console_calls = Budget(self.limits.max_console, many)
        self.console_streams = Budget(self.limits.max_console, many)

    def reads(self) -> Mapping[MetricDefinition, Read]:
        """Return what is to be looked up while the gateway runs."""
        return {
            **self.measures.reads(),
            metric_catalog.OPEN_REQUESTS: lambda: [(self.open_requests.used, {})],
            metric_catalog.OPEN_REQUESTS_LIMIT: lambda: [(self.limits.max_open, {})],
        }
