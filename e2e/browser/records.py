"""Records that tests put into the log themselves, by the library that all services use."""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

import httpx2

from e2e.stack import Stack
from penstock.messages.chat import (
    AnswerCompleted,
    AnswerStarted,
    AnswerText,
    ChatRequested,
    Message,
    RequestFailed,
    Sampling,
    Usage,
)
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.ids import new_request_id, reply_partition
from penstock.messages.topics import CHAT_REQUESTS, CHAT_RESPONSES, REPLY_PARTITIONS, Topic
from penstock.streaming import records
from penstock.streaming.adapters import kafka
from penstock.streaming.clock import unix_ms

NO_EVENT = b"not JSON at all"
_AT_ONCE = 1000


def in_thread(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a coroutine to its end: Playwright has the event loop of this thread."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(work())).result()


def bury(stack: Stack, count: int = 1) -> None:
    """Write records that nobody can read: the stage that meets them puts them aside."""

    async def write() -> None:
        producer = await kafka.open_producer(stack.status.kafka, [CHAT_REQUESTS.name])
        try:
            for _ in range(count):
                await producer.send(CHAT_REQUESTS.name, uuid.uuid4().bytes, NO_EVENT, [], None)
        finally:
            await producer.close()

    there = letters(stack)
    in_thread(write)
    deadline = time.monotonic() + 120
    while letters(stack) < there + count:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def letters(stack: Stack) -> int:
    """How many dead letters there are."""
    response = httpx2.get(
        f"{stack.status.gateway}/console/api/dead_letters",
        headers={"authorization": f"Bearer {stack.key}"},
        timeout=60,
        trust_env=False,
    )
    total: int = response.raise_for_status().json()["total"]
    return total


def write_answer(stack: Stack, text: str) -> str:
    """Write an answer as postprocessing does, and then what was asked; return the request's id.

    The deadline of the question is over, so nobody answers it once more.
    """
    request_id = new_request_id(0, unix_ms())
    asked = ChatRequested(
        model=stack.model, messages=(Message(role="user", content="Show me."),), sampling=Sampling()
    )
    _write(stack, CHAT_RESPONSES, [(request_id, one) for one in _completed(text, tokens=1)])
    _write(stack, CHAT_REQUESTS, [(request_id, asked)])
    return request_id


def write_answers(stack: Stack, count: int) -> None:
    """Write the ends of so many requests, a tenth of which have failed."""
    begin = unix_ms() - count
    failed = RequestFailed(
        code="backend_unavailable", message="No backend answers.", status=503, stage="generation"
    )
    events: list[tuple[str, Event]] = []
    for number in range(count):
        request_id = new_request_id(number % REPLY_PARTITIONS, begin + number)
        ends = _completed(f"Answer {number}.", number % 97) if number % 10 else [failed]
        events += [(request_id, end) for end in ends]
    _write(stack, CHAT_RESPONSES, events)


def _completed(text: str, tokens: int) -> list[Event]:
    used = Usage(prompt_tokens=100, completion_tokens=tokens)
    return [
        AnswerStarted(model="test"),
        AnswerText(start=0, text=text),
        AnswerCompleted(length=len(text), finish_reason="stop", usage=used, citations=()),
    ]


def _write(stack: Stack, topic: Topic, events: list[tuple[str, Event]]) -> None:
    async def write() -> None:
        producer = await kafka.open_producer(stack.status.kafka, [topic.name])
        try:
            for first in range(0, len(events), _AT_ONCE):
                await asyncio.gather(
                    *(
                        records.send(producer, topic, _envelope(request_id, event), event)
                        for request_id, event in events[first : first + _AT_ONCE]
                    )
                )
        finally:
            await producer.close()

    in_thread(write)


def _envelope(request_id: str, event: Event) -> Envelope:
    now = unix_ms()
    return Envelope(
        id=uuid.uuid4().hex,
        type=event.TYPE,
        source="/test",
        time_ms=now,
        subject=request_id,
        tenant="default",
        deadline_ms=now,
        reply_partition=reply_partition(request_id),
    )
