"""Start of an ingestion worker: Celery wakes it, the database says what there is to do.

Celery runs in the main thread with a pool of threads; the work is done in one event loop in another thread.
"""

import asyncio
import os
import signal
import threading
from concurrent.futures import Future
from uuid import uuid4

import structlog
import uvloop
from celery.signals import worker_shutting_down

from penstock.clients.tei import TeiEmbedder
from penstock.ingestion.adapters.blobs import ObjectBlobs
from penstock.ingestion.adapters.celery_bell import TASK, make_app
from penstock.ingestion.adapters.log import KAFKA, Connection
from penstock.ingestion.adapters.parsing.sandbox import SandboxedParser
from penstock.ingestion.adapters.publisher import LogPublisher
from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.adapters.tokens import TgiTokenizer
from penstock.ingestion.handler.work import Tools, Worker
from penstock.ingestion.ports import RecordsAway
from penstock.ingestion.settings import IngestionSettings
from penstock.streaming.clock import BrokerClock
from penstock.streaming.errors import HandlerError
from penstock.streaming.health import HealthServer
from penstock.streaming.settings import read_settings
from penstock.streaming.worker import wait_for
from penstock.telemetry.instruments import watch_readiness
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up

NAME = "ingestion-worker"
DATABASE = "database"
EMBEDDINGS = "embeddings"
STOP_SECONDS = 6.0
NICENESS = 5
"""Documents can wait a little longer than questions."""
log = structlog.get_logger()


class Bench:
    """The event loop in which documents are worked on, and everything that lives in it."""

    def __init__(self, settings: IngestionSettings) -> None:
        self._settings = settings
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bench", daemon=True)
        self._ready: Future[Worker] = Future()
        self._stop = asyncio.Event()
        self._life: Future[None] | None = None

    def start(self) -> None:
        """Start the loop; what is away is waited for there."""
        self._thread.start()
        self._life = asyncio.run_coroutine_threadsafe(self._live(), self._loop)
        self._life.add_done_callback(self._ended)

    def work(self) -> int:
        """Work on what there is; called by Celery's threads. Returns how many documents that were."""
        try:
            worker = self._ready.result()
            return asyncio.run_coroutine_threadsafe(worker.drain(self._stop), self._loop).result()
        except RecordsAway as error:
            log.warning("work_waits", reason=str(error))
            return 0

    def stop(self) -> None:
        """Put back what is in hand."""
        self._loop.call_soon_threadsafe(self._stop.set)

    def close(self) -> None:
        """Wait for the end of everything."""
        self.stop()
        if self._life is not None:
            self._life.result(STOP_SECONDS)

    def _ended(self, life: "Future[None]") -> None:
        error = life.exception()
        if not self._ready.done():
            self._ready.set_exception(error or RecordsAway("the worker is stopping"))
        if error is not None:  # a worker without its bench is of no use: a new process starts afresh
            log.error("bench_failed", exc_info=error)
            os.kill(os.getpid(), signal.SIGTERM)

    async def _live(self) -> None:
        settings, clock = self._settings, BrokerClock()
        readiness = Readiness(DATABASE, EMBEDDINGS, KAFKA)
        records = Records(settings.database_url(), clock)
        connection = Connection(settings.cluster, readiness, clock)
        embedder = TeiEmbedder(settings.embeddings, settings.embedding_size, settings.key_of_embeddings)
        tokenizer = TgiTokenizer(settings.backends[0].url, settings.key_of_backends)
        publisher = LogPublisher(connection, clock, settings.instance)
        tools = Tools(SandboxedParser(), tokenizer, embedder, publisher)
        owner = f"{settings.instance or NAME}-{uuid4().hex[:12]}"
        watch_readiness(readiness)
        health = HealthServer(settings.health_host, settings.health_port, readiness)
        serving = asyncio.create_task(health.serve())
        connecting = asyncio.create_task(connection.run())
        try:
            if await wait_for(DATABASE, records.opened, readiness, self._stop):
                model = _Model(embedder)
                if await wait_for(EMBEDDINGS, model.known, readiness, self._stop):
                    blobs = ObjectBlobs(settings.blobs_url())
                    jobs, documents = records.jobs, records.documents
                    self._ready.set_result(Worker(jobs, documents, blobs, tools, model.name, owner))
            await self._stop.wait()
        finally:
            health.should_exit = True
            connecting.cancel()
            await asyncio.gather(serving, connecting, return_exceptions=True)
            await embedder.close()
            await tokenizer.close()
            await records.database.close()


class _Model:
    """The embeddings server's model: vectors of another one are not used again."""

    def __init__(self, embedder: TeiEmbedder) -> None:
        self._embedder = embedder
        self.name = ""

    async def known(self) -> str | None:
        try:
            self.name = await self._embedder.model_id()
        except HandlerError as error:
            return error.message
        return None


def main() -> None:
    """Work until SIGTERM or SIGINT. Exit code 2: a setting is wrong."""
    settings = read_settings(IngestionSettings)
    set_up(NAME)
    os.nice(NICENESS)
    bench = Bench(settings)
    app = make_app(settings.broker_url())
    app.task(bench.work, name=TASK, shared=False)
    worker_shutting_down.connect(lambda **_: bench.stop(), weak=False)
    bench.start()
    worker = app.Worker(
        pool="threads", concurrency=settings.worker_concurrency, loglevel="WARNING", quiet=True
    )
    worker.start()
    bench.close()


if __name__ == "__main__":
    main()
