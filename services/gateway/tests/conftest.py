"""A whole gateway on a real socket, over a broker in memory whose pipeline the test plays."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from penstock.database.database import Database
from penstock.database.engine import parse_url
from penstock.database.migrate import upgrade
from penstock.gateway.adapters.tables import SCHEMA
from penstock.gateway.domain import keys
from penstock.gateway.ports import AccountsAway
from penstock.gateway.runtime import Gateway, listen
from penstock.gateway.settings import Settings
from penstock.messages.chat import AnswerCompleted, AnswerStarted, AnswerText, Citation, Usage
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_CANCELLATIONS, CHAT_REQUESTS, CHAT_RESPONSES
from penstock.streaming import records
from penstock.streaming.adapters.memory import MemoryBroker, MemoryReader
from penstock.streaming.ports import BrokerError, Partition, Producer, Reader, Record, Start
from penstock.streaming.stage import Received
from penstock.telemetry.http import Transport
from services.gateway.tests.upstream import Upstream

MODEL = "tiny/model"


class FlakyReader:
    """Reads as its inner reader does, except while the log is away."""

    def __init__(self, inner: MemoryReader, source: "MemoryLog") -> None:
        self._inner = inner
        self._source = source

    async def poll(self, wait: float) -> Sequence[Record]:
        self._source.check()
        return await self._inner.poll(min(wait, 0.05))

    async def read(self, starts: Mapping[Partition, Start]) -> None:
        self._source.check()
        await self._inner.read(starts)

    async def leave(self, partitions: Collection[Partition]) -> None:
        await self._inner.leave(partitions)

    def position(self, partition: Partition) -> int:
        return self._inner.position(partition)

    async def close(self) -> None:
        await self._inner.close()


class MemoryLog:
    """Port: Log. `away` and `missing` play a broker that is not there, or has no topics yet."""

    name = "memory"

    def __init__(self) -> None:
        self.broker = MemoryBroker(now_ms=lambda: time.time_ns() // 1_000_000)
        self.away = False
        self.missing: list[str] = []

    def check(self) -> None:
        if self.away:
            raise BrokerError("no broker answers")

    async def missing_topics(self) -> list[str]:
        self.check()
        return self.missing

    async def open_producer(self) -> Producer:
        self.check()
        return self.broker.producer()

    async def open_reader(self) -> Reader:
        self.check()
        return FlakyReader(self.broker.reader(), self)


class Stand:
    """A running gateway, and the means to play what stands behind it."""

    def __init__(self, settings: Settings, source: MemoryLog, client: httpx2.AsyncClient) -> None:
        self.settings = settings
        self.source = source
        self.client = client
        self.gateway = Gateway(settings, source, client)
        self.listener = listen(settings)
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.announced: list[str] = []
        self.stop = asyncio.Event()
        self._arrived: list[Record] = []
        self._questions = source.broker.consumer(f"test-{self.port}", [CHAT_REQUESTS.name])
        self._writer = source.broker.producer()

    @property
    def key(self) -> str:
        return (self.settings.state / "api-key").read_text().strip()

    async def new_key(self, tenant: str, *, operator: bool = False) -> str:
        """Register one more key."""
        key = keys.new_key()
        await self.gateway.accounts.register(tenant, keys.record_of(key), operator=operator)
        return key

    @property
    def auth(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    async def question(self) -> Received[Event]:
        """Return the next question that reached the log."""
        async with asyncio.timeout(10):
            while not self._arrived:
                self._arrived += (await self._questions.poll(1)).records
        return records.decode(self._arrived.pop(0), CHAT_REQUESTS)

    async def say(self, cause: Envelope, *events: Event, epoch: int = 0) -> None:
        """Write events of the answer to the log."""
        for event in events:
            envelope = Envelope(
                id="x",
                type=event.TYPE,
                source="/test",
                time_ms=cause.time_ms,
                subject=cause.subject,
                tenant=cause.tenant,
                reply_partition=cause.reply_partition,
                deadline_ms=cause.deadline_ms,
                epoch=epoch,
            )
            await records.send(self._writer, CHAT_RESPONSES, envelope, event)

    async def answer(self, *texts: str, **end: Any) -> Envelope:
        """Take the next question and answer it with these pieces of text."""
        cause = (await self.question()).envelope
        await self.say(cause, *events_of(*texts, **end))
        return cause

    async def get(self, request_id: str, rest: str = "", **more: Any) -> httpx2.Response:
        """GET something of an earlier request."""
        headers = {**self.auth, **more.pop("headers", {})}
        url = f"{self.url}/v1/chat/completions/{request_id}{rest}"
        return await self.client.request(more.pop("method", "GET"), url, headers=headers, timeout=20, **more)

    def cancellations(self, request_id: str) -> list[Event]:
        """Return what chat.cancellations says of a request."""
        received = [records.decode(record, CHAT_CANCELLATIONS) for record in self.cancelled()]
        return [item.event for item in received if item.envelope.subject == request_id]

    def cancelled(self) -> list[Record]:
        """Return all records of chat.cancellations."""
        return self.source.broker.log(CHAT_CANCELLATIONS.name)

    async def ask(self, body: Any = None, **more: Any) -> httpx2.Response:
        """POST a chat completion."""
        body = chat_body() if body is None else body
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", **self.auth, **more.pop("headers", {})}
        return await self.client.post(
            f"{self.url}/v1/chat/completions", content=content, headers=headers, timeout=20, **more
        )

    @asynccontextmanager
    async def raw(
        self, body: Any, head: str = ""
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Open a connection of our own and send a request over it."""
        content = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 12)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n{head}\r\n"
        )
        writer.write(head.encode() + content)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition of the gateway's; it may take a while on a busy machine."""
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110  # nobody tells when it comes true
                await asyncio.sleep(0.005)


