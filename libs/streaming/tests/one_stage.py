"""One stage between two topics of its own, for the suites that try it over every broker."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from penstock.messages import codec
from penstock.messages.chat import (
    AnswerStarted,
    ChatRequested,
    Message,
    RequestFailed,
    Sampling,
)
from penstock.messages.envelope import Envelope, to_headers
from penstock.messages.event import Event
from penstock.messages.topics import Topic
from penstock.streaming import records
from penstock.streaming.clock import unix_ms
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import Producer, Reader, Record
from penstock.streaming.runner import Runner
from penstock.streaming.stage import Batch, Each, Fold, Outgoing, Received, Stage

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Handler = Callable[[Received[Event]], AsyncGenerator[Outgoing, None]]


def question(text: str) -> ChatRequested:
    return ChatRequested(model="m", messages=(Message(role="user", content=text),), sampling=Sampling())


def envelope(
    subject: str, event: type[Event] = ChatRequested, deadline_ms: int = 0, epoch: int = 0
) -> Envelope:
    return Envelope(
        id=f"id-{subject}",
        type=event.TYPE,
        source="/test",
        time_ms=unix_ms(),
        subject=subject,
        tenant="acme",
        reply_partition=1,
        deadline_ms=deadline_ms,
        epoch=epoch,
        traceparent=TRACE,
    )


@dataclass
class Line:
    """One stage between two topics of its own, with dead letters."""

    broker: Any
    source: Topic
    target: Topic
    group: str
    producer: Producer
    results: Reader
    dead: Reader
    quarantined: list[str] = field(default_factory=list)

    async def send(self, subject: str, event: Event | None = None, deadline_ms: int = 0) -> None:
        event = event or question(subject)
        await records.send(self.producer, self.source, envelope(subject, type(event), deadline_ms), event)

    async def send_to(self, number: int, subject: str) -> None:
        body, headers = codec.encode(question(subject)), to_headers(envelope(subject))
        await self.producer.send(self.source.name, subject.encode(), body, headers, number)

    @asynccontextmanager
    async def running(self, processing: Each | Batch | Fold[Any]) -> AsyncIterator[Offsets]:
        """Run the stage; at the end stop and drain it."""
        stage = Stage(self.group, (self.source,), processing, self.target)
        offsets, stop = Offsets(), asyncio.Event()
        consumer = await self.broker.consumer(self.group, [self.source], offsets.committable)
        runner = Runner(stage, consumer, self.producer, offsets, quarantined=self.quarantined.append)
        task = asyncio.create_task(runner.run(stop))
        try:
            yield offsets
        finally:
            stop.set()
            await asyncio.wait_for(task, 15)

    async def read(self, count: int, reader: Reader | None = None) -> list[Record]:
        found: list[Record] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                found += await (reader or self.results).poll(0.1)
        return found

    async def events(self, count: int) -> list[Received[Event]]:
        return [records.decode(record, self.target) for record in await self.read(count)]


def echo(line: Line) -> Handler:
    async def handle(received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        yield Outgoing(line.target, AnswerStarted(model=received.envelope.subject))

    return handle


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.01)


def failed(code: str) -> RequestFailed:
    return RequestFailed(code=code, message="It failed.", status=503, stage="elsewhere")
