"""Start of the ingestion app: the API of files and stores, and what goes on beside it."""

import asyncio
import socket
from uuid import uuid4

import structlog
import uvicorn

from penstock.ingestion.adapters.blobs import ObjectBlobs
from penstock.ingestion.adapters.celery_bell import CeleryBell, make_app
from penstock.ingestion.adapters.http.app import Service, create_app
from penstock.ingestion.adapters.log import KAFKA, Connection
from penstock.ingestion.adapters.publisher import LogPublisher
from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.adapters.search import RetrievalSearcher
from penstock.ingestion.handler.maintenance import Acknowledged, Cleaner, Relay, Sweeper, Waker
from penstock.ingestion.handler.open_work import OpenWork
from penstock.ingestion.handler.pace import CLEAN, COUNT, RELAY, RING, SWEEP, Pace
from penstock.ingestion.handler.stores import StoreKeeper
from penstock.ingestion.handler.uploads import Uploads
from penstock.ingestion.settings import AppSettings
from penstock.messages.flows import FLOWS
from penstock.messages.topics import DOCUMENTS_INDEXED
from penstock.streaming.clock import BrokerClock
from penstock.streaming.server import Server
from penstock.streaming.settings import read_settings
from penstock.streaming.stage import Batch, Stage
from penstock.streaming.worker import run, serve, stop_on_signals, wait_for
from penstock.telemetry.asgi import Traced
from penstock.telemetry.instruments import watch_readiness, watched
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up

NAME = "ingestion"
DATABASE = "database"
log = structlog.get_logger()


class App:
    """All parts of one process; nothing is opened before `run`."""

    def __init__(self, settings: AppSettings) -> None:
        clock = BrokerClock()
        self.settings = settings
        self.clock = clock
        self.readiness = Readiness(DATABASE, KAFKA)
        self.pace = Pace()
        self.records = records = Records(settings.database_url(), clock, self.pace.stir)
        blobs = ObjectBlobs(settings.blobs_url())
        bell = CeleryBell(make_app(settings.broker_url()))
        self.connection = Connection(settings.cluster, self.readiness, clock)
        self.searcher = RetrievalSearcher(settings.retrieval)
        publisher = LogPublisher(self.connection, clock, settings.instance)
        self.relay = Relay(records.outbox, publisher)
        self.sweeper = Sweeper(records.leftovers, publisher)
        self.waker = Waker(records.jobs, bell)
        self.open_work = OpenWork(records.jobs, clock, self.pace.stir)
        self.cleaner = Cleaner(records.files, records.stores, records.garbage, blobs, self._now_s)
        acknowledged = Acknowledged(records.jobs, records.leftovers)
        self.stage = Stage(NAME, (DOCUMENTS_INDEXED,), Batch(acknowledged.note, 256), failures=None)
        folder = settings.state / "ingestion" / "uploads"
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("upload-*"):  # by a process that was killed
            left.unlink()
        self.service = Service(
            records.files,
            records.stores,
            records.documents,
            Uploads(records.files, blobs, _new_id, self._now_s),
            StoreKeeper(records.stores, records.documents, bell, _new_id, self._now_s),
            blobs,
            self.searcher,
            bell,
            settings.max_file_bytes,
            folder,
        )

    async def run(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        server = Server(
            uvicorn.Config(
                Traced(create_app(self.service)),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        if not await wait_for(DATABASE, self.records.opened, self.readiness, stop):
            return
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(self.connection.run())
            tasks.create_task(server.serve([listener]))
            for once, rhythm in (
                (self.relay.once, RELAY),
                (self.sweeper.once, SWEEP),
                (self.waker.once, RING),
                (self.open_work.once, COUNT),
                (self.cleaner.once, CLEAN),
            ):
                tasks.create_task(self.pace.repeat(once, rhythm, stop))
            try:
                await serve([self.stage], FLOWS[NAME], self.settings, self.readiness, stop, self.clock)
            finally:
                server.should_exit = True
                connecting.cancel()
                self.pace.stir()
        await self.searcher.close()
        await self.records.database.close()

    def _now_s(self) -> int:
        return self.clock() // 1000


def _new_id() -> str:
    return uuid4().hex


async def _serve(settings: AppSettings) -> None:
    listener = socket.create_server((settings.ingestion_host, settings.ingestion_port))
    log.info("listening", port=listener.getsockname()[1])
    app = App(settings)
    watch_readiness(app.readiness)
    with watched(app.open_work.reads()):
        await app.run(listener, stop_on_signals())


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exit code 1: the broker failed; 2: a setting is wrong."""
    settings = read_settings(AppSettings)
    set_up(NAME)
    run(_serve(settings))


if __name__ == "__main__":
    main()
