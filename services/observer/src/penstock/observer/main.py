"""The observer's process: OTLP and the console's views over HTTP, the log followed beside it."""

import asyncio
import os
import socket

import structlog
import uvicorn

from penstock.observer.adapters.http.app import Service, create_app
from penstock.observer.adapters.http.receiver import Receiver
from penstock.observer.adapters.kafka_log import KafkaLog
from penstock.observer.adapters.ledger import FileLedger
from penstock.observer.adapters.span_file import Bounds
from penstock.observer.adapters.traces import FileTraces
from penstock.observer.domain.board import Board
from penstock.observer.domain.points import LastPoints
from penstock.observer.domain.sampling import Sampling
from penstock.observer.domain.telling import Telling
from penstock.observer.domain.usage import Sums
from penstock.observer.handler.following import Following
from penstock.observer.handler.ledger import KAFKA, Accounting
from penstock.observer.handler.letters import Letters
from penstock.observer.handler.lookup import Lookup
from penstock.observer.handler.streams import Changes, Places
from penstock.observer.handler.views import Views
from penstock.observer.handler.watching import Watching
from penstock.observer.ports import Log
from penstock.observer.settings import Settings
from penstock.streaming.clock import unix_ms
from penstock.streaming.server import Server
from penstock.streaming.settings import read_settings
from penstock.streaming.worker import run, stop_on_signals, wait_for
from penstock.telemetry.instruments import watch_readiness
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up

NAME = "observer"
NICENESS = 10
GRACE_SECONDS = 2
log = structlog.get_logger()


class Observer:
    """All parts of one process; nothing is opened before `run`."""

    def __init__(self, settings: Settings, opening: Log, stop: asyncio.Event) -> None:
        self._stop = stop
        self._key = settings.key_of_observer
        self._log = opening
        bounds = Bounds(
            round(settings.observer_keep_hours * 3_600_000),
            settings.observer_keep_megabytes << 20,
            Sampling(
                settings.observer_keep_share,
                settings.observer_slow_ms,
                round(settings.observer_quiet_seconds * 1000),
            ),
        )
        board, changes, sums, points = Board(), Changes(), Sums(), LastPoints(unix_ms)
        self._traces = FileTraces(settings.folder, bounds, unix_ms)
        self._following = Following(opening, board, changes.tell, unix_ms)
        self._watching = Watching(opening, Telling(points), unix_ms)
        self.readiness = Readiness(KAFKA)
        watch_readiness(self.readiness)
        self._accounting = Accounting(opening, FileLedger(settings.folder), sums, self.readiness, unix_ms)
        views = Views(
            board,
            self._following,
            changes,
            Lookup(opening),
            self._traces,
            sums,
            self._watching,
            Letters(opening),
        )
        self.service = Service(views, Receiver(self._traces, points), self.readiness, Places(), stop, unix_ms)

    async def run(self, listener: socket.socket) -> None:
        """Serve until `stop` is set."""
        server = Server(
            uvicorn.Config(
                create_app(self.service, self._key),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._traces.run(self._stop))
            tasks.create_task(self._account())
            looking = [tasks.create_task(part.run()) for part in (self._following, self._watching)]
            tasks.create_task(server.serve([listener]))
            await self._stop.wait()
            server.should_exit = True
            for task in looking:
                task.cancel()

    async def _account(self) -> None:
        if await wait_for(KAFKA, self._log.missing, self.readiness, self._stop):
            await self._accounting.run(self._stop)


async def _serve(settings: Settings) -> None:
    listener = socket.create_server((settings.observer_host, settings.observer_port))
    log.info("listening", port=listener.getsockname()[1])
    await Observer(settings, KafkaLog(settings.cluster), stop_on_signals()).run(listener)


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exit code 2: a setting is wrong."""
    settings = read_settings(Settings)
    set_up(NAME)
    os.nice(NICENESS)  # whoever looks shall slow nobody down
    run(_serve(settings))


if __name__ == "__main__":
    main()
