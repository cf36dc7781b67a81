"""The real process over real Kafka: what it waits for, a kill -9 after a document, a clean end."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx2

from penstock.messages.chat import ChatRetrieved, ChatTokenized, Sampling
from penstock.messages.documents import DocumentIndexed
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.topics import (
    CHAT_RETRIEVED,
    CHAT_TOKENIZED,
    DOCUMENTS_CHUNKED,
    DOCUMENTS_INDEXED,
    Topic,
)
from penstock.streaming import records
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.ports import Partition


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def process(
    state: Path, kafka: str, embeddings: str, port: int, instance: str = "retrieval", search_port: int = 0
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a retrieval; it is killed at the end if it has not gone by then."""
    own = {
        "STATE": str(state),
        "KAFKA": kafka,
        "EMBEDDINGS": embeddings,
        "EMBEDDING_SIZE": "3",
        "HEALTH_PORT": str(port),
        "SESSION_TIMEOUT_MS": "2000",
        "INSTANCE": instance,
        "SEARCH_PORT": str(search_port),
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "penstock.retrieval.main",
        env={**os.environ, **{f"PENSTOCK_{name}": value for name, value in own.items()}},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def waiting_for(port: int, wanted: Callable[[list[str]], bool]) -> list[str]:
    """Ask /readyz again and again until what it waits for is as wanted; at most 60 seconds."""
    async with httpx2.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
        while True:
            try:
                reasons: list[str] = (await client.get(f"http://127.0.0.1:{port}/readyz")).json()[
                    "waiting_for"
                ]
                if wanted(reasons):
                    return reasons
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.05)


class Client:
    """Sends events, and awaits what comes of them."""

    def __init__(self, kafka: str, tenant: str) -> None:
        self._kafka = kafka
        self._tenant = tenant

    async def ask(self, topic: Topic, event: Event, answers: Topic) -> Event:
        """Send an event and return the first one of the same subject in `answers`."""
        subject = str(uuid4())
        partitions = [Partition(answers.name, n) for n in range(answers.partitions)]
        reader = await open_reader(self._kafka, partitions, "beginning")
        producer = await open_producer(self._kafka, [topic.name])
        try:
            envelope = Envelope(
                id=subject, type=event.TYPE, source="/t", time_ms=0, subject=subject, tenant=self._tenant
            )
            await records.send(producer, topic, envelope, event)
            async with asyncio.timeout(60):
                while True:
                    for record in await reader.poll(0.2):
                        envelope_found = records.envelope_of(record)
                        if envelope_found is not None and envelope_found.subject == subject:
                            return records.decode(record, answers).event
        finally:
            await producer.close()
            await reader.close()


async def test_what_was_indexed_is_found_after_a_kill(
    kafka_broker: str, tei_server, make, tmp_path: Path
) -> None:
    port = free_port()
    client = Client(kafka_broker, tenant=f"tenant-{uuid4()}")
    async with process(tmp_path, f"127.0.0.1:{free_port()}", tei_server.url, port) as retrieval:
        reasons = await waiting_for(port, lambda r: len(r) > 0 and "no broker" in r[-1])
        assert not any("index" in reason for reason in reasons)
        retrieval.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await retrieval.wait() == 0

    await ensure_topics(kafka_broker)
    async with process(tmp_path, kafka_broker, tei_server.url, port) as retrieval:
        await waiting_for(port, lambda r: not r)
        indexed = await client.ask(DOCUMENTS_CHUNKED, make.chunked("kafka keeps a log"), DOCUMENTS_INDEXED)
        assert indexed == DocumentIndexed(document_id="doc", version=1, part=0, chunks=1)
        retrieval.kill()

    async with process(tmp_path, kafka_broker, tei_server.url, port) as retrieval:
        await finds_the_document(client)
        retrieval.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await retrieval.wait() == 0


