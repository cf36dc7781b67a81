"""All of ingestion but the parsing, a log in memory, and an index that reads it, moved step by step."""

from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import select

from penstock.ingestion.adapters.publisher import LogPublisher
from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.adapters.records.jobs import LEASE_MS
from penstock.ingestion.adapters.records.log_parts import AGAIN_MS
from penstock.ingestion.adapters.tables import Base, LogPartRow
from penstock.ingestion.domain.model import Document, File, Job, LeaseLost
from penstock.ingestion.handler.maintenance import Acknowledged, Relay, Sweeper
from penstock.ingestion.ports import Attachment, Page
from penstock.messages.documents import Chunk, DocumentChunked, DocumentDeleted, DocumentIndexed
from penstock.messages.search import DEFAULT_STORE
from penstock.messages.topics import DOCUMENTS_CHUNKED, DOCUMENTS_DELETED, Topic
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.ports import Partition, Record
from penstock.streaming.records import decode, takes_back
from penstock.streaming.stage import Received

TENANT = "acme"
FILES = 3
STEPS = (
    *("attach", "delete", "come_in", "claim", "write", "fail", "die"),
    *("relay", "index_part", "index_deletion", "hear", "sweep", "rest"),
)
"""Methods of World that a test may call in any order, each with any number."""


class Part(NamedTuple):
    """A part of a version of a document."""

    document_id: str
    version: int
    part: int


class Working(NamedTuple):
    """A worker with a document in hand. It may have lost its lease long ago, and write all the same."""

    job: Job
    left: list[DocumentChunked]


