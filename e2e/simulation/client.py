"""A client: asks, reads, and comes back at any gateway until its answer has an end (as e2e.faults.client)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import TypeAlias

import msgspec

from e2e.faults.asks import Ask, Kind
from e2e.faults.client import PAUSES_S, TRY_AGAIN
from e2e.faults.events import Chunk, Completion, Failure, events
from e2e.faults.seen import End, Piece, Seen, State
from e2e.simulation.gateway import Call
from e2e.simulation.network import Broken, Connection, Network
from e2e.simulation.world import Process
from penstock.messages.chat import ChatRequested, Message, Sampling
from penstock.messages.ids import request_id_of

_chunk = msgspec.json.Decoder(Chunk)
Turn: TypeAlias = "Callable[[Client], Coroutine[object, object, None]]"


class Client:
    """Asks one question until `give_up_s` (seconds of the world)."""

    def __init__(
        self, network: Network, process: Process, gateways: Sequence[str], ask: Ask, give_up_s: float
    ) -> None:
        self._network = network
        self._process = process
        self._gateways = gateways
        self._random = network.world.random
        self._give_up_s = give_up_s
        self._in_vain = 0
        self._reason: str | None = None
        self._tokens: int | None = None
        self.seen = Seen(ask, self._now)

    @property
    def _now(self) -> float:
        return self._network.world.now_ms / 1000

    async def ask(self) -> None:
        """Ask until there is an end, or no time left."""
        world, seen, turn = self._network.world, self.seen, _TURNS[self.seen.ask.kind]
        while seen.end is None and world.now < self._give_up_s:
            had = len(seen.pieces)
            try:
                async with asyncio.timeout(self._give_up_s - world.now + 1):
                    await turn(self)
            except (Broken, TimeoutError) as error:
                seen.troubles.append(str(error) or "deadline")
                seen.resumed += 1
                self._in_vain = 0 if len(seen.pieces) > had else self._in_vain + 1
                pause = PAUSES_S[min(self._in_vain, len(PAUSES_S) - 1)]
                await asyncio.sleep(pause * (0.5 + self._random.random()))
        if seen.end is None:
            state: State = "refused" if seen.acknowledged is None else "lost"
            seen.end = End(state, self._now, code=seen.troubles[-1] if seen.troubles else "")

    async def _stream(self) -> None:
        async with aclosing(self._read()) as reading:
            async for _ in reading:
                continue

    async def _leave(self) -> None:
        after = self._random.randint(1, 6)
        async with aclosing(self._read()) as reading:
            async for _ in reading:
                if len(self.seen.pieces) >= after and self.seen.end is None:
                    self.seen.end = End("left", self._now)
                    return

    async def _cancel(self) -> None:
        after, cancelled = self._random.randint(1, 6), False
        async with aclosing(self._read()) as reading:
            async for _ in reading:
                if len(self.seen.pieces) >= after and not cancelled:
                    cancelled = True
                    connection = await self._connected()
                    connection.send(_encoded(Call(request_id=self.seen.request_id, cancel=True)))

    async def _whole(self) -> None:
        seen = self.seen
        if seen.request_id and seen.ask.kind is Kind.BACKGROUND:
            call = Call(request_id=seen.request_id, stream=False)
        else:
            call = self._question(stream=False)
        await self._take_whole(call)

    async def _background(self) -> None:
        """Ask, go when it is accepted, and come for the whole answer later."""
        if self.seen.request_id:
            await asyncio.sleep(0.5)
            await self._whole()
            return
        connection = await self._connected()
        connection.send(_encoded(self._question(stream=True)))
        try:
            async for data in connection.receive():
                if self._accepts(data):
                    return
                raise Broken(_code_of(data) or "closed")
        finally:
            connection.close()
        raise Broken("closed")

    async def _take_whole(self, call: Call) -> None:
        connection = await self._connected()
        connection.send(_encoded(call))
        try:
            async for data in connection.receive():
                if data.startswith(b"whole\n"):
                    self._complete(msgspec.json.decode(data[6:], type=Completion))
                    return
                if not self._accepts(data):
                    self._fail(_code_of(data))
                    return
        finally:
            connection.close()
        raise Broken("closed")

    def _complete(self, completion: Completion) -> None:
        [choice] = completion.choices
        self.seen.pieces.append(Piece(self._now, None, choice.message.content))
        tokens = completion.usage.completion_tokens if completion.usage else None
        self.seen.end = End("completed", self._now, choice.finish_reason, tokens)

    async def _read(self) -> AsyncGenerator[None, None]:
        """Yield after each event. Raises Broken when the connection ends before the answer does."""
        seen = self.seen
        connection = await self._connected()
        connection.send(_encoded(self._going_on() or self._question(stream=True)))
        try:
            async with aclosing(events(self._bodies(connection))) as arriving:
                async for event in arriving:
                    self._take(event.id, event.data)
                    yield
                    if seen.end is not None:
                        return
        finally:
            connection.close()
        raise Broken("closed")

    async def _bodies(self, connection: Connection) -> AsyncIterator[bytes]:
        async for data in connection.receive():
            if data.startswith(b"error\n"):
                self._fail(_code_of(data))
                yield b"data: {}\n\n"
            elif not self._accepts(data):
                yield data

    def _going_on(self) -> Call | None:
        seen = self.seen
        if not seen.request_id or seen.last_event is None or self._random.random() < 0.5:
            return None
        return Call(request_id=seen.request_id, after=seen.last_event)

    def _question(self, *, stream: bool) -> Call:
        ask = self.seen.ask
        after = self.seen.last_event if stream and self.seen.last_event is not None else -1
        question = ChatRequested(
            model="simulated",
            messages=(Message(role="user", content=ask.question),),
            sampling=Sampling(
                temperature=0,
                max_tokens=ask.max_tokens or ask.tokens + 1,
                stop=(ask.stop,) if ask.stop else (),
            ),
            background=ask.kind is Kind.BACKGROUND,
        )
        grace_ms = 1000 if ask.kind is Kind.GONE else 10_000
        return Call(question=question, key=ask.key, stream=stream, after=after, grace_ms=grace_ms)

    async def _connected(self) -> Connection:
        async with asyncio.timeout(10):
            return await self._network.connect(self._process, self._random.choice(self._gateways))

    def _accepts(self, data: bytes) -> bool:
        """Take note of the request's id, if that is what was sent."""
        if not data.startswith(b"accepted "):
            return False
        request_id = data.split()[1].decode()
        seen = self.seen
        if not seen.request_id:
            seen.request_id, seen.acknowledged = request_id, self._now
        elif request_id != seen.request_id:
            seen.other_ids.add(request_id)
        return True

    def _take(self, event_id: int | None, data: bytes) -> None:
        seen, now = self.seen, self._now
        if event_id is not None:
            seen.last_event = event_id
        if data == b"[DONE]":
            seen.end = seen.end or End("completed", now, self._reason, self._tokens)
            return
        chunk = _chunk.decode(data)
        if chunk.error is not None:
            self._fail(str(chunk.error.code))
            return
        if chunk.id and request_id_of(chunk.id) != seen.request_id:
            seen.other_ids.add(request_id_of(chunk.id))
        if chunk.usage is not None:
            self._tokens = chunk.usage.completion_tokens
        for choice in chunk.choices:
            self._reason = choice.finish_reason or self._reason
            if choice.delta.content:
                seen.pieces.append(Piece(now, event_id, choice.delta.content))

    def _fail(self, code: str) -> None:
        """Take an error. Raises Broken if it is worth another try.

        `timeout` is one gateway's word, which may have been cut off from the log: another one may know more.
        """
        if code in TRY_AGAIN or code == "timeout":
            raise Broken(code)
        state: State = "cancelled" if code == "request_cancelled" else "failed"
        self.seen.end = End(state, self._now, code=code)


_TURNS: dict[Kind, Turn] = {
    Kind.STREAM: Client._stream,
    Kind.SLOW: Client._stream,
    Kind.WHOLE: Client._whole,
    Kind.BACKGROUND: Client._background,
    Kind.GONE: Client._leave,
    Kind.CANCELLED: Client._cancel,
}


def _encoded(call: Call) -> bytes:
    return msgspec.json.encode(call)


def _code_of(data: bytes) -> str:
    return str(msgspec.json.decode(data.removeprefix(b"error\n"), type=Failure).error.code)