async def test_a_second_replica_takes_no_question_before_its_own_index_holds_all_documents(
    kafka_broker: str, tei_server, make, tmp_path: Path
) -> None:
    await ensure_topics(kafka_broker)
    tenant = f"tenant-{uuid4()}"
    client = Client(kafka_broker, tenant)
    first_port, second_port = free_port(), free_port()
    chunked = make.chunked("kafka keeps a log")
    async with process(tmp_path, kafka_broker, tei_server.url, first_port) as first:
        await waiting_for(first_port, lambda r: not r)
        assert isinstance(await client.ask(DOCUMENTS_CHUNKED, chunked, DOCUMENTS_INDEXED), DocumentIndexed)
        tei_server.statuses += [503] * 1000
        async with process(tmp_path, kafka_broker, tei_server.url, second_port, "retrieval-2") as second:
            await waiting_for(second_port, lambda r: any("not indexed yet" in reason for reason in r))
            tei_server.statuses.clear()
            await waiting_for(second_port, lambda r: not r)
            first.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                assert await first.wait() == 0
            await finds_the_document(client)
            second.kill()
    assert await count_indexed(kafka_broker, tenant) == 1

    # An index that has gone is made again from the log: its old offsets do not count for the new one.
    shutil.rmtree(tmp_path / "retrieval-2" / "index")
    async with process(tmp_path, kafka_broker, tei_server.url, second_port, "retrieval-2"):
        await waiting_for(second_port, lambda r: not r)
        await finds_the_document(client)


async def test_a_new_index_is_made_from_the_log_while_the_old_one_is_searched(
    kafka_broker: str, tei_server, make, tmp_path: Path
) -> None:
    await ensure_topics(kafka_broker)
    tenant = f"tenant-{uuid4()}"
    client = Client(kafka_broker, tenant)
    port, search_port = free_port(), free_port()
    running = process(tmp_path, kafka_broker, tei_server.url, port, search_port=search_port)
    async with (
        running,
        httpx2.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{search_port}") as http,
    ):
        await waiting_for(port, lambda r: not r)
        chunked = make.chunked("kafka keeps a log")
        assert isinstance(await client.ask(DOCUMENTS_CHUNKED, chunked, DOCUMENTS_INDEXED), DocumentIndexed)
        [before] = [path for path in (tmp_path / "index").iterdir() if path.is_dir()]

        async def texts() -> list[str]:
            found = await http.post("/search", json={"tenant": tenant, "queries": ["kafka"]})
            assert found.status_code == 200, found.text
            return [result["text"] for result in found.json()["results"]]

        assert (await http.post("/reindex")).status_code == 202
        async with asyncio.timeout(60):
            while (progress := (await http.get("/reindex")).json())["running"]:
                assert await texts() == ["kafka keeps a log"]
                await asyncio.sleep(0.02)
        assert progress["done"] == progress["total"] > 0
        assert progress["error"] == ""
        assert await texts() == ["kafka keeps a log"]
        async with asyncio.timeout(30):
            while before.exists():  # noqa: ASYNC110  # a directory tells nobody when it goes
                await asyncio.sleep(0.05)
        again = make.chunked("boats float", document_id="doc2")
        assert isinstance(await client.ask(DOCUMENTS_CHUNKED, again, DOCUMENTS_INDEXED), DocumentIndexed)
        assert sorted(await texts()) == ["boats float", "kafka keeps a log"]
        await finds_the_document(client)


async def finds_the_document(client: Client) -> None:
    question = ChatTokenized(
        model="m",
        query="kafka log",
        prompt_before="",
        prompt_after="",
        prompt_tokens=1,
        passage_tokens=300,
        sampling=Sampling(),
    )
    retrieved = await client.ask(CHAT_TOKENIZED, question, CHAT_RETRIEVED)
    assert isinstance(retrieved, ChatRetrieved)
    assert "kafka keeps a log" in [passage.text for passage in retrieved.passages]


async def count_indexed(kafka: str, tenant: str) -> int:
    """Return how often it was said that a document of a tenant is indexed."""
    partitions = [Partition(DOCUMENTS_INDEXED.name, n) for n in range(DOCUMENTS_INDEXED.partitions)]
    ends = await open_reader(kafka, partitions, "end")
    reader = await open_reader(kafka, partitions, "beginning")
    found = 0
    while any(reader.position(p) < ends.position(p) for p in partitions):
        envelopes = [records.envelope_of(record) for record in await reader.poll(0.2)]
        found += sum(envelope is not None and envelope.tenant == tenant for envelope in envelopes)
    await ends.close()
    await reader.close()
    return found


async def test_settings_of_no_use_end_it_at_once_with_code_2(tmp_path: Path) -> None:
    async with process(tmp_path, "127.0.0.1:1", "no url", 0) as retrieval, asyncio.timeout(30):
        assert await retrieval.wait() == 2
