"""Kills at every token: with a deterministic backend the answer is the same, byte for byte and to the end."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.clients.models import UNKNOWN, ModelProfile
from penstock.generation.cancellations import CancellationLog
from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendFailed, End, Token
from penstock.generation.stream_timeout import StreamTimeouts
from penstock.messages.chat import (
    ChatRetrieved,
    GenerationFinished,
    GenerationStarted,
    Sampling,
    TextGenerated,
)
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.reading import Splice
from penstock.streaming.ports import Partition
from penstock.streaming.stage import Received
from services.generation.tests.kit import quiet

PROMPT = "<user>Why?<bot>"


@dataclass
class PiecesBackend:
    """Writes `pieces` after the prompt, one a token, and goes on exactly from any prefix of them.

    A piece without text is the first half of the character that the next one completes. An answer that is
    not cut by the budget ends with a token of its own. The first call breaks off, or hangs, after `tokens`.
    """

    pieces: Sequence[str]
    fail_after: int | None = None
    hang_after: int | None = None
    slots: int = 1
    profile: ModelProfile = UNKNOWN
    url: str = "pieces"
    calls: int = 0
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    async def check(self) -> None:
        return

    async def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Sequence[Token | End], None]:
        assert sampling.max_tokens
        self.calls += 1
        fail_after = self.fail_after if self.calls == 1 else None
        for written, text in enumerate([*self._rest(prompt.removeprefix(PROMPT)), None]):
            await asyncio.sleep(0)
            if written == fail_after:
                raise BackendFailed("gone")
            if written == self.hang_after:
                self.hanging.set()
                await asyncio.sleep(60)
            yield [Token(text or "")]
            if text is None or written + 1 == sampling.max_tokens:
                yield [End("stop" if text is None else "length", written + 1)]
                return

    def _rest(self, text: str) -> list[str]:
        assert "".join(self.pieces).startswith(text)
        left, first = len(text), 0
        for index, piece in enumerate(self.pieces):
            if len(piece) > left:
                break
            left -= len(piece)
            first = index + 1 if piece else first
        rest = list(self.pieces[first:])
        begun = next((index for index, piece in enumerate(rest) if piece), 0)
        return [*rest[:begun], rest[begun][left:], *rest[begun + 1 :]] if rest else []


def received(sampling: Sampling) -> Received[Event]:
    event = ChatRetrieved(
        model="m",
        prompt_before="<user>",
        prompt_after="Why?<bot>",
        prompt_tokens=4,
        passages=(),
        sampling=sampling,
    )
    envelope = Envelope(id="i", type=event.TYPE, source="/s", time_ms=1, subject="r", tenant="t")
    return Received(event, envelope, Partition("chat.retrieved", 0), 0)


async def handle(
    backend: PiecesBackend, sampling: Sampling, log: list[Event], handover: asyncio.Event | None = None
) -> None:
    """Handle the request after what is in the log, and write to it."""
    generation = Generation(Pool([backend]), CancellationLog(quiet, lambda: 0), StreamTimeouts())
    handled = generation.handle(received(sampling), tuple(log), handover or asyncio.Event())
    async for event in (item.event async for item in handled):
        log.append(event)  # noqa: PERF401  # a comprehension would give nothing when it is killed


async def interrupted(backend: PiecesBackend, sampling: Sampling, log: list[Event], *, planned: bool) -> None:
    """Do the same until the backend hangs; then hand over, or be killed."""
    backend.hanging = asyncio.Event()
    handover = asyncio.Event()
    handling = asyncio.create_task(handle(backend, sampling, log, handover))
    hanging = asyncio.create_task(backend.hanging.wait())
    await asyncio.wait([handling, hanging], return_when=asyncio.FIRST_COMPLETED)
    hanging.cancel()
    if planned:
        handover.set()
        async with asyncio.timeout(60):
            await handling
    else:
        handling.cancel()
        await asyncio.gather(handling, return_exceptions=True)


def whole(log: Sequence[Event]) -> tuple[str, Event, int]:
    """Return the text, the last event and the tokens that the log says are visible; check the log's rules."""
    assert [isinstance(event, GenerationStarted) for event in log] == [True] + [False] * (len(log) - 1)
    assert [event.TERMINAL for event in log] == [False] * (len(log) - 1) + [True]
    splice, text, tokens = Splice(), "", 0
    for event in log:
        if isinstance(event, TextGenerated):
            assert event.start == len(text), "nothing is written twice"
            text += splice.add(event.start, event.text)
            assert event.tokens >= tokens
            tokens = event.tokens
    return text, log[-1], tokens


def expected(pieces: Sequence[str], sampling: Sampling) -> str:
    """Return what must be visible, found in another way: character by character."""
    assert sampling.max_tokens
    text = ""
    for character in "".join(pieces[: sampling.max_tokens]):
        text += character
        stops = [stop for stop in sampling.stop if text.endswith(stop)]
        if stops:
            return text[: -max(len(stop) for stop in stops)]
    return text


FORTY = [" dam" if n % 5 else " S" if n % 10 else "" for n in range(40)]
NEVER_COMPLETE = (" dam" * 9,)


