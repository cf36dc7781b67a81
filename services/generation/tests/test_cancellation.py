"""Cancelling and handing over while answers run: what stands in the log, and that the slot is free."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress

import pytest

from penstock.clients.models import UNKNOWN
from penstock.generation.cancellations import PARTITION, CancellationLog
from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.ports import Cancellations, End, Token
from penstock.generation.stream_timeout import StreamTimeouts
from penstock.messages.chat import (
    CancelReason,
    CancelRequested,
    ChatRetrieved,
    ClientJoined,
    ClientLeft,
    GenerationFinished,
    GenerationStarted,
    RequestCancelled,
    Sampling,
    TextGenerated,
    Usage,
)
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_CANCELLATIONS
from penstock.streaming import records
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.ports import BrokerError, Partition, Reader, Start
from penstock.streaming.stage import Received


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class OpenBackend:
    """Writes "Hel" in two tokens, and goes on when told to; counts the streams that are open."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self.profile = UNKNOWN
        self.url = "open"
        self.running = 0
        self.asked = 0
        self.go_on = asyncio.Event()

    async def check(self) -> None:
        return

    async def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Sequence[Token | End], None]:
        assert prompt
        assert sampling.max_tokens
        self.asked += 1
        self.running += 1
        try:
            yield [Token("He")]
            yield [Token("l")]
            await self.go_on.wait()
            yield [Token("lo")]
            yield [End("stop", 3)]
        finally:
            self.running -= 1


class Scene:
    """A generation, and the log of cancellations that it reads."""

    def __init__(self, broker: MemoryBroker, cancellations: Cancellations) -> None:
        self.broker = broker
        self.cancellations = cancellations
        self.backend = OpenBackend()
        self.events: list[Event] = []
        self.handover = asyncio.Event()
        self.pool = Pool([self.backend])

    async def say(self, event: Event, time_ms: int | None = None) -> None:
        envelope = Envelope(
            id="c", type=event.TYPE, source="/g", time_ms=time_ms or now_ms(), subject="r", tenant="t"
        )
        await records.send(self.broker.producer(), CHAT_CANCELLATIONS, envelope, event)

    async def handle(self, *earlier: Event) -> None:
        event = ChatRetrieved(
            model="m",
            prompt_before="<user>",
            prompt_after="Why?<bot>",
            prompt_tokens=4,
            passages=(),
            sampling=Sampling(max_tokens=10),
        )
        envelope = Envelope(id="i", type=event.TYPE, source="/s", time_ms=1, subject="r", tenant="t")
        received: Received[Event] = Received(event, envelope, Partition("chat.retrieved", 0), 0)
        generation = Generation(self.pool, self.cancellations, StreamTimeouts(retry=60))
        async for item in generation.handle(received, earlier, self.handover):
            self.events.append(item.event)

    async def begin(self) -> "asyncio.Task[None]":
        """Handle in the background; return when the first text is in the log."""
        handling = asyncio.create_task(self.handle())
        await until(lambda: any(isinstance(event, TextGenerated) for event in self.events))
        return handling


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.001)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    broker = MemoryBroker(now_ms=now_ms)

    async def open_reader(partition: Partition, start: Start) -> Reader:
        return broker.reader([partition], start)

    stop = asyncio.Event()
    cancellations = CancellationLog(open_reader, now_ms)
    reading = asyncio.create_task(cancellations.run(stop))
    yield Scene(broker, cancellations)
    stop.set()
    await reading


async def test_a_cancelled_answer_ends_at_once_with_what_is_visible_and_frees_the_slot(scene: Scene) -> None:
    handling = await scene.begin()
    await scene.say(CancelRequested())
    async with asyncio.timeout(2):
        await handling
    usage = Usage(prompt_tokens=4, completion_tokens=2)
    assert scene.events[-1] == RequestCancelled(reason="requested", length=3, usage=usage)
    assert "".join(event.text for event in scene.events if isinstance(event, TextGenerated)) == "Hel"
    assert (scene.backend.running, scene.pool.busy) == (0, 0)


