"""The retrieval process: two consumer groups over one index."""

import asyncio
import sys

import structlog
from pydantic import ValidationError

from penstock.messages.topics import CHAT_RESPONSES, CHAT_TOKENIZED, DOCUMENTS_CHUNKED, DOCUMENTS_DELETED
from penstock.retrieval.adapters.edge import EdgeIndex, IndexUnusable, open_index
from penstock.retrieval.adapters.patient import PatientEmbedder
from penstock.retrieval.adapters.progress import CatchUp, index_id
from penstock.retrieval.adapters.tei import TeiEmbedder
from penstock.retrieval.handler import Indexer, Retriever
from penstock.retrieval.ports import Embedder, Index
from penstock.retrieval.settings import FIRST, Settings
from penstock.streaming import worker
from penstock.streaming.stage import Batch, Each, Stage
from penstock.telemetry.readiness import Readiness
from penstock.telemetry.setup import set_up

SERVICE = "retrieval"
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
    name = index_id(settings.index)
    index = await _open(settings, readiness, stop)
    if index is None:
        return
    embedder = TeiEmbedder(settings.embeddings, settings.embedding_size)
    questions, documents = stages(embedder, index, settings, name)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.wait_for(EMBEDDINGS, embedder.health, readiness, stop))
            if settings.instance == FIRST:
                await worker.serve((questions, documents), settings, readiness, stop)
            else:
                readiness.waiting(INDEX, "it is not known yet how far it is behind")
                tasks.create_task(_answer_later(questions, documents, settings, readiness, stop))
                await worker.serve((documents,), settings, readiness, stop)
    finally:
        await embedder.close()
        index.close()


async def _answer_later(
    questions: Stage, documents: Stage, settings: Settings, readiness: Readiness, stop: asyncio.Event
) -> None:
    """Take no share of the questions before the index holds all documents that there are now.

    The first replica does not wait: alone, it answers from what it has rather than not at all.
    """
    catch_up = CatchUp(settings.kafka, documents.name, documents.inputs)

    async def behind() -> str | None:
        reason = await catch_up.reason()
        if reason is None:
            readiness.waiting(worker.KAFKA, "joining the consumer group")  # not ready in between
        return reason

    try:
        if not await worker.wait_for(INDEX, behind, readiness, stop):
            return
    finally:
        await catch_up.close()
    log.info("caught_up", group=documents.name)
    # The health server of the process runs already: this one gets any port.
    await worker.serve((questions,), settings.model_copy(update={"health_port": 0}), readiness, stop)


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


def stages(embedder: Embedder, index: Index, settings: Settings, index_name: str = "") -> tuple[Stage, Stage]:
    """Return the stages of this service: questions, which have a deadline, and documents, which have none.

    Questions are shared out among the replicas; each replica's index reads all documents.
    """
    retriever = Retriever(embedder, index)
    indexer = Indexer(PatientEmbedder(embedder), index, announces=settings.announces)
    questions = Each(retriever.retrieve, lambda: settings.retrieval_concurrency)
    documents = Batch(indexer.index, PARTS_AT_ONCE)
    group = "-".join(part for part in (settings.instance, "indexer", index_name) if part)
    return (
        Stage(SERVICE, (CHAT_TOKENIZED,), questions, failures=CHAT_RESPONSES),
        Stage(group, (DOCUMENTS_CHUNKED, DOCUMENTS_DELETED), documents, failures=None),
    )


if __name__ == "__main__":
    main()
