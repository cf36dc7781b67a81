"""One client: asks, reads, and comes back whenever its connection breaks, until its answer has an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

import aiohttp
import msgspec

from e2e.faults.asks import Ask, Kind
from e2e.faults.events import Chunk, Completion, Cut, Failure, events
from e2e.faults.invariants import GRACE_S
from e2e.faults.seen import End, Piece, Seen, State
from penstock.messages.ids import created_ms, request_id_of

SLOW_BYTES_A_SECOND = 1024
TRY_AGAIN = frozenset(
    {"rate_limit_exceeded", "not_ready", "not_accepted", "shutting_down", "idempotency_key_busy"}
)
"""Codes of refusals that say nothing about the request itself."""
_CANCELLED = frozenset({"request_cancelled"})
PAUSES_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""How long a client rests after so many tries in a row that brought nothing, as the usual libraries do."""
_POLL_S = 0.5
_chunk = msgspec.json.Decoder(Chunk)

Turn: TypeAlias = "Callable[[Client, Seen], Coroutine[object, object, None]]"
"""One try of a client to get on with its answer."""
Requesting: TypeAlias = AbstractAsyncContextManager[aiohttp.ClientResponse]


@dataclass(frozen=True)
class Door:
    """How to reach the stack: `gateways` may change while clients ask."""

    gateways: Callable[[], Sequence[str]]
    key: str
    model: str
    deadline_s: float
    """What the gateway gives a request."""


class Refused(Exception):
    """The gateway did not take it this time; trying again may help."""


