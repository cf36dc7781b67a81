"""The work on one document: parse, chunk, embed, publish. Any step may be the last of this process."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import msgspec
import structlog
from opentelemetry.trace import Span

from penstock.ingestion.domain.chunking import Piece, chunk
from penstock.ingestion.domain.chunks import Chunks, chunk_id, embedded_before, events, packed
from penstock.ingestion.domain.model import (
    AUTO,
    MAX_FAILURES,
    Code,
    Document,
    Job,
    LeaseLost,
    content_blob,
    content_key,
    file_blob,
)
from penstock.ingestion.domain.parsed import Parsed, ParseFailed
from penstock.ingestion.handler.spans import step, work_on
from penstock.ingestion.ports import (
    BlobMissing,
    Blobs,
    Documents,
    Embedder,
    Jobs,
    Parser,
    Publisher,
    RecordsAway,
    StorageAway,
    Tokenizer,
)
from penstock.messages.documents import Chunk, searchable_text
from penstock.streaming.errors import PermanentError, TransientError
from penstock.streaming.ports import BrokerError
from penstock.telemetry import metric_catalog, names
from penstock.telemetry.instruments import histogram
from penstock.telemetry.spans import fail

PIPELINE = "1"
"""Part of the key under which chunks are kept: another parser or cutter must not take over the old ones."""
BEAT_SECONDS = 3.0
EMBED_BATCH = 64
_LONGEST_BACKOFF_S = 60.0
_CODES: Mapping[str, Code] = {
    "unsupported_file": "unsupported_file",
    "invalid_file": "invalid_file",
    "file_too_large": "invalid_file",
    "empty_file": "invalid_file",
}
_AWAY = (TransientError, BrokerError, RecordsAway, StorageAway)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tools:
    """What a document goes through."""

    parser: Parser
    tokenizer: Tokenizer
    embedder: Embedder
    publisher: Publisher


class Worker:
    """Takes jobs until none is left. `owner` is unique to this worker and run."""

    def __init__(
        self, jobs: Jobs, documents: Documents, blobs: Blobs, tools: Tools, model: str, owner: str
    ) -> None:
        self._jobs = jobs
        self._documents = documents
        self._blobs = blobs
        self._tools = tools
        self._pipeline = f"{PIPELINE} {model}"
        self._owner = owner
        self._duration = histogram(metric_catalog.WORK_DURATION)

    async def drain(self, stop: asyncio.Event) -> int:
        """Work on what there is until `stop` is set, and return how many documents that were.

        A document in hand is put back then, for another worker. Raises RecordsAway.
        """
        count = 0
        while not stop.is_set() and (job := await self._jobs.claim(self._owner)) is not None:
            work = asyncio.create_task(self._work(job))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await self._put_back(job, 0, fault=False)
                return count
            await work
            count += 1
        return count

    async def _work(self, job: Job) -> None:
        began = time.perf_counter()
        with work_on(job) as span:
            outcome = await self._try(job, span)
            self._duration.record(time.perf_counter() - began, {names.PENSTOCK_OUTCOME: outcome})

    async def _try(self, job: Job, span: Span) -> str:
        """Bring a job to its end, or put it back; return which."""
        about = log.bind(document=job.document.id, file=job.document.file_id, attempt=job.document.attempt)
        try:
            if job.failures >= MAX_FAILURES:
                message = f"Its worker ended, or met an error of ours, {job.failures} times. See the logs."
                await self._jobs.fail(job, "server_error", message)
                fail(span, "given_up")
                about.error("document_given_up", failures=job.failures)
                return "failed"
            await self._while_mine(job)
            about.info("document_published")
            return "published"
        except LeaseLost:
            fail(span, "lease_lost")
            about.info("document_left_to_another")
            return "lost"
        except ParseFailed as failed:
            fail(span, failed.code)
            await self._fail(job, _CODES[failed.code], failed.message)
            about.info("document_refused", code=failed.code)
            return "refused"
        except PermanentError as error:
            fail(span, error.code)
            await self._fail(job, "server_error", error.message)
            about.warning("document_failed", code=error.code)
            return "failed"
        except _AWAY as error:
            fail(span, type(error).__name__)
            about.warning("document_put_back", reason=str(error))
            await self._put_back(job, _backoff(job), fault=False)
        except Exception as error:  # noqa: BLE001  # the last line of defence: one must not stop all others
            fail(span, type(error).__name__)
            about.exception("document_fault")
            await self._put_back(job, _backoff(job), fault=True)
        return "put_back"

    async def _fail(self, job: Job, code: Code, message: str) -> None:
        try:
            await self._jobs.fail(job, code, message)
        except LeaseLost:
            log.info("document_left_to_another", document=job.document.id)

    async def _put_back(self, job: Job, seconds: float, *, fault: bool) -> None:
        try:
            await self._jobs.put_back(job, seconds, fault=fault)
        except LeaseLost:
            log.info("document_left_to_another", document=job.document.id)

    async def _while_mine(self, job: Job) -> None:
        """Process a job for as long as its lease is ours."""
        processing = asyncio.create_task(self._process(job))
        beating = asyncio.create_task(self._beat(job))
        try:
            await asyncio.wait({processing, beating}, return_when=asyncio.FIRST_COMPLETED)
            if not processing.done():
                beating.result()
            await processing
        finally:
            for task in (processing, beating):
                task.cancel()
            await asyncio.gather(processing, beating, return_exceptions=True)

    async def _beat(self, job: Job) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._jobs.beat(job)

    async def _process(self, job: Job) -> None:
        document = job.document
        chunking = document.chunking or AUTO
        content = content_key(document.tenant, document.digest, chunking, self._pipeline)
        made = await self._kept(content)
        if made is None:
            made = await self._made(job)
            await self._blobs.put(content_blob(content), msgspec.msgpack.encode(made))
        parts = list(events(made, document))
        await self._jobs.publishing(job, len(parts))
        await self._tools.publisher.publish(document.tenant, parts)
        await self._jobs.published(job, content, len(made.chunks), made.pages, len(parts))

    async def _kept(self, content: str) -> Chunks | None:
        """Return chunks that were made before, by an attempt that was cut off or for another document."""
        try:
            body = await self._blobs.get(content_blob(content))
        except BlobMissing:
            return None
        return msgspec.msgpack.decode(body, type=Chunks)

    async def _made(self, job: Job) -> Chunks:
        document = job.document
        await self._jobs.state(job, "parsing")
        parsed = await self._parsed(document)
        chunking = document.chunking or AUTO
        borders = await self._tools.tokenizer.borders(parsed.text)
        with step("chunk"):
            pieces = await asyncio.to_thread(chunk, parsed, borders, chunking.size, chunking.overlap)
        if not pieces:
            raise ParseFailed("empty_file", "The file has no text. Upload one that has.")
        await self._jobs.state(job, "embedding")
        chunks = list(_chunks(parsed, pieces, document.digest))
        texts = [searchable_text(parsed.title, one.headings, one.text) for one in chunks]
        vectors = await self._vectors(document, texts)
        embedded = tuple(
            msgspec.structs.replace(one, vector=vectors[text])
            for one, text in zip(chunks, texts, strict=True)
        )
        return Chunks(parsed.title, parsed.language, parsed.pages, embedded)

    async def _parsed(self, document: Document) -> Parsed:
        async with self._blobs.local(file_blob(document.tenant, document.digest)) as path:
            with step("parse"):
                return await self._tools.parser.parse(path, document.file_name)

    async def _vectors(self, document: Document, texts: Sequence[str]) -> Mapping[str, bytes]:
        """Embed the texts, but for those that an earlier version of the file had, too."""
        known: dict[str, bytes] = {}
        for content in await self._documents.siblings(document):
            kept = await self._kept(content)
            if kept is not None:
                known |= embedded_before(kept.title, kept.chunks)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        for batch in _batches(missing, EMBED_BATCH):
            found = await self._tools.embedder.embed(batch)
            known |= {text: packed(vector) for text, vector in zip(batch, found, strict=True)}
        return known


def _backoff(job: Job) -> float:
    """Return seconds to wait before the next attempt."""
    return min(_LONGEST_BACKOFF_S, 2.0 ** min(job.document.attempt, 10))


def _chunks(parsed: Parsed, pieces: Sequence[Piece], digest: str) -> Iterator[Chunk]:
    seen: dict[str, int] = {}
    for piece in pieces:
        text = parsed.text[piece.start : piece.end]
        yield Chunk(
            chunk_id=chunk_id(digest, piece.headings, text, seen),
            start=piece.start,
            end=piece.end,
            text=text,
            tokens=piece.tokens,
            headings=piece.headings,
            page=piece.page,
        )


def _batches(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    rest = iter(texts)
    while batch := list(islice(rest, size)):
        yield batch
