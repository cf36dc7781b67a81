"""The adapter against a server that speaks TGI's dialect: streams, refusals, overload, and hanging up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest

from libs.clients.tests.raw_server import END, FOREVER, STREAM, Answer, RawServer, answer, chunk, serving
from penstock.clients.models import Models
from penstock.generation.adapters.tgi import TgiBackend
from penstock.generation.cancellations import CancellationLog
from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendAway, BackendBusy, BackendFailed, BackendRefused, End, Token
from penstock.generation.stream_timeout import StreamTimeouts
from penstock.messages.chat import (
    ChatRetrieved,
    GenerationFinished,
    RequestCancelled,
    Sampling,
    TextGenerated,
)
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.streaming.ports import Partition
from penstock.streaming.stage import Received
from services.generation.tests.kit import quiet

EVENT = b'data:{"index":1,"token":{"id":1,"text":"%s","logprob":-0.5,"special":%s}%s}\n\n'
DETAILS = (
    b',"generated_text":"Hi","details":{"finish_reason":"eos_token","generated_tokens":2,"input_length":3}'
)
HI = EVENT % (b"Hi", b"false", b"")
LAST = EVENT % (b"</s>", b"true", DETAILS)
INFO = answer(200, b'{"model_id":"m","max_concurrent_requests":2}')


class Scene:
    """Servers, and the backends that stand for them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def serve(self, *answers: Answer, closes: bool = False) -> tuple[TgiBackend, RawServer]:
        server = await self._stack.enter_async_context(serving(*answers, closes=closes))
        return self.backend(server.url), server

    def backend(self, url: str) -> TgiBackend:
        backend = TgiBackend(url, Models())
        self._stack.push_async_callback(backend.close)
        return backend


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        yield Scene(stack)


async def read(backend: TgiBackend) -> list[Token | End]:
    stream = backend.stream("Why?", Sampling(max_tokens=5, stop=("x",)))
    return [item async for items in stream for item in items]


async def test_a_stream_becomes_tokens_and_an_end(scene: Scene) -> None:
    backend, _ = await scene.serve([STREAM, chunk(HI), 0.01, chunk(LAST), END])
    assert await read(backend) == [Token("Hi"), Token(""), End("stop", 2)]


async def test_tokens_that_come_together_are_one_list(scene: Scene) -> None:
    backend, _ = await scene.serve([STREAM, chunk(HI + HI + LAST), END])
    [items] = [items async for items in backend.stream("Why?", Sampling(max_tokens=5))]
    assert items == [Token("Hi"), Token("Hi"), Token(""), End("stop", 2)]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (422, BackendRefused),
        (429, BackendBusy),
        (503, BackendAway),
        (404, BackendFailed),
        (401, BackendFailed),
    ],
)
async def test_an_error_status_is_told_in_the_servers_words(
    scene: Scene, status: int, kind: type[Exception]
) -> None:
    backend, _ = await scene.serve(answer(status, b'{"error":"too long","error_type":"validation"}'))
    with pytest.raises(kind, match=r"^too long$") as raised:
        await read(backend)
    assert type(raised.value) is kind


async def test_an_error_without_words_is_told_by_its_status(scene: Scene) -> None:
    backend, _ = await scene.serve(answer(502, b"<html>\xff", "text/html"))
    with pytest.raises(BackendFailed, match="502"):
        await read(backend)


async def test_an_overload_within_the_stream_is_busyness(scene: Scene) -> None:
    event = b'data:{"error":"Model is overloaded","error_type":"overloaded"}\n\n'
    backend, _ = await scene.serve([STREAM, chunk(event), END])
    with pytest.raises(BackendBusy):
        await read(backend)


async def test_a_stream_given_up_is_closed_at_the_server(scene: Scene) -> None:
    backend, server = await scene.serve([STREAM, chunk(HI), FOREVER])
    stream = backend.stream("Why?", Sampling(max_tokens=5))
    assert await anext(stream) == [Token("Hi")]
    reading = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    reading.cancel()
    async with asyncio.timeout(2):
        await server.gone.wait()


