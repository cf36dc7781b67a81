"""All parts of one gateway process put together, and its life from start to drain."""

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from math import ceil

import httpx2
import structlog
import uvicorn
from starlette.types import ASGIApp

from penstock.database.database import Database
from penstock.gateway.access import Access, prepare
from penstock.gateway.adapters.accounts import SqlAccounts
from penstock.gateway.adapters.http.app import create_app
from penstock.gateway.adapters.http.edge import Edge
from penstock.gateway.adapters.http.measures import Measured
from penstock.gateway.adapters.http.service import HttpLimits, Service
from penstock.gateway.adapters.idempotency import SqlIdempotencyKeys
from penstock.gateway.adapters.keyfile import GivenKey, KeyFile
from penstock.gateway.adapters.log import kafka_log
from penstock.gateway.adapters.sessions import SqlSessions
from penstock.gateway.adapters.store_rules import StoreRules
from penstock.gateway.adapters.tables import SCHEMA
from penstock.gateway.adapters.tgi import TgiBackend
from penstock.gateway.adapters.upstream import Upstream
from penstock.gateway.core import Core
from penstock.gateway.domain.errors import shutting_down
from penstock.gateway.models import Models
from penstock.gateway.policies import Policies
from penstock.gateway.ports import Accounts, AccountsAway, IdempotencyKeys, Log, SessionStore
from penstock.gateway.sessions import Sessions
from penstock.gateway.settings import Settings
from penstock.streaming.clock import BrokerClock, unix_ms
from penstock.streaming.server import Server
from penstock.streaming.worker import stop_on_signals
from penstock.telemetry.asgi import Traced
from penstock.telemetry.http import Transport
from penstock.telemetry.instruments import watch_readiness, watched
from penstock.telemetry.readiness import Readiness

KEEP_CONNECTION_S = 75
# Of our own requests: bounded by those of clients, and given up before a server's 5 s (uvicorn's default)
# are over, so that none goes out on a connection that is just being closed.
CONNECTIONS = httpx2.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=3)
FORGET_EVERY_S = 600.0
log = structlog.get_logger(__name__)


class Gateway:
    """One gateway; nothing is opened before `run`. `now_ms` gives Unix milliseconds."""

    def __init__(
        self,
        settings: Settings,
        source: Log,
        client: httpx2.AsyncClient,
        now_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self.settings = settings
        self.readiness = Readiness("accounts", "kafka", "topics", "backends")
        database = Database(settings.accounts_url(), SCHEMA, AccountsAway)
        self.accounts: Accounts = SqlAccounts(database)
        self.keys: IdempotencyKeys = SqlIdempotencyKeys(database)
        self.sessions: SessionStore = SqlSessions(database, timedelta(seconds=settings.console_session_s))
        key = settings.key_of_backends
        self.backends = [TgiBackend(backend.url, key) for backend in settings.backends]
        self.models = Models(settings.models, self.backends, lambda: int(time.time()))
        self.core = Core(settings, source, self.keys, self.readiness, now_ms)
        ingestion = Upstream("ingestion", "PENSTOCK_INGESTION", settings.ingestion, client)
        self.service = Service(
            self.core.exchange,
            self.core.intake,
            self.core.presence,
            self.models,
            Access(self.accounts, time.monotonic, settings.key_cache_s),
            Sessions(self.sessions, time.monotonic, settings.key_cache_s),
            self.readiness,
            HttpLimits(
                settings.max_body_bytes,
                settings.max_buffered_bytes,
                settings.max_open_requests,
                settings.body_timeout_s,
                settings.keep_alive_s,
                settings.disconnect_grace_s,
                settings.max_upload_bytes,
                settings.max_uploads,
                settings.max_console_requests,
                settings.console_session_s,
            ),
            ingestion,
            Upstream("observer", "PENSTOCK_OBSERVER", settings.observer, client, settings.key_of_observer),
            Policies(StoreRules(ingestion).of, settings.answers, time.monotonic),
        )

    def app(self) -> ASGIApp:
        """Return the app to serve."""
        app = create_app()
        app.state.service = self.service
        # Only the API: what shows the system would show itself.
        measured = Measured(Edge(app, self.service), self.service.measures)
        return Traced(measured, lambda path: path.startswith("/v1/"), public=True)

    async def run(
        self, listener: socket.socket, announce: Callable[[str], None], stop: asyncio.Event
    ) -> None:
        """Serve until `stop` is set, and then let open answers end; `announce` is told a new API key."""
        server = Server(
            uvicorn.Config(
                self.app(),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(self.settings.trusted_proxies),
                forwarded_allow_ips=self.settings.trusted_proxies,
                timeout_keep_alive=KEEP_CONNECTION_S,
                timeout_graceful_shutdown=ceil(self.settings.drain_s) + 1,
            )
        )
        given = self.settings.first_key_file
        store = GivenKey(given) if given else KeyFile(self.settings.state / "api-key")
        try:
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(prepare(self.accounts, store, self.readiness, announce)),
                    tasks.create_task(self.models.run(self.readiness)),
                    *self.core.start(tasks),
                    tasks.create_task(self._forget_old()),
                    tasks.create_task(self._drain(server, stop)),
                ]
                with watched(self.service.reads()):
                    await server.serve([listener])
                for task in background:
                    task.cancel()
        finally:
            await self.core.close()
            await self.accounts.close()
            for backend in self.backends:
                await backend.close()

    async def _forget_old(self) -> None:
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            try:
                keys, sessions = await self.keys.forget_old(), await self.sessions.forget_old()
            except AccountsAway as error:
                log.warning("old_keys_not_forgotten", reason=str(error))
            else:
                log.info("old_keys_forgotten", count=keys, sessions=sessions)

    async def _drain(self, server: uvicorn.Server, stop: asyncio.Event) -> None:
        """Take no more requests after `stop`, and cut what is still open `drain_s` later."""
        await stop.wait()
        log.info("stopping", open_requests=len(self.core.following))
        self.readiness.waiting("process", "stopping")
        self.service.stopping.set()
        server.should_exit = True
        await asyncio.sleep(self.settings.drain_s)
        self.core.following.fail_all(shutting_down())


def listen(settings: Settings) -> socket.socket:
    """Return the socket to serve on. Raises OSError."""
    family = socket.AF_INET6 if ":" in settings.gateway_host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":
        # Connections inherit it: one whose client takes nothing for so long is closed by the kernel, and
        # what it held is freed (tcp(7)).
        timeout_ms = round(settings.send_timeout_s * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
    try:
        listener.bind((settings.gateway_host, settings.gateway_port))
    except OSError:
        listener.close()
        raise
    return listener


async def serve(settings: Settings) -> None:
    """Run one gateway on Kafka until SIGTERM or SIGINT. Raises OSError if it cannot listen."""
    listener = listen(settings)
    host, port = listener.getsockname()[:2]
    async with httpx2.AsyncClient(transport=Transport(limits=CONNECTIONS), trust_env=False) as client:
        clock = BrokerClock()
        source = kafka_log(settings.cluster, settings.instance, clock)
        gateway = Gateway(settings, source, client, clock)
        watch_readiness(gateway.readiness)
        log.info("listening", url=f"http://{host}:{port}", instance=settings.instance)
        await gateway.run(listener, _announce(settings), stop_on_signals())


def _announce(settings: Settings) -> Callable[[str], None]:
    def announce(key: str) -> None:
        sys.stdout.write(f"API key: {key} (kept in {settings.state / 'api-key'})\n")
        sys.stdout.flush()

    return announce
