"""What traces tell of documents: from the upload over the job to what is written to the log."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind

from penstock.ingestion.adapters.blobs import ObjectBlobs
from penstock.ingestion.adapters.publisher import LogPublisher
from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.domain.parsed import Block, Kind, Parsed, ParseFailed
from penstock.ingestion.handler.maintenance import Relay
from penstock.ingestion.handler.uploads import Uploads
from penstock.ingestion.handler.work import Tools, Worker
from penstock.ingestion.ports import Attachment
from penstock.messages.search import DEFAULT_STORE
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.clock import unix_ms
from penstock.streaming.records import envelope_of

TENANT = "acme"
TEXT = "A canary sings."


class Means:
    """Parser, tokenizer and embedder in one; `refuses` files if it is told to."""

    refuses = False

    async def parse(self, _path: Path, _file_name: str) -> Parsed:
        if self.refuses:
            raise ParseFailed("invalid_file", "A canary sings.")
        return Parsed("Title", TEXT, (Block(Kind.TEXT, 0, len(TEXT)),), "en", 1)

    async def borders(self, text: str) -> list[tuple[int, int]]:
        return [(n, n + 1) for n in range(len(text))]

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        return [[1.0, 0.0] for _ in texts]


class Scene:
    """Records, a worker and a log in memory."""

    def __init__(self, records: Records, blobs: ObjectBlobs, folder: Path) -> None:
        self.broker = MemoryBroker(now_ms=unix_ms)
        connection: Any = SimpleNamespace(producer=self.broker.producer())
        self.publisher = LogPublisher(connection, unix_ms, "worker-3")
        self.means = Means()
        tools = Tools(self.means, self.means, self.means, self.publisher)
        self._records = records
        self._blobs = blobs
        self._upload = folder / "upload"
        self._worker = Worker(records.jobs, records.documents, blobs, tools, "model", "w1")

    async def come_in(self, batch_id: str = "") -> None:
        """Upload a file and put it into a store, each in a request of its own."""
        self._upload.write_text(TEXT)
        tracer = trace.get_tracer("t")
        with tracer.start_as_current_span("upload", kind=SpanKind.SERVER):
            uploads = Uploads(self._records.files, self._blobs, lambda: "f1", lambda: 1)
            file = await uploads.keep(TENANT, "a.txt", "assistants", self._upload, len(TEXT), "d1")
        with tracer.start_as_current_span("attach", kind=SpanKind.SERVER):
            attachment = Attachment(file.id, {}, None)
            await self._records.documents.attach(TENANT, DEFAULT_STORE, [attachment], batch_id)

    async def work(self) -> None:
        """Do what there is to do, and write what was decided on."""
        await self._worker.drain(asyncio.Event())
        await Relay(self._records.outbox, self.publisher).once()


@pytest.fixture
def scene(spans: InMemorySpanExporter, records: Records, blobs: ObjectBlobs, tmp_path: Path) -> Scene:
    assert not spans.get_finished_spans()
    return Scene(records, blobs, tmp_path)


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def place(context: SpanContext | None) -> str:
    """Return the ids alone: a context that has been a header is another object."""
    return f"{context.trace_id:032x}-{context.span_id:016x}" if context else ""


def links(span: ReadableSpan) -> list[str]:
    return [place(link.context) for link in span.links]


async def test_the_work_on_a_document_goes_on_in_the_trace_that_queued_it(
    scene: Scene, spans: InMemorySpanExporter
) -> None:
    await scene.come_in()
    await scene.work()
    [upload], [attach] = named(spans, "upload"), named(spans, "attach")
    [wait], [process] = named(spans, "wait document"), named(spans, "process document")
    assert place(wait.parent) == place(process.parent) == place(attach.context)
    assert (process.kind, links(process)) == (SpanKind.CONSUMER, [place(upload.context)])
    told = dict(process.attributes or {})
    assert (told["penstock.attempt"], told["penstock.tenant"]) == (1, TENANT)
    assert told["penstock.document.id"]
    assert [s.parent for s in (*named(spans, "parse"), *named(spans, "chunk"))] == [process.context] * 2
    [sent] = named(spans, "send documents.chunked")
    assert place(sent.parent) == place(process.context)
    [record] = scene.broker.log("documents.chunked")
    envelope = envelope_of(record)
    assert envelope is not None
    assert envelope.traceparent.startswith(f"00-{place(sent.context)}-")
    states = named(spans, "send documents.states")
    assert {place(state.context)[:32] for state in states} == {place(attach.context)[:32]}
    assert "canary" not in "".join(span.to_json() for span in spans.get_finished_spans())


async def test_each_document_of_a_batch_has_a_trace_of_its_own(
    scene: Scene, spans: InMemorySpanExporter
) -> None:
    await scene.come_in("vsfb_1")
    await scene.work()
    [upload], [attach] = named(spans, "upload"), named(spans, "attach")
    [wait], [process] = named(spans, "wait document"), named(spans, "process document")
    assert wait.parent is None
    assert process.parent == wait.context
    assert links(process) == [place(upload.context), place(attach.context)]


async def test_a_document_that_is_refused_says_why(scene: Scene, spans: InMemorySpanExporter) -> None:
    scene.means.refuses = True
    await scene.come_in()
    await scene.work()
    [process] = named(spans, "process document")
    assert dict(process.attributes or {})["error.type"] == "invalid_file"
    assert "canary" not in process.to_json()
    [deleted] = named(spans, "send documents.deleted")
    assert place(deleted.parent) == place(process.context)


async def test_what_is_done_without_a_request_begins_no_trace(
    records: Records, blobs: ObjectBlobs, tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    scene = Scene(records, blobs, tmp_path)
    uploads = Uploads(records.files, blobs, lambda: "f1", lambda: 1)
    (tmp_path / "upload").write_text(TEXT)
    file = await uploads.keep(TENANT, "a.txt", "assistants", tmp_path / "upload", len(TEXT), "d1")
    await records.documents.attach(TENANT, DEFAULT_STORE, [Attachment(file.id, {}, None)])
    await Relay(records.outbox, scene.publisher).once()
    assert not spans.get_finished_spans()
    [state] = [envelope_of(record) for record in scene.broker.log("documents.states")]
    assert state is not None
    assert state.traceparent == ""