async def test_nothing_there_is_a_failure_and_has_no_slots(scene: Scene) -> None:
    backend = scene.backend("http://127.0.0.1:1")
    with pytest.raises(BackendFailed):
        await read(backend)
    await backend.check()
    assert backend.slots == 0


async def test_the_server_says_how_many_slots_it_has_within_reason(scene: Scene) -> None:
    told = [answer(200, b'{"max_concurrent_requests":%d}' % count) for count in (128, 10**9, -1)]
    backend, _ = await scene.serve(*told, answer(200, b"<html>"))
    slots = []
    for _ in range(4):
        await backend.check()
        slots.append(backend.slots)
    assert slots[0] == 128
    assert 500 < slots[1] < 1024
    assert slots[2:] == [0, 0]


async def handle(
    backends: Sequence[TgiBackend], handover: asyncio.Event | None = None
) -> tuple[list[Event], Pool]:
    """Answer a question by these backends, whose slots are asked for first."""
    pool = Pool(backends)
    await pool.check()
    question = ChatRetrieved(
        model="m",
        prompt_before="<user>",
        prompt_after="Why?<bot>",
        prompt_tokens=4,
        passages=(),
        sampling=Sampling(max_tokens=10),
    )
    envelope = Envelope(id="i", type=question.TYPE, source="/s", time_ms=1, subject="r", tenant="t")
    received: Received[Event] = Received(question, envelope, Partition("chat.retrieved", 0), 0)
    timeouts = StreamTimeouts(first_token=0.3, token=0.3, retry=5)
    generation = Generation(pool, CancellationLog(quiet, lambda: 0), timeouts)
    events = [item.event async for item in generation.handle(received, (), handover or asyncio.Event())]
    return events, pool


BROKEN: dict[str, Answer] = {
    "ends early": [STREAM, chunk(HI), END],
    "is cut": [STREAM, chunk(HI)],
    "is garbage": [STREAM, chunk(HI), 0.02, b"what?\r\n"],
    "is no event": [STREAM, chunk(HI + b"data:<html>\n\n"), END],
    "has a huge event": [STREAM, chunk(HI), *([chunk(b"x" * 60_000)] * 20)],
    "stalls": [STREAM, chunk(HI), FOREVER],
    "trickles without a token": [
        STREAM,
        chunk(HI),
        *(part for _ in range(99) for part in (chunk(b":\n"), 0.02)),
    ],
}


@pytest.mark.parametrize("name", BROKEN)
async def test_however_a_stream_breaks_the_answer_goes_on_and_no_slot_stays_taken(
    scene: Scene, name: str
) -> None:
    backend, server = await scene.serve(INFO, BROKEN[name], [STREAM, chunk(LAST), END], closes=True)
    async with asyncio.timeout(5):
        events, pool = await handle([backend])
    assert "".join(event.text for event in events if isinstance(event, TextGenerated)) == "Hi"
    assert isinstance(events[-1], GenerationFinished)
    assert pool.busy == 0
    assert b"Why?<bot>Hi" in server.requests[-1]


async def test_a_server_that_never_answers_is_left_for_another(scene: Scene) -> None:
    silent, server = await scene.serve(answer(200, b'{"max_concurrent_requests":9}'), [FOREVER])
    well, _ = await scene.serve(INFO, [STREAM, chunk(HI + LAST), END])
    async with asyncio.timeout(5):
        events, _ = await handle([silent, well])
        await server.gone.wait()
    assert isinstance(events[-1], GenerationFinished)


async def test_a_handover_gives_what_has_come_and_hangs_up(scene: Scene) -> None:
    backend, server = await scene.serve(INFO, [STREAM, chunk(HI), 0.02, chunk(HI), FOREVER])
    handover = asyncio.Event()
    asyncio.get_running_loop().call_later(0.25, handover.set)
    async with asyncio.timeout(5):
        events, pool = await handle([backend], handover)
        await server.gone.wait()
    assert "".join(event.text for event in events if isinstance(event, TextGenerated)) == "HiHi"
    assert not any(isinstance(event, GenerationFinished | RequestCancelled) for event in events)
    assert pool.busy == 0