async def test_a_request_cancelled_before_it_arrives_asks_no_backend(scene: Scene) -> None:
    await scene.say(CancelRequested())
    with scene.cancellations.watch("r") as cancelled:
        assert await cancelled == "requested"
    await scene.handle()
    usage = Usage(prompt_tokens=0, completion_tokens=0)
    assert scene.events == [RequestCancelled(reason="requested", length=0, usage=usage)]
    assert scene.backend.asked == 0


async def test_an_answer_taken_over_and_cancelled_counts_what_was_visible(scene: Scene) -> None:
    await scene.say(CancelRequested())
    with scene.cancellations.watch("r") as cancelled:
        await cancelled
    await scene.handle(GenerationStarted(model="m", passages=()), TextGenerated(start=0, text="He", tokens=1))
    usage = Usage(prompt_tokens=4, completion_tokens=1)
    assert scene.events == [RequestCancelled(reason="requested", length=2, usage=usage)]


async def test_a_client_that_has_gone_is_waited_for_and_then_the_answer_ends(scene: Scene) -> None:
    handling = await scene.begin()
    before = time.monotonic()
    await scene.say(ClientLeft(connection="first", grace_ms=100))
    async with asyncio.timeout(2):
        await handling
    assert time.monotonic() - before >= 0.09
    cancelled = scene.events[-1]
    assert isinstance(cancelled, RequestCancelled)
    assert cancelled.reason == "disconnected"


async def test_a_client_that_comes_back_gets_the_whole_answer(scene: Scene) -> None:
    handling = await scene.begin()
    await scene.say(ClientLeft(connection="first", grace_ms=100))
    await scene.say(ClientJoined(connection="b"))
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(handling), 0.2)
    scene.backend.go_on.set()
    async with asyncio.timeout(2):
        await handling
    assert isinstance(scene.events[-1], GenerationFinished)


async def test_a_gateway_with_a_wrong_clock_changes_no_grace(scene: Scene) -> None:
    handling = await scene.begin()
    await asyncio.sleep(0.25)  # until the reader has come to the log's end
    scene.broker.now_ms = lambda: now_ms() - 300_000
    await scene.say(ClientLeft(connection="first", grace_ms=400))
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(handling), 0.1)
    assert not handling.done()
    async with asyncio.timeout(2):
        await handling


async def test_waiting_for_a_slot_can_be_cancelled(scene: Scene) -> None:
    async with scene.pool.lease():
        handling = asyncio.create_task(scene.handle())
        await until(lambda: bool(scene.events))
        await scene.say(CancelRequested())
        async with asyncio.timeout(2):
            await handling
    assert isinstance(scene.events[-1], RequestCancelled)
    assert (scene.backend.asked, scene.pool.busy) == (0, 0)


async def test_waiting_for_a_backend_that_is_away_can_be_cancelled(scene: Scene) -> None:
    scene.backend.slots = 0
    handling = asyncio.create_task(scene.handle())
    await until(lambda: bool(scene.events))
    await scene.say(CancelRequested())
    async with asyncio.timeout(2):
        await handling
    assert isinstance(scene.events[-1], RequestCancelled)


async def test_a_handover_leaves_the_text_so_far_and_no_end_within_milliseconds(scene: Scene) -> None:
    handling = await scene.begin()
    before = time.monotonic()
    scene.handover.set()
    await handling
    assert time.monotonic() - before < 0.1
    assert "".join(event.text for event in scene.events if isinstance(event, TextGenerated)) == "Hel"
    assert not any(event.TERMINAL for event in scene.events)
    assert (scene.backend.running, scene.pool.busy) == (0, 0)