class Client:
    """Asks one question. `quick` and `slow` are HTTP clients; the second one has a small receive buffer."""

    def __init__(
        self, door: Door, quick: aiohttp.ClientSession, slow: aiohttp.ClientSession, random: Random
    ) -> None:
        self._door = door
        self._quick = quick
        self._slow = slow
        self._random = random
        self._in_vain = 0
        self._reason: str | None = None
        self._tokens: int | None = None

    async def ask(self, ask: Ask) -> Seen:
        """Return what was seen; its `end` is set."""
        seen = Seen(ask, time.time())
        turn = _TURNS[ask.kind]
        while seen.end is None and (left_s := self._until(seen) - time.time()) > 0:
            try:
                async with asyncio.timeout(left_s + 5):
                    await self._once(turn, seen)
            except TimeoutError:
                seen.troubles.append("deadline")
        if seen.end is None:
            state: State = "refused" if seen.acknowledged is None else "lost"
            seen.end = End(state, time.time(), code=seen.troubles[-1] if seen.troubles else "")
        return seen

    def _until(self, seen: Seen) -> float:
        """Return when to give up: the gateway counts the deadline from when it made the request's id."""
        begun = seen.asked
        if seen.acknowledged is not None:
            begun = max(begun, min(seen.acknowledged, created_ms(seen.request_id) / 1000))
        return begun + self._door.deadline_s + GRACE_S

    async def _once(self, turn: Turn, seen: Seen) -> None:
        had = len(seen.pieces)
        try:
            await turn(self, seen)
        except (Cut, Refused, aiohttp.ClientError) as error:
            seen.troubles.append(str(error) or type(error).__name__)
            seen.resumed += isinstance(error, Cut)
            self._in_vain = 0 if len(seen.pieces) > had else self._in_vain + 1
            pause_s = PAUSES_S[min(self._in_vain, len(PAUSES_S) - 1)]
            await asyncio.sleep(pause_s * (0.5 + self._random.random()))

    async def stream(self, seen: Seen) -> None:
        """Begin or go on with a stream, up to its end or its next break."""
        async for _ in self._read(seen):
            pass

    async def leave(self, seen: Seen) -> None:
        """Stream, and hang up after some events."""
        after = self._random.randint(1, 6)
        async with aclosing(self._read(seen)) as reading:
            async for _ in reading:
                if len(seen.pieces) >= after:
                    seen.end = End("left", time.time())
                    return

    async def cancel(self, seen: Seen) -> None:
        """Stream, cancel after some events, and read on to the end."""
        after = self._random.randint(1, 6)
        cancelled = False
        async with aclosing(self._read(seen)) as reading:
            async for _ in reading:
                if len(seen.pieces) >= after and not cancelled:
                    cancelled = True
                    await self._cancel(seen)

    async def _cancel(self, seen: Seen) -> None:
        url = f"{self._gateway()}/v1/chat/completions/{seen.request_id}/cancel"
        async with self._quick.post(url, headers=self._headers()) as response:
            if response.status not in (200, 202, 409):
                seen.troubles.append(f"cancel: {response.status}")

    async def whole(self, seen: Seen) -> None:
        """Ask for the answer in one piece; the same question again if the connection breaks."""
        asking = self._quick.post(
            f"{self._gateway()}/v1/chat/completions",
            data=self._body(seen.ask, stream=False),
            headers=self._headers(seen.ask),
            timeout=aiohttp.ClientTimeout(total=self._door.deadline_s + GRACE_S),
        )
        async with asking as response:
            self._take_whole(seen, response.status, await response.read())

    async def background(self, seen: Seen) -> None:
        """Ask, go as soon as the request is acknowledged, and look for the answer from time to time."""
        if not seen.request_id:
            async with aclosing(self._read(seen)) as reading:
                async for _ in reading:
                    break
            seen.end = None  # it may have read the end already; it looks again all the same
            seen.pieces.clear()
            return
        await asyncio.sleep(_POLL_S)
        url = f"{self._gateway()}/v1/chat/completions/{seen.request_id}"
        async with self._quick.get(url, headers=self._headers()) as response:
            self._take_whole(seen, response.status, await response.read())

    def _take_whole(self, seen: Seen, status: int, body: bytes) -> None:
        if status == 202:
            return
        if status != 200:
            self._fail(seen, status, body)
            return
        completion = msgspec.json.decode(body, type=Completion)
        self._acknowledge(seen, completion.id)
        [choice] = completion.choices
        now = time.time()
        seen.pieces.append(Piece(now, None, choice.message.content))
        tokens = completion.usage.completion_tokens if completion.usage else None
        seen.end = End("completed", now, choice.finish_reason, tokens)

    async def _read(self, seen: Seen) -> AsyncGenerator[None, None]:
        """Yield after each event of one connection. Raises Cut when it breaks before the answer's end."""
        slow = seen.ask.kind is Kind.SLOW
        session = self._slow if slow else self._quick
        async with self._going_on(session, seen) or self._asking(session, seen) as response:
            if response.status != 200:
                self._fail(seen, response.status, await response.read())
                return
            reads = response.content.iter_any()
            async with aclosing(events(_slowly(reads) if slow else reads)) as arriving:
                async for event in arriving:
                    self._take(seen, event.id, event.data)
                    yield
                    if seen.end is not None:
                        return
        raise Cut("closed")

    def _asking(self, session: aiohttp.ClientSession, seen: Seen) -> Requesting:
        headers = self._headers(seen.ask)
        if seen.last_event is not None:
            headers["last-event-id"] = str(seen.last_event)
        url = f"{self._gateway()}/v1/chat/completions"
        return session.post(url, data=self._body(seen.ask, stream=True), headers=headers)

    def _going_on(self, session: aiohttp.ClientSession, seen: Seen) -> Requesting | None:
        """Half of the time an answer is gone on with by its id, the other half by asking again."""
        if not seen.request_id or seen.last_event is None or self._random.random() < 0.5:
            return None
        url = f"{self._gateway()}/v1/chat/completions/{seen.request_id}/stream"
        parameters = {"starting_after": str(seen.last_event), "include_usage": "true"}
        return session.get(url, params=parameters, headers=self._headers())

    def _take(self, seen: Seen, event_id: int | None, data: bytes) -> None:
        now = time.time()
        if event_id is not None:
            seen.last_event = event_id
        if data == b"[DONE]":
            if seen.end is None:
                seen.end = End("completed", now, self._reason, self._tokens)
            return
        chunk = _chunk.decode(data)
        if chunk.error is not None:
            self._end_with(seen, str(chunk.error.code))
            return
        self._acknowledge(seen, chunk.id)
        if chunk.usage is not None:
            self._tokens = chunk.usage.completion_tokens
        for choice in chunk.choices:
            self._reason = choice.finish_reason or self._reason
            if choice.delta.content:
                seen.pieces.append(Piece(now, event_id, choice.delta.content))

    def _acknowledge(self, seen: Seen, completion_id: str) -> None:
        request_id = request_id_of(completion_id)
        if not seen.request_id:
            seen.request_id = request_id
            seen.acknowledged = time.time()
        elif request_id != seen.request_id:
            seen.other_ids.add(request_id)

    def _fail(self, seen: Seen, status: int, body: bytes) -> None:
        """Take an error in place of an answer. Raises Refused if it is worth another try."""
        try:
            code = str(msgspec.json.decode(body, type=Failure).error.code or status)
        except msgspec.DecodeError:
            code = str(status)
        if code in TRY_AGAIN or status in (429, 502):
            raise Refused(f"{status} {code}")
        self._end_with(seen, code)

    def _end_with(self, seen: Seen, code: str) -> None:
        state: State = "cancelled" if code in _CANCELLED else "failed"
        if code in TRY_AGAIN:
            raise Cut(code)
        seen.end = End(state, time.time(), code=code)

    def _gateway(self) -> str:
        return self._random.choice(self._door.gateways())

    def _headers(self, ask: Ask | None = None) -> dict[str, str]:
        headers = {"authorization": f"Bearer {self._door.key}", "content-type": "application/json"}
        if ask is not None:
            headers["idempotency-key"] = ask.key
            if ask.kind is Kind.GONE:
                headers["x-disconnect-grace"] = "1"
        return headers

    def _body(self, ask: Ask, *, stream: bool) -> bytes:
        body: dict[str, object] = {
            "model": self._door.model,
            "messages": [{"role": "user", "content": ask.question}],
            "temperature": 0,
            "max_tokens": ask.max_tokens or ask.tokens + 1,
            "stream": stream,
        }
        if stream:
            body["stream_options"] = {"include_usage": True}
        if ask.stop:
            body["stop"] = [ask.stop]
        if ask.kind is Kind.BACKGROUND:
            body["background"] = True
        return msgspec.json.encode(body)


_TURNS: dict[Kind, Turn] = {
    Kind.STREAM: Client.stream,
    Kind.SLOW: Client.stream,
    Kind.WHOLE: Client.whole,
    Kind.BACKGROUND: Client.background,
    Kind.GONE: Client.leave,
    Kind.CANCELLED: Client.cancel,
}


async def _slowly(reads: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass on what is read at `SLOW_BYTES_A_SECOND`, also where this process is slow to wake up."""
    due = time.monotonic()
    async for data in reads:
        yield data
        due += len(data) / SLOW_BYTES_A_SECOND
        if (pause_s := due - time.monotonic()) > 0:
            await asyncio.sleep(pause_s)
