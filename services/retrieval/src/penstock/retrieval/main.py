"""The retrieval process: two consumer groups over one index."""

import asyncio
import sys
from collections.abc import Sequence

import structlog
from pydantic import ValidationError

from penstock.messages.topics import CHAT_RESPONSES, CHAT_TOKENIZED, DOCUMENTS_CHUNKED, DOCUMENTS_DELETED
from penstock.retrieval.adapters.edge import EdgeIndex, IndexUnusable, open_index
from penstock.retrieval.adapters.patient import PatientEmbedder
from penstock.retrieval.adapters.tei import TeiEmbedder
from penstock.retrieval.handler import Indexer, Retriever
from penstock.retrieval.ports import Embedder, Index
from penstock.retrieval.settings import Settings
from penstock.streaming import worker
from penstock.streaming.stage import Batch, Each, Stage
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up

SERVICE = "retrieval"
INDEXER = f"{SERVICE}-indexer"
INDEX = "index"
EMBEDDINGS = "embeddings"
PARTS_AT_ONCE = 16

_OPENING_SECONDS = 10.0
log = structlog.get_logger()


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 1 when the settings or the index are of no use."""
    set_up(SERVICE)
    try:
        worker.run(_run(Settings()))
    except (ValidationError, IndexUnusable) as error:
        log.error("cannot_start", error=str(error))
        sys.exit(1)


async def _run(settings: Settings) -> None:
    stop = worker.stop_on_signals()
    readiness = Readiness(worker.KAFKA, INDEX, EMBEDDINGS)
    index = await _open(settings, readiness, stop)
    if index is None:
        return
    embedder = TeiEmbedder(settings.embeddings, settings.embedding_size)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.wait_for(EMBEDDINGS, embedder.health, readiness, stop))
            await worker.serve(stages(embedder, index, settings), settings, readiness, stop)
    finally:
        await embedder.close()
        index.close()


async def _open(settings: Settings, readiness: Readiness, stop: asyncio.Event) -> EdgeIndex | None:
    """Return the index, or None if stopped; the process before this one may need a moment to let go of it."""
    clock = asyncio.get_running_loop().time
    give_up = clock() + _OPENING_SECONDS
    opened: list[EdgeIndex] = []

    async def attempt() -> str | None:
        try:
            opened.append(open_index(settings.index, settings.embedding_size))
        except IndexUnusable as error:
            if clock() > give_up:
                raise
            return str(error)
        return None

    await worker.wait_for(INDEX, attempt, readiness, stop)
    return opened[0] if opened else None


def stages(embedder: Embedder, index: Index, settings: Settings) -> Sequence[Stage]:
    """Return the stages of this service: questions, which have a deadline, and documents, which have none."""
    retriever = Retriever(embedder, index)
    indexer = Indexer(PatientEmbedder(embedder), index)
    questions = Each(retriever.retrieve, lambda: settings.retrieval_concurrency)
    documents = Batch(indexer.index, PARTS_AT_ONCE)
    return (
        Stage(SERVICE, (CHAT_TOKENIZED,), questions, failures=CHAT_RESPONSES),
        Stage(INDEXER, (DOCUMENTS_CHUNKED, DOCUMENTS_DELETED), documents, failures=None),
    )


if __name__ == "__main__":
    main()