@pytest.mark.parametrize("slots", [0, 1])
async def test_a_handover_does_not_wait_for_a_backend(scene: Scene, slots: int) -> None:
    scene.backend.slots = slots
    async with scene.pool.lease() if slots else nullcontext():
        handling = asyncio.create_task(scene.handle())
        await until(lambda: bool(scene.events))
        scene.handover.set()
        async with asyncio.timeout(0.2):
            await handling
    assert scene.events == [GenerationStarted(model="m", passages=())]


class FailingReader:
    """Gives what another reader does, and fails at every second poll."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._polls = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._reader, name)

    async def poll(self, wait: float) -> object:
        self._polls += 1
        if self._polls % 2 == 0:
            raise BrokerError("gone")
        return await self._reader.poll(min(wait, 0.01))


async def test_a_broker_that_fails_is_asked_again_from_where_it_failed() -> None:
    broker = MemoryBroker(now_ms=now_ms)
    starts: list[Start] = []

    async def open_reader(partition: Partition, start: Start) -> Reader:
        starts.append(start)
        if len(starts) == 1:
            raise BrokerError("not there yet")
        return FailingReader(broker.reader([partition], start))  # type: ignore[return-value]  # by __getattr__

    stop = asyncio.Event()
    cancellations = CancellationLog(open_reader, now_ms, retry_seconds=0.001)
    scene = Scene(broker, cancellations)
    reading = asyncio.create_task(cancellations.run(stop))
    broker.append(PARTITION.topic, b"x", b"no event", [], 0)  # is passed over
    handling = await scene.begin()
    await until(lambda: len(starts) > 4)
    await scene.say(CancelRequested())
    async with asyncio.timeout(2):
        await handling
    stop.set()
    await reading
    assert isinstance(scene.events[-1], RequestCancelled)
    assert starts[-1] in (1, 2)


async def test_what_was_said_before_the_start_is_known_as_far_as_it_matters() -> None:
    clock = 10_000_000
    broker = MemoryBroker(now_ms=lambda: clock)

    async def open_reader(partition: Partition, start: Start) -> Reader:
        return broker.reader([partition], start)

    cancellations = CancellationLog(open_reader, lambda: clock)
    scene = Scene(broker, cancellations)
    await scene.say(ClientLeft(connection="first", grace_ms=1_000))
    clock += 5_000
    stop = asyncio.Event()
    reading = asyncio.create_task(cancellations.run(stop))
    with cancellations.watch("r") as cancelled:
        async with asyncio.timeout(1):
            assert await cancelled == "disconnected"
    stop.set()
    await reading


class FakeCancellations:
    """Port: Cancellations, cancelled by hand."""

    def __init__(self) -> None:
        self.watched: asyncio.Future[CancelReason] | None = None

    @contextmanager
    def watch(self, request_id: str) -> Iterator[asyncio.Future[CancelReason]]:
        assert request_id == "r"
        self.watched = asyncio.get_running_loop().create_future()
        yield self.watched
        self.watched = None


@pytest.mark.parametrize("turns", range(40))
async def test_cancelled_at_any_moment_there_is_one_end_and_no_open_stream(turns: int) -> None:
    """Tries moments from before the first token until after the last."""
    fake = FakeCancellations()
    scene = Scene(MemoryBroker(), fake)
    scene.backend.go_on.set()
    handling = asyncio.create_task(scene.handle())
    for _ in range(turns):
        await asyncio.sleep(0)
    if fake.watched is not None:
        fake.watched.set_result("requested")
    async with asyncio.timeout(2):
        await handling
    [end] = [event for event in scene.events if event.TERMINAL]
    assert end is scene.events[-1]
    assert isinstance(end, RequestCancelled if 0 < turns < 5 else RequestCancelled | GenerationFinished)
    text = "".join(event.text for event in scene.events if isinstance(event, TextGenerated))
    assert end.length == len(text)
    assert "Hello".startswith(text)
    assert (scene.backend.running, scene.pool.busy) == (0, 0)