@pytest.mark.parametrize("limit", [40, 41, 23, 60])
@pytest.mark.parametrize("stop", [(), NEVER_COMPLETE, ("S dam dam",), (" dam S", "xyz")])
async def test_a_backend_killed_at_any_token_changes_nothing(limit: int, stop: tuple[str, ...]) -> None:
    sampling = Sampling(max_tokens=limit, stop=stop)
    uncut: list[Event] = []
    await handle(PiecesBackend(FORTY), sampling, uncut)
    text, end, tokens = whole(uncut)
    assert text == expected(FORTY, sampling)
    logs: list[list[Event]] = [[] for _ in range(41)]
    await asyncio.gather(
        *(handle(PiecesBackend(FORTY, fail_after=k), sampling, log) for k, log in enumerate(logs))
    )
    for log in logs:
        assert whole(log) == (text, end, tokens)


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("stop", [(), NEVER_COMPLETE, ("S dam dam",)])
async def test_a_replica_stopped_at_any_token_changes_nothing(stop: tuple[str, ...], planned: bool) -> None:
    sampling = Sampling(max_tokens=60, stop=stop)
    uncut: list[Event] = []
    await handle(PiecesBackend(FORTY), sampling, uncut)

    async def stopped_at(k: int) -> list[Event]:
        log: list[Event] = []
        await interrupted(PiecesBackend(FORTY, hang_after=k), sampling, log, planned=planned)
        if log and log[-1].TERMINAL:
            return log  # a stop sequence came before
        if planned and not stop:
            shown = sum(len(event.text) for event in log if isinstance(event, TextGenerated))
            assert shown == len("".join(FORTY[:k])), "a planned stop regenerates nothing"
        await handle(PiecesBackend(FORTY), sampling, log)
        return log

    for log in await asyncio.gather(*(stopped_at(k) for k in range(41))):
        assert whole(log) == whole(uncut)


LOOPING = [" It", " is", *[" a", " dam", "."] * 60]
GUARDED = ModelProfile(loop_guard=True)


@pytest.mark.parametrize("planned", [True, False])
async def test_a_loop_ends_at_the_same_place_whoever_goes_on_with_it(planned: bool) -> None:
    sampling = Sampling(max_tokens=180)
    uncut: list[Event] = []
    await handle(PiecesBackend(LOOPING, profile=GUARDED), sampling, uncut)
    text, end, _ = whole(uncut)
    assert "".join(LOOPING).startswith(text)
    assert len(text) < 60
    assert isinstance(end, GenerationFinished)
    assert (end.finish_reason, end.looped) == ("stop", True)
    assert end.usage.completion_tokens < 40

    async def stopped_at(k: int) -> list[Event]:
        log: list[Event] = []
        backend = PiecesBackend(LOOPING, hang_after=k, profile=GUARDED)
        await interrupted(backend, sampling, log, planned=planned)
        if not (log and log[-1].TERMINAL):
            await handle(PiecesBackend(LOOPING, profile=GUARDED), sampling, log)
        return log

    for log in await asyncio.gather(*(stopped_at(k) for k in range(40))):
        assert whole(log) == whole(uncut)


async def test_without_the_guard_a_loop_is_the_models_own_affair() -> None:
    log: list[Event] = []
    await handle(PiecesBackend(LOOPING), Sampling(max_tokens=170), log)
    text, end, _ = whole(log)
    assert text == "".join(LOOPING[:170])
    assert isinstance(end, GenerationFinished)
    assert (end.finish_reason, end.looped) == ("length", False)


async def test_tokens_without_text_are_a_loop_too() -> None:
    log: list[Event] = []
    backend = PiecesBackend([" It", *[""] * 200, " is"], profile=GUARDED)
    await handle(backend, Sampling(max_tokens=300), log)
    text, end, _ = whole(log)
    assert text == " It"
    assert isinstance(end, GenerationFinished)
    assert (end.finish_reason, end.looped) == ("stop", True)


texts = st.lists(st.text(alphabet="abé", max_size=3), max_size=10)
stops = st.lists(st.text(alphabet="abé", min_size=1, max_size=4), max_size=2).map(tuple)
kills = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 2)), max_size=4)


@settings(deadline=None, max_examples=150)
@given(texts, stops, st.integers(1, 12), kills)
async def test_any_number_of_stops_at_any_place_changes_nothing(
    pieces: list[str], stop: tuple[str, ...], limit: int, kills: list[tuple[int, bool, int]]
) -> None:
    """A kill may also lose the last records, which the broker had not taken yet."""
    sampling = Sampling(max_tokens=limit, stop=stop)
    uncut: list[Event] = []
    await handle(PiecesBackend(pieces), sampling, uncut)
    text, end, _ = whole(uncut)
    assert text == expected(pieces, sampling)
    assert isinstance(end, GenerationFinished)
    assert end.length == len(text)
    log: list[Event] = []
    for after, planned, lost in kills:
        kept = len(log)
        await interrupted(PiecesBackend(pieces, hang_after=after), sampling, log, planned=planned)
        if not planned:
            del log[max(kept, len(log) - lost) :]
        if log and log[-1].TERMINAL:
            break
    else:
        await handle(PiecesBackend(pieces), sampling, log)
    assert whole(log)[:2] == (text, end)
