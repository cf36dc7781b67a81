"""The worker on one document, with real records and blobs: what each fault leads to."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from penstock.ingestion.adapters.blobs import ObjectBlobs
from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.adapters.records.jobs import LEASE_MS
from penstock.ingestion.domain.model import MAX_FAILURES, Document
from penstock.ingestion.domain.parsed import Block, Kind, Parsed, ParseFailed
from penstock.ingestion.handler import work
from penstock.ingestion.handler.uploads import Uploads
from penstock.ingestion.handler.work import Tools, Worker
from penstock.ingestion.ports import Attachment, Leftover, OutboxEvent, Page, StorageFull
from penstock.messages.documents import DocumentChunked
from penstock.messages.search import DEFAULT_STORE
from penstock.streaming.errors import PermanentError, TransientError
from penstock.streaming.ports import BrokerError
from penstock.telemetry.metric_catalog import WORK_DURATION
from penstock.telemetry.names import PENSTOCK_OUTCOME

TENANT = "acme"
TEXT = "One two three.\n\nFour five six."


class Steps:
    """All tools in one; `on` is called at each step with its name, and may raise or wait."""

    def __init__(self) -> None:
        self.published: list[DocumentChunked] = []
        self.embedded: list[str] = []
        self.on: Callable[[str], object] = lambda _: None

    async def _at(self, step: str) -> None:
        found = self.on(step)
        if asyncio.iscoroutine(found):
            await found

    async def parse(self, path: Path, _file_name: str) -> Parsed:
        await self._at("parse")
        assert await asyncio.to_thread(path.read_text) == TEXT
        return Parsed("Title", TEXT, (Block(Kind.TEXT, 0, len(TEXT)),), "en", 3)

    async def borders(self, text: str) -> list[tuple[int, int]]:
        await self._at("tokens")
        return [(n, n + 1) for n in range(len(text))]

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        await self._at("embed")
        self.embedded += texts
        return [[1.0, 0.0] for _ in texts]

    async def publish(self, _tenant: str, parts: Sequence[DocumentChunked]) -> None:
        await self._at("publish")
        self.published += parts

    async def send(self, _written: Sequence[OutboxEvent]) -> None:
        raise AssertionError("the worker leaves events to the outbox")

    async def take_back(self, _leftovers: Sequence[Leftover]) -> None:
        raise AssertionError("the worker leaves that to the app")


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def worker(records: Records, blobs: ObjectBlobs, steps: Steps) -> Callable[[str], Worker]:
    tools = Tools(steps, steps, steps, steps)
    return lambda owner: Worker(records.jobs, records.documents, blobs, tools, "model", owner)


@pytest.fixture
async def document(records: Records, blobs: ObjectBlobs, tmp_path: Path, clock) -> Document:
    (tmp_path / "upload").write_text(TEXT)
    uploads = Uploads(records.files, blobs, lambda: "f1", lambda: clock.now // 1000)
    file = await uploads.keep(TENANT, "a.txt", "assistants", tmp_path / "upload", len(TEXT), "d1")
    [made] = await records.documents.attach(TENANT, DEFAULT_STORE, [Attachment(file.id, {}, None)])
    return made


async def drain(worker: Worker) -> int:
    return await worker.drain(asyncio.Event())


async def now(records: Records, document: Document) -> Document:
    return await records.documents.get(TENANT, DEFAULT_STORE, document.file_id)


async def test_a_document_is_published_with_everything_it_needs(
    records: Records, worker, document: Document, steps: Steps
) -> None:
    assert await drain(worker("w1")) == 1
    [event] = steps.published
    assert (event.document_id, event.version, event.parts) == (document.id, document.version, 1)
    assert (event.title, event.language, event.file_name) == ("Title", "en", "a.txt")
    assert [chunk.text for chunk in event.chunks] == [TEXT]
    waiting = await now(records, document)
    assert (waiting.state, waiting.chunks, waiting.pages) == ("indexing", 1, 3)


@pytest.mark.parametrize("step", ["parse", "tokens", "embed", "publish"])
async def test_a_worker_killed_at_any_step_costs_a_delay(
    records: Records, worker, document: Document, steps: Steps, clock, step: str
) -> None:
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    steps.on = lambda at: hang() if at == step else None
    killed = asyncio.create_task(drain(worker("w1")))
    await asyncio.wait_for(reached.wait(), 5)
    # As kill -9 leaves it: nothing is put back, and no heartbeat comes any more.
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    steps.on = lambda _: None
    assert await drain(worker("w2")) == 0
    clock.pass_s(LEASE_MS / 1000 + 1)
    assert await drain(worker("w2")) == 1
    assert len(steps.published) == 1
    assert len(steps.embedded) == 1  # what was embedded before the kill is not embedded again
    assert (await now(records, document)).state == "indexing"


async def test_a_document_that_ends_its_worker_three_times_is_given_up(
    records: Records, worker, document: Document, clock
) -> None:
    for number in range(MAX_FAILURES):
        assert await records.jobs.claim(f"dead-{number}") is not None
        clock.pass_s(LEASE_MS / 1000 + 1)
    await drain(worker("w1"))
    failed = await now(records, document)
    assert (failed.status, failed.code) == ("failed", "server_error")
    assert "3 times" in failed.message
    assert await records.jobs.claim("w2") is None


async def test_a_fault_of_ours_is_tried_three_times(
    records: Records, worker, document: Document, steps: Steps, clock
) -> None:
    def broken(_step: str) -> None:
        raise ZeroDivisionError

    steps.on = broken
    for _ in range(MAX_FAILURES + 1):
        await drain(worker("w1"))
        clock.pass_s(120)
    assert (await now(records, document)).code == "server_error"


@pytest.mark.parametrize("error", [TransientError("away", "away"), BrokerError("away")])
async def test_what_is_away_is_waited_for_without_end(
    records: Records, worker, document: Document, steps: Steps, clock, error: Exception
) -> None:
    def away(step: str) -> None:
        if step == "publish":
            raise error

    steps.on = away
    for _ in range(MAX_FAILURES + 3):
        assert await drain(worker("w1")) == 1
        assert (await now(records, document)).state == "queued"
        clock.pass_s(120)
    steps.on = lambda _: None
    await drain(worker("w1"))
    assert (await now(records, document)).state == "indexing"
    assert len(steps.embedded) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ParseFailed("empty_file", "It is empty."), "invalid_file"),
        (ParseFailed("unsupported_file", "No such kind."), "unsupported_file"),
        (PermanentError("embedding_refused", "The server refused."), "server_error"),
    ],
)
async def test_what_cannot_be_helped_fails_at_once_and_says_why(
    records: Records, worker, document: Document, steps: Steps, error: Exception, code: str
) -> None:
    def fail(step: str) -> None:
        if step == "parse":
            raise error

    steps.on = fail
    await drain(worker("w1"))
    failed = await now(records, document)
    assert (failed.status, failed.code, failed.message) == ("failed", code, error.message)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "published"),
        (ParseFailed("empty_file", "It is empty."), "refused"),
        (PermanentError("embedding_refused", "The server refused."), "failed"),
        (TransientError("away", "away"), "put_back"),
        (ZeroDivisionError(), "put_back"),
    ],
)
@pytest.mark.usefixtures("document")
async def test_every_attempt_is_measured_with_what_became_of_it(
    measured, worker, steps: Steps, error: Exception | None, outcome: str
) -> None:
    def fail(step: str) -> None:
        if step == "parse" and error is not None:
            raise error

    steps.on = fail
    assert await drain(worker("w1")) == 1
    [point] = measured(WORK_DURATION)
    assert dict(point.attributes) == {PENSTOCK_OUTCOME: outcome}


async def test_a_document_that_is_deleted_meanwhile_is_not_published(
    records: Records, worker, document: Document, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "BEAT_SECONDS", 0.01)

    async def delete() -> None:
        await records.files.delete(TENANT, document.file_id)
        await asyncio.sleep(5)

    steps.on = lambda step: delete() if step == "embed" else None
    assert await asyncio.wait_for(drain(worker("w1")), 4) == 1
    assert steps.published == []


async def test_a_planned_stop_puts_the_document_back_at_once(
    records: Records, worker, document: Document, steps: Steps
) -> None:
    stop, reached = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    steps.on = lambda step: hang() if step == "embed" else None
    running = asyncio.create_task(worker("w1").drain(stop))
    await asyncio.wait_for(reached.wait(), 5)
    stop.set()
    await asyncio.wait_for(running, 5)
    steps.on = lambda _: None
    assert await drain(worker("w2")) == 1
    assert (await now(records, document)).state == "indexing"


async def test_an_upload_that_finds_no_room_leaves_no_file(
    records: Records, blobs: ObjectBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_name: str, _source: object) -> None:
        raise StorageFull("no space is left for blobs")

    monkeypatch.setattr(blobs, "put", full)
    uploads = Uploads(records.files, blobs, lambda: "f1", lambda: 1)
    with pytest.raises(StorageFull):
        await uploads.keep(TENANT, "a", "assistants", tmp_path, 1, "d1")
    assert await records.files.page(TENANT, Page()) == []
    assert await records.files.forget_abandoned(2) == 1
