"""What clients ask: questions whose whole answer is known beforehand, and how each client behaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from random import Random

from e2e.stub.scripted import Script, Whole, expected, mark


class Kind(Enum):
    """How a client takes its answer."""

    STREAM = "stream"
    SLOW = "slow"  # reads 1 KB/s
    WHOLE = "whole"  # not streamed
    BACKGROUND = "background"  # asks, goes, and fetches the finished answer
    GONE = "gone"  # hangs up in the middle and never comes back
    CANCELLED = "cancelled"  # cancels in the middle


GIVEN_UP = frozenset({Kind.GONE, Kind.CANCELLED})


@dataclass(frozen=True, slots=True)
class Ask:
    """One question; `key` is its Idempotency-Key and the name of the answer's script."""

    key: str
    kind: Kind
    tokens: int
    max_tokens: int | None = None
    stop: str = ""
    loops: bool = False

    @property
    def script(self) -> Script:
        """The answer that the stub writes if nothing ends it before."""
        return Script(self.key, self.tokens, self.loops)

    @property
    def question(self) -> str:
        """The user's message."""
        return f"What does the log say about this? {mark(self.script)}"

    def expected(self) -> Whole:
        """What the client should read."""
        return expected(self.script, self.max_tokens, self.stop)


@dataclass(frozen=True)
class Load:
    """Clients at once, and what they ask.

    `tokens` is the range of answers' lengths; `shares` says how many of 100 are of which kind (the rest
    streams); `limited` and `stopped` are the shares that end by max_tokens and by a stop sequence, `loops` of
    those whose model repeats itself without end.
    """

    streams: int = 16
    tokens: tuple[int, int] = (20, 120)
    shares: Mapping[Kind, float] = field(default_factory=dict)
    limited: float = 20
    stopped: float = 10
    loops: float = 0
    gap_s: float = 0.2
    """Longest pause of a client between an answer and its next question."""


MIXED = {Kind.SLOW: 4, Kind.WHOLE: 12, Kind.BACKGROUND: 6, Kind.GONE: 4, Kind.CANCELLED: 4}


def asks(load: Load, name: str, random: Random) -> Iterator[Ask]:
    """Yield questions without end; `name` keeps those of one run apart from those of others.

    The first are one of each kind, so that a slow machine tries them all, too; the others are drawn.
    """
    dealt = iter(load.shares)
    for number in count():
        kind = next(dealt, None) or _kind(load, random.random() * 100)
        yield _ask(load, f"{name}-{number}", kind, random)


def _ask(load: Load, key: str, kind: Kind, random: Random) -> Ask:
    tokens = random.randint(*load.tokens)
    drawn = random.random() * 100
    if drawn < load.limited:
        return Ask(key, kind, tokens, max_tokens=max(1, tokens * random.randint(1, 10) // 10))
    if drawn < load.limited + load.stopped:
        return Ask(key, kind, tokens, stop=_stop(Script(key, tokens), random))
    loops = drawn < load.limited + load.stopped + load.loops
    return Ask(key, kind, tokens, loops=loops)


def _kind(load: Load, drawn: float) -> Kind:
    for kind, share in load.shares.items():
        drawn -= share
        if drawn < 0:
            return kind
    return Kind.STREAM


def _stop(script: Script, random: Random) -> str:
    """Return some characters of the answer, often from more than one token."""
    text = expected(script).text
    begin = random.randrange(1, max(2, len(text) - 6))
    return text[begin : begin + random.randint(2, 6)].strip() or text[begin + 1 : begin + 3]
