"""The retrieval process: two consumer groups over one index, and search over HTTP."""

import asyncio
import sys

import structlog
from qdrant_client import AsyncQdrantClient

from penstock.clients.tei import TeiEmbedder
from penstock.retrieval.adapters.edge_home import EdgeHome
from penstock.retrieval.adapters.http import HttpServer, make_app
from penstock.retrieval.adapters.server_home import ServerHome
from penstock.retrieval.index_size import IndexSize
from penstock.retrieval.ports import Home, IndexUnusable
from penstock.retrieval.query_vectors import QueryVectors
from penstock.retrieval.relevance_floor import RelevanceFloor
from penstock.retrieval.replica import DOCUMENTS, INDEX, Replica
from penstock.retrieval.searching import CurrentIndex, Searcher
from penstock.retrieval.settings import Settings
from penstock.retrieval.stages import SERVICE
from penstock.streaming import worker
from penstock.streaming.errors import leaves
from penstock.streaming.health import HealthServer
from penstock.streaming.settings import read_settings
from penstock.telemetry.instruments import watch, watch_readiness
from penstock.telemetry.metric_catalog import INDEX_CHUNKS
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up

EMBEDDINGS = "embeddings"

log = structlog.get_logger()


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 1 when the index is of no use, 2 when the settings are."""
    settings = read_settings(Settings)
    set_up(SERVICE)
    unusable: list[str] = []
    try:
        worker.run(_run(settings))
    except* IndexUnusable as errors:
        unusable = [str(error) for error in leaves(errors)]
    if unusable:
        log.error("cannot_start", error="; ".join(unusable))
        sys.exit(1)


async def _run(settings: Settings) -> None:
    stop = worker.stop_on_signals()
    readiness = Readiness(worker.KAFKA, INDEX, EMBEDDINGS)
    if settings.indexes:
        readiness.waiting(f"{DOCUMENTS} {worker.KAFKA}", "not checked yet")
    embedder = TeiEmbedder(settings.embeddings, settings.embedding_size, settings.key_of_embeddings)
    current = CurrentIndex()
    searcher = Searcher(QueryVectors(embedder), current)
    floor = RelevanceFloor(embedder.model_id, settings.models)
    replica = Replica(settings, embedder, _home(settings), current, searcher, floor, readiness, stop)
    size = IndexSize(current)
    watch_readiness(readiness)
    watch(INDEX_CHUNKS, size.read)
    servers = (
        HealthServer(settings.health_host, settings.health_port, readiness),
        HttpServer(make_app(searcher, replica), settings.search_host, settings.search_port),
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            for server in servers:
                tasks.create_task(server.serve())
            tasks.create_task(worker.wait_for(EMBEDDINGS, embedder.health, readiness, stop))
            tasks.create_task(size.run(stop))
            tasks.create_task(floor.run(stop))
            try:
                await replica.run()
            finally:
                for server in servers:
                    server.should_exit = True
    finally:
        await embedder.close()


def _home(settings: Settings) -> Home:
    if not settings.qdrant:
        return EdgeHome(settings.index, settings.embedding_size)
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    client = AsyncQdrantClient(url=settings.qdrant, api_key=key, check_compatibility=False)
    return ServerHome(client, settings.embedding_size, writes=settings.announces)


if __name__ == "__main__":
    main()