def chat_body(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "What is a penstock?"}], **more}


def events_of(*texts: str, **end: Any) -> list[Event]:
    """Return the events of a whole answer."""
    events: list[Event] = [AnswerStarted(model=MODEL)]
    length = 0
    for text in texts:
        events.append(AnswerText(start=length, text=text))
        length += len(text)
    return [*events, completed(length, **end)]


def completed(length: int, **end: Any) -> AnswerCompleted:
    usage = Usage(prompt_tokens=7, completion_tokens=3)
    fields: dict[str, Any] = {"finish_reason": "stop", "usage": usage, "citations": (), **end}
    return AnswerCompleted(length=length, **fields)


class Sse(NamedTuple):
    """One event of a stream: its id (None: it has none), and its data as it stands there."""

    id: int | None
    data: str

    @property
    def text(self) -> str:
        """The text of the answer that it brings."""
        if not self.data.startswith("{"):
            return ""
        choices = json.loads(self.data).get("choices") or [{"delta": {}}]
        return str(choices[0]["delta"].get("content", ""))


def events_in(body: str) -> list[Sse]:
    """Return the events of a stream, as WHATWG HTML section 9.2 reads them."""
    events = []
    *blocks, rest = body.split("\n\n")
    assert rest == ""
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if fields:
            events.append(Sse(int(fields["id"]) if "id" in fields else None, fields["data"]))
    return events


CITATION = Citation(
    index=1,
    document_id="doc-1",
    title="Water",
    start=10,
    end=25,
    quote="a pipe of steel",
    file_id="file-1",
    file_name="water.pdf",
    headings=("Dams", "Pipes"),
    page=3,
)

StartStand = Callable[..., Awaitable[Stand]]


@pytest.fixture
async def start_stand(tmp_path: Path) -> AsyncIterator[StartStand]:
    """Starts gateways with settings of the test's; `source` is the log, `ready` whether to wait for it."""
    async with AsyncExitStack() as stack:

        async def start(source: MemoryLog | None = None, ready: bool = True, **settings: Any) -> Stand:
            values = {"state": tmp_path, "gateway_port": 0, "models": [MODEL], "drain_s": 0.2, **settings}
            client = await stack.enter_async_context(
                httpx2.AsyncClient(
                    transport=Transport(limits=httpx2.Limits(max_connections=None)), trust_env=False
                )
            )
            stand = Stand(Settings(**values), source or MemoryLog(), client)
            running = asyncio.create_task(
                stand.gateway.run(stand.listener, stand.announced.append, stand.stop)
            )

            async def end() -> None:
                stand.stop.set()
                await running

            stack.push_async_callback(end)
            if ready:
                await stand.until(lambda: stand.gateway.readiness.is_ready)
            return stand

        yield start


@pytest.fixture
async def pair(start_stand: StartStand) -> tuple[Stand, Stand]:
    """Two gateways of one installation, with home partitions of their own."""
    source = MemoryLog()
    first = await start_stand(source, instance="a")
    return first, await start_stand(source, instance="b")


@pytest.fixture
async def stand(start_stand: StartStand) -> Stand:
    """A gateway that is ready."""
    return await start_stand()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    running = asyncio.create_task(upstream.server.serve([upstream.listener]))
    while not upstream.server.started:  # noqa: ASYNC110  # nobody tells when it has
        await asyncio.sleep(0.005)
    yield upstream
    upstream.server.should_exit = upstream.server.force_exit = True
    await running


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The accounts database with its tables, SQLite's, and PostgreSQL's where the machine has it."""
    await upgrade(parse_url(database_url), SCHEMA)
    opened = Database(database_url, SCHEMA, AccountsAway)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def kit() -> Any:
    """Names that tests share: `--import-mode=importlib` gives them no other way to this module."""

    class Kit:
        model = MODEL
        citation = CITATION
        log = MemoryLog
        body = staticmethod(chat_body)
        events = staticmethod(events_of)
        completed = staticmethod(completed)
        sse = staticmethod(events_in)

    return Kit
