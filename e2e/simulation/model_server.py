"""A model server that writes known answers, and may fail at any token; and what services see of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial

from e2e.simulation.world import Process, World
from e2e.stub import scripted, text
from penstock.clients.models import ModelProfile
from penstock.generation.ports import BackendAway, BackendBusy, BackendFailed, End, Token
from penstock.messages.chat import Message, Sampling
from penstock.streaming.errors import TransientError
from penstock.tokenization.domain import Limits, Templated

_GUARDED = ModelProfile(names=("simulated",), loop_guard=True)
_FIRST_TOKEN_S = (0.01, 0.3)
_LATENCY_S = (0.0002, 0.005)


class ModelServer:
    """Writes the answers that prompts name (e2e.stub.scripted), one token every `token_s` seconds.

    If it `varies`, each attempt at an answer is another text, as a real engine's is when it samples.
    """

    def __init__(self, world: World, slots: int, token_s: float, *, varies: bool) -> None:
        self.world = world
        self.slots = slots
        self.up = True
        self.stall_until = 0.0
        self.streams: set[Stream] = set()
        self._token_s = token_s
        self._varies = varies
        self._attempts: Counter[str] = Counter()

    def rest(self, prompt: str) -> tuple[str, tuple[str, ...]]:
        """Return the name of the answer that a prompt asks for, and the tokens still to be written."""
        found = scripted.script_of(prompt)
        if found is None:
            raise ValueError("the simulation's questions name their answers")
        script, written = found
        self._attempts[script.name] += 1
        attempt = self._attempts[script.name] - 1 if self._varies else 0
        return script.name, scripted.varied(script, written, attempt)

    def open(self, stream: Stream) -> None:
        """Begin to write an answer, or refuse it."""
        if not self.up:
            stream.tell(BackendAway("refused"))
        elif len(self.streams) >= self.slots:
            stream.tell(BackendBusy("overloaded"))
        else:
            self.streams.add(stream)
            self.world.later(self.world.random.uniform(*_FIRST_TOKEN_S), partial(self._write, stream))

    def crash(self, seconds: float) -> None:
        """Die: all streams break; be back after so many seconds."""
        self.up = False
        broken, self.streams = self.streams, set()
        for stream in sorted(broken, key=lambda one: one.number):
            stream.tell(BackendFailed("connection lost"))
        self.world.later(seconds, self._recover)

    def _recover(self) -> None:
        self.up = True

    def _write(self, stream: Stream) -> None:
        if stream not in self.streams:
            return
        if stream.closed or not stream.process.alive:
            self.streams.discard(stream)
            return
        if self.world.now < self.stall_until:
            self.world.at(self.stall_until, partial(self._write, stream))
            return
        stream.tell(stream.next())
        if stream.ended:
            self.streams.discard(stream)
        else:
            self.world.later(
                self._token_s * self.world.random.uniform(0.2, 1.8), partial(self._write, stream)
            )


class Stream:
    """One answer on its way to one process."""

    def __init__(
        self, server: ModelServer, process: Process, number: int, prompt: str, sampling: Sampling
    ) -> None:
        self.script, left = server.rest(prompt)
        self.number = number
        self.process = process
        self.inbox: asyncio.Queue[Token | End | BackendFailed] = asyncio.Queue()
        self.closed = self.ended = False
        self._server = server
        self._tokens, self._ending = scripted.ended(left, sampling.max_tokens, sampling.stop)
        self._next = 0
        self._arrives = 0.0

    def next(self) -> Token | End:
        """Return what is written next."""
        if self._next == len(self._tokens):
            self.ended = True
            return End("length" if self._ending == "length" else "stop", len(self._tokens))
        self._next += 1
        return Token(self._tokens[self._next - 1])

    def tell(self, what: Token | End | BackendFailed) -> None:
        """Send something to the process that reads."""
        world = self._server.world
        self._arrives = max(self._arrives, world.now + world.random.uniform(*_LATENCY_S))
        world.at(self._arrives, lambda: self.process.call(lambda: self.inbox.put_nowait(what)))


class SimulatedBackend:
    """Port: Backend of generation."""

    def __init__(self, server: ModelServer, process: Process) -> None:
        self._server = server
        self._process = process
        self._slots = 0
        self._asked = 0
        self.url = "tgi+http://simulated:1"

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def profile(self) -> ModelProfile:
        return _GUARDED

    async def check(self) -> None:
        await asyncio.sleep(self._server.world.random.uniform(*_LATENCY_S))
        self._slots = self._server.slots if self._server.up else 0

    async def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Sequence[Token | End], None]:
        world = self._server.world
        self._asked += 1
        stream = Stream(self._server, self._process, self._asked, prompt, sampling)
        world.later(world.random.uniform(*_LATENCY_S), lambda: self._server.open(stream))
        try:
            while True:
                arrived = await stream.inbox.get()
                if isinstance(arrived, BackendFailed):
                    raise arrived
                yield [arrived]
                if isinstance(arrived, End):
                    return
        finally:
            stream.closed = True


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """Port: Model of tokenization."""

    server: ModelServer

    async def limits(self) -> Limits:
        await self._reach()
        return Limits(4095, 4096, "simulated")

    async def chat(self, messages: Sequence[Message], gap: str) -> Templated:
        await self._reach()
        prompt = text.chat_prompt([(message.role, message.content) for message in messages])
        return Templated(prompt, max(1, len(prompt.replace(gap, "")) // 4))

    async def _reach(self) -> None:
        await asyncio.sleep(self.server.world.random.uniform(*_LATENCY_S))
        if not self.server.up:
            raise TransientError("backend_unavailable", "No model server is available.")
