"""Both stages through the runner: a document goes in, and a question about it comes out with its passage."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from penstock.clients.models import NO_MODELS
from penstock.messages import codec
from penstock.messages.chat import (
    ChatRequested,
    ChatRetrieved,
    ChatTokenized,
    Message,
    RequestFailed,
    Sampling,
)
from penstock.messages.documents import DocumentIndexed
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.topics import (
    CHAT_REQUESTS,
    CHAT_RETRIEVED,
    CHAT_TOKENIZED,
    DOCUMENTS_CHUNKED,
    DOCUMENTS_INDEXED,
    Topic,
)
from penstock.retrieval import ahead as ahead_of
from penstock.retrieval.adapters.memory import MemoryIndex
from penstock.retrieval.ahead import Ahead
from penstock.retrieval.ports import Opened
from penstock.retrieval.query_vectors import QueryVectors
from penstock.retrieval.relevance_floor import RelevanceFloor
from penstock.retrieval.searching import Searcher
from penstock.retrieval.settings import Settings
from penstock.retrieval.stages import documents, questions
from penstock.streaming.adapters.memory import MemoryBroker, MemoryReader
from penstock.streaming.errors import PermanentError, TransientError
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import BrokerError
from penstock.streaming.records import send
from penstock.streaming.runner import Runner

QUESTION = ChatTokenized(
    model="m",
    query="kafka log",
    prompt_before="",
    prompt_after="",
    prompt_tokens=1,
    passage_tokens=300,
    sampling=Sampling(),
)


async def _model_id() -> str:
    return "embedder"


FLOOR = RelevanceFloor(_model_id, NO_MODELS)


@asynccontextmanager
async def running(broker: MemoryBroker, embedder) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        index = MemoryIndex()
        searcher = Searcher(QueryVectors(embedder), index)

        async def open_reader() -> MemoryReader:
            return broker.reader()

        ahead = Ahead(searcher, open_reader)
        reading = tasks.create_task(ahead.run())
        for stage in (
            questions(searcher, FLOOR, ahead, Settings()),
            documents(embedder, Opened("2-5f3a0c11", index), Settings()),
        ):
            offsets = Offsets()
            consumer = broker.consumer(stage.name, [t.name for t in stage.inputs], offsets.committable)
            tasks.create_task(Runner(stage, consumer, broker.producer(), offsets).run(stop))
        yield
        reading.cancel()
        stop.set()


async def put(broker: MemoryBroker, topic: Topic, event: Event, subject: str) -> None:
    envelope = Envelope(id=subject, type=event.TYPE, source="/t", time_ms=0, subject=subject, tenant="acme")
    await send(broker.producer(), topic, envelope, event)


async def first(broker: MemoryBroker, topic: Topic) -> Event:
    async with asyncio.timeout(10):
        while not (log := broker.log(topic.name)):
            await broker.wait_for_news(1)
    headers = dict(log[0].headers)
    return codec.decode((headers["ce_type"] or b"").decode(), log[0].value)


async def test_a_document_is_indexed_and_then_found(embedder, make) -> None:
    broker = MemoryBroker()
    async with running(broker, embedder):
        await put(broker, DOCUMENTS_CHUNKED, make.chunked("kafka keeps a log"), "doc")
        assert await first(broker, DOCUMENTS_INDEXED) == DocumentIndexed(
            document_id="doc", version=1, part=0, chunks=1
        )
        await put(broker, CHAT_TOKENIZED, QUESTION, "request")
        retrieved = await first(broker, CHAT_RETRIEVED)
    assert isinstance(retrieved, ChatRetrieved)
    assert [p.text for p in retrieved.passages] == ["kafka keeps a log"]


async def test_documents_wait_for_the_embeddings_and_questions_that_cannot_be_embedded_fail(
    embedder, make
) -> None:
    broker = MemoryBroker()
    embedder.failures += [TransientError("embeddings_unavailable", "down") for _ in range(2)]
    async with running(broker, embedder):
        await put(broker, DOCUMENTS_CHUNKED, make.chunked("kafka keeps a log"), "doc")
        assert await first(broker, DOCUMENTS_INDEXED) is not None
        embedder.failures.append(PermanentError("embedding_refused", "no"))
        await put(broker, CHAT_TOKENIZED, QUESTION, "request")
        failed = await first(broker, CHAT_RETRIEVED)
    assert isinstance(failed, RequestFailed)
    assert (failed.code, failed.stage) == ("embedding_refused", "retrieval")


async def no_reader() -> MemoryReader:
    raise BrokerError("not needed here")


def asked(text: str) -> ChatRequested:
    turns = ("user", text), ("assistant", "Well."), ("user", " ")
    return ChatRequested(
        model="m", messages=tuple(Message(role=r, content=c) for r, c in turns), sampling=Sampling()
    )


async def test_a_query_is_embedded_while_its_question_is_tokenized(embedder, make) -> None:
    broker = MemoryBroker()
    async with running(broker, embedder):
        await put(broker, CHAT_REQUESTS, asked("nobody knows yet what is here"), "request")
        await put(broker, DOCUMENTS_CHUNKED, make.chunked("kafka keeps a log"), "doc")
        await first(broker, DOCUMENTS_INDEXED)
        await put(broker, CHAT_TOKENIZED, QUESTION, "request")
        await first(broker, CHAT_RETRIEVED)
        assert embedder.calls[1:] == [["kafka log"]]
        await put(broker, CHAT_REQUESTS, asked("log of kafka"), "request")
        async with asyncio.timeout(10):
            while embedder.calls[2:] != [["log of kafka"]]:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.005)
        tokenized = msgspec.structs.replace(QUESTION, query="log of kafka")
        await put(broker, CHAT_TOKENIZED, tokenized, "request")
        async with asyncio.timeout(10):
            while len(broker.log(CHAT_RETRIEVED.name)) < 2:
                await broker.wait_for_news(1)
    assert len(embedder.calls) == 3
    retrieved = codec.decode(ChatRetrieved.TYPE, broker.log(CHAT_RETRIEVED.name)[1].value)
    assert isinstance(retrieved, ChatRetrieved)
    assert [p.text for p in retrieved.passages] == ["kafka keeps a log"]


async def test_a_broker_that_is_away_is_read_ahead_again_when_it_is_back(
    embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead_of, "RETRY_S", 0.0)
    broker, opened = MemoryBroker(), asyncio.Event()

    async def open_reader() -> MemoryReader:
        if not opened.is_set():
            opened.set()
            raise BrokerError("away")
        opened.clear()
        return broker.reader()

    reading = asyncio.create_task(Ahead(Searcher(QueryVectors(embedder), MemoryIndex()), open_reader).run())
    async with asyncio.timeout(10):
        await opened.wait()
        while opened.is_set():  # noqa: ASYNC110  # cleared when it is opened again
            await asyncio.sleep(0)
    reading.cancel()


def test_questions_are_shared_and_each_index_reads_all_documents(embedder) -> None:
    second = Settings(instance="retrieval-2")
    searcher = Searcher(QueryVectors(embedder), MemoryIndex())
    ahead = Ahead(searcher, no_reader)
    assert {questions(searcher, FLOOR, ahead, settings).name for settings in (Settings(), second)} == {
        "retrieval"
    }
    opened = Opened("2-5f3a0c11", MemoryIndex())
    assert documents(embedder, opened, Settings()).name == "retrieval-indexer-2-5f3a0c11"
    assert documents(embedder, opened, second).name == "retrieval-2-indexer-2-5f3a0c11"