class World:
    """What is there, and what has been read of it."""

    def __init__(self, records: Records, clock: Any) -> None:
        self.records = records
        self.clock = clock
        self.broker = MemoryBroker(now_ms=clock)
        self.workers: list[Working] = []
        connection: Any = SimpleNamespace(producer=self.broker.producer())
        self._publisher = LogPublisher(connection, clock)
        self._relay = Relay(records.outbox, self._publisher)
        self._sweeper = Sweeper(records.leftovers, self._publisher)
        self._acknowledged = Acknowledged(records.jobs, records.leftovers)
        self._heads: dict[str, tuple[int, bool]] = {}
        self._answers: list[Received[Any]] = []
        self._read = {DOCUMENTS_CHUNKED.name: 0, DOCUMENTS_DELETED.name: 0}
        self._count = 0

    async def begin(self) -> None:
        """Empty the database, which all examples of a test share, and upload some files."""
        async with self.records.database.writing() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                await connection.execute(table.delete())
        for number in range(FILES):
            await self._upload(number)

    async def attach(self, number: int = 0) -> None:
        """A file is put into the store, or comes anew: a version of its own."""
        self._count += 1
        again = Attachment(_file(number), {"n": self._count}, None)
        await self.records.documents.attach(TENANT, DEFAULT_STORE, [again])

    async def delete(self, number: int = 0) -> None:
        """A file goes, or is only taken out of the store."""
        number %= FILES
        if number % 2:
            await self.records.files.delete(TENANT, _file(number))
            await self._upload(number)
        elif _file(number) in {d.file_id for d in await self.documents()}:
            await self.records.documents.detach(TENANT, DEFAULT_STORE, _file(number))

    async def claim(self, _number: int = 0) -> None:
        """A worker gets as far as it does before it writes to the log."""
        job = await self.records.jobs.claim(uuid4().hex)
        if job is not None:
            parts = parts_of(job.document)
            await self.records.jobs.publishing(job, len(parts))
            self.workers.append(Working(job, parts))

    async def write(self, number: int = 0) -> None:
        """A worker writes one part; or says that all are written, if it still may."""
        if not self.workers:
            return
        worker = self.workers[number % len(self.workers)]
        if worker.left:
            await self._publisher.publish(TENANT, [worker.left.pop(0)])
        else:
            self.workers.remove(worker)
            parts = len(parts_of(worker.job.document))
            await _unless_lost(self.records.jobs.published(worker.job, "c", 1, 0, parts))

    async def come_in(self, _number: int = 0) -> None:
        """A document comes in undisturbed, and all that was written before is heard of."""
        await self.claim()
        if self.workers:
            last = self.workers[-1]
            while last in self.workers:
                await self.write(self.workers.index(last))
        await self.tell_all()

    async def fail(self, number: int = 0) -> None:
        """A worker gives its document up."""
        if self.workers:
            job = self.workers[number % len(self.workers)].job
            await _unless_lost(self.records.jobs.fail(job, "server_error", "No."))

    async def die(self, _number: int = 0) -> None:
        """All workers are silent for so long that others take their place; they still hold what they had."""
        self.clock.pass_s(LEASE_MS / 1000 + 1)

    async def relay(self, _number: int = 0) -> None:
        """What was decided is written to the log."""
        await self._relay.once()

    async def index_part(self, _number: int = 0) -> None:
        """The index takes the next part."""
        self._index(DOCUMENTS_CHUNKED)

    async def index_deletion(self, _number: int = 0) -> None:
        """The index takes the next deletion."""
        self._index(DOCUMENTS_DELETED)

    async def hear(self, number: int = 0) -> None:
        """Ingestion hears so many of the index's answers, and one more."""
        heard, self._answers = self._answers[: number + 1], self._answers[number + 1 :]
        await self._acknowledged.note(heard)

    async def sweep(self, _number: int = 0) -> None:
        """What is due is taken back."""
        await self._sweeper.once()

    async def rest(self, _number: int = 0) -> None:
        """For so long nothing happens that all is taken back twice; workers that were stopped do not know."""
        await self.tell_all()
        await self.sweep()
        self.clock.pass_s(AGAIN_MS / 1000 + 1)
        await self.sweep()

    async def tell_all(self) -> None:
        """Everybody hears everything."""
        await self.relay()
        while self._index(DOCUMENTS_CHUNKED) or self._index(DOCUMENTS_DELETED):
            pass
        await self.hear(len(self._answers))

    async def settle(self) -> None:
        """Let everything end. Workers who have slept through it all write what they still hold."""
        await self.rest()
        for _ in range(40):
            while self.workers:
                await self.write()
            await self.tell_all()
            self.clock.pass_s(2 * AGAIN_MS / 1000)  # what nobody confirmed is published anew
            await self.sweep()
            await self.claim()
            if not (self.workers or await self._open()):
                return
        raise AssertionError("it never comes to rest")

    async def documents(self) -> list[Document]:
        """The documents in the store."""
        return await self.records.documents.page(TENANT, DEFAULT_STORE, Page(limit=100))

    async def counting(self) -> set[Part]:
        """The parts of the documents that are completed."""
        completed = [document for document in await self.documents() if document.state == "completed"]
        return {Part(d.id, d.version, event.part) for d in completed for event in parts_of(d)}

    async def noted(self) -> set[Part]:
        """The parts that the database knows to be in the log."""
        async with self.records.database.reading() as connection:
            rows = (await connection.execute(select(LogPartRow))).all()
        return {Part(row.document_id, row.version, row.part) for row in rows}

    def log(self) -> list[Record]:
        """All records of documents.chunked."""
        return self.broker.log(DOCUMENTS_CHUNKED.name)

    def kept(self) -> set[Part]:
        """What Kafka's compaction leaves of the log: the last record of each key, if that has a body."""
        last = {(record.partition, record.key): record for record in self.log()}
        events: list[Any] = [decode(r, DOCUMENTS_CHUNKED).event for r in last.values() if r.value is not None]
        return {Part(event.document_id, event.version, event.part) for event in events}

    async def _upload(self, number: int) -> None:
        name = _file(number)
        file = File(name, TENANT, "a.md", "assistants", 1, name, self.clock() // 1000)
        await self.records.files.begin(file)
        await self.records.files.finish(file)

    def _index(self, topic: Topic) -> bool:
        """Take the next record of a topic as retrieval does; return whether there was one."""
        log = sorted(self.broker.log(topic.name), key=lambda record: record.timestamp_ms)
        seen = self._read[topic.name]
        if seen == len(log):
            return False
        self._read[topic.name] += 1
        if not takes_back(log[seen], topic):
            self._answers.append(self._answer(decode(log[seen], topic)))
        return True

    def _answer(self, received: Received[Any]) -> Received[Any]:
        event = received.event
        identity, version, deleted = event.document_id, event.version, isinstance(event, DocumentDeleted)
        self._heads[identity] = head = max((version, deleted), self._heads.get(identity, (0, False)))
        answer = DocumentIndexed(
            document_id=identity,
            version=version,
            part=0 if deleted else event.part,
            chunks=1 if head == (version, False) else 0,
            deleted=deleted,
        )
        envelope = received.envelope.caused(answer.TYPE, nth=0, source="/test", time_ms=0)
        return Received(answer, envelope, Partition("documents.indexed", 0), 0)

    async def _open(self) -> bool:
        """Whether something is still to be done."""
        async with self.records.database.reading() as connection:
            due = (await connection.execute(select(LogPartRow).where(LogPartRow.due > 0).limit(1))).first()
        states = {document.state for document in await self.documents()}
        return bool(due or states - {"completed", "failed"} or await self.records.outbox.next(1))


def parts_of(document: Document) -> list[DocumentChunked]:
    """The parts of a version: always the same, one to three."""
    parts = 1 + document.version % 3
    chunk = Chunk(chunk_id="c", start=0, end=1, text="t", tokens=1)
    return [
        DocumentChunked(
            document_id=document.id,
            version=document.version,
            title="T",
            part=part,
            parts=parts,
            chunks=(chunk,),
        )
        for part in range(parts)
    ]


def _file(number: int) -> str:
    return f"file-{number % FILES}"


async def _unless_lost(call: Awaitable[None]) -> None:
    try:
        await call
    except LeaseLost:
        return
