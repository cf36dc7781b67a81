"""One answer of the stub: its tokens, its events, and how it is written in its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from zlib import crc32

import msgspec

from e2e.stub import scripted, text, wire
from e2e.stub.serving import Exchange

MAX_TOTAL_TOKENS = 8_192
_CHARACTERS_PER_TOKEN = 4
_encode = msgspec.json.Encoder().encode


class Answer:
    """One answer: its tokens, and why it ends."""

    def __init__(self, asked: wire.GenerateRequest, behaviour: wire.Behaviour, attempt: int = 0) -> None:
        given = asked.parameters or wire.Parameters()
        self.inputs = asked.inputs
        self.details = given.details
        self.prefix = asked.inputs if given.return_full_text else ""
        self.reason: scripted.Ending
        self.strays = False
        self._written: tuple[str, ...] | None = None
        found = scripted.script_of(asked.inputs)
        self.script = found[0].name if found else ""
        if found:
            script, written = found
            left = scripted.varied(script, written, attempt if behaviour.vary else 0)
            self.strays = not behaviour.vary and scripted.strays(script, written)
            self._written, self.reason = scripted.ended(left, given.max_new_tokens, given.stop or ())
            self.count = len(self._written)
        else:
            most = max(0, behaviour.tokens - text.words_so_far(asked.inputs))
            wanted = given.max_new_tokens or MAX_TOTAL_TOKENS
            self.count = min(wanted, most)
            self.reason = "length" if wanted <= most else "eos_token"

    @property
    def input_length(self) -> int:
        """Roughly the prompt's length in tokens: to count them would cost more than all the rest."""
        return max(1, len(self.inputs) // _CHARACTERS_PER_TOKEN)

    def tokens(self) -> Iterator[wire.Token]:
        """Yield the tokens; an answer that had ended before has one special token without text, as TGI's."""
        if self.count == 0:
            yield wire.Token(2, "", special=True)
        words = islice(text.words(self.inputs), self.count) if self._written is None else self._written
        for word in words:
            yield wire.Token(crc32(word.encode()) % 32_000, word)

    def events(self) -> Iterator[bytes]:
        """Yield the server-sent events of the stream."""
        written: list[str] = []
        last = max(1, self.count)
        for index, token in enumerate(self.tokens(), 1):
            written.append(token.text)
            event = wire.StreamResponse(index, token)
            if index == last:
                event.generated_text = self.prefix + "".join(written)
                if self.details:
                    event.details = wire.StreamDetails(self.reason, self.count, None, self.input_length)
            yield b"data:" + _encode(event) + b"\n\n"

    def whole(self) -> wire.GenerateResponse:
        """Return the answer in one piece."""
        tokens = list(self.tokens())
        details = wire.Details(self.reason, self.count, None, tokens) if self.details else None
        return wire.GenerateResponse(self.prefix + "".join(token.text for token in tokens), details)


class Writing:
    """An answer on its way to a client; `over` is called once, with whether the client had gone before."""

    def __init__(
        self,
        answer: Answer,
        exchange: Exchange,
        behaviour: wire.Behaviour,
        stats: wire.Stats,
        over: Callable[[bool], None],
    ) -> None:
        self._answer = answer
        self._exchange = exchange
        self._behaviour = behaviour
        self._stats = stats
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + behaviour.first_ms / 1000
        self._index = 0
        exchange.gone = self._gone

    def whole(self, encode: Callable[[wire.GenerateResponse], bytes]) -> None:
        """Write it in one piece, when its last token is due."""
        self._due += self._behaviour.inter_ms / 1000 * max(0, self._answer.count - 1)

        def respond() -> None:
            self._stats.tokens += self._answer.count
            self._exchange.respond(200, encode(self._answer.whole()))
            self._over(False)

        self._timer = self._loop.call_at(self._due, respond)

    def stream(self, faults: Callable[[Answer], wire.Faults]) -> None:
        """Write each token as an event, when it is due; `faults` says at the first what goes wrong."""

        def begin() -> None:
            self._faults = faults(self._answer)
            self._events = self._answer.events()
            self._next()

        self._timer = self._loop.call_at(self._due, begin)

    def _next(self) -> None:
        if self._index in (self._faults.cut_at, self._faults.stall_at):
            self._break_off()
            return
        self._index += 1
        last = self._index >= self._answer.count
        self._exchange.write(next(self._events), last=last)
        self._stats.tokens += 1
        if last:
            self._over(False)
            return
        # By the clock, not by the last write: a late token does not make all the others late.
        self._due += self._behaviour.inter_ms / 1000
        self._timer = self._loop.call_at(self._due, self._next)

    def _break_off(self) -> None:
        self._stats.broken += 1
        if self._index == self._faults.cut_at:
            self._exchange.cut()
            self._over(False)
        # Else nothing comes any more, until the client goes.

    def _gone(self) -> None:
        self._timer.cancel()
        self._over(True)
