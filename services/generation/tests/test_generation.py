"""Generation with scripted backends: what stands in the log when they work, break off, refuse or vanish."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendFailed, BackendRefused, End, Token
from penstock.messages.chat import (
    ChatRetrieved,
    GenerationFinished,
    GenerationStarted,
    Passage,
    RequestFailed,
    Sampling,
    TextGenerated,
)
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_GENERATED
from penstock.streaming.errors import PermanentError
from penstock.streaming.ports import Partition
from penstock.streaming.stage import Received

Script = Sequence[Token | End | Exception]
HELLO: Script = [Token("Hel"), Token(""), Token("lo"), End("stop", 3)]


class ScriptedBackend:
    """Plays one script a call, and remembers what it was asked."""

    def __init__(self, *scripts: Script, slots: int = 2) -> None:
        self.url = "scripted"
        self.slots = slots
        self.asked: list[tuple[str, Sampling]] = []
        self.closed = 0
        self._scripts = list(scripts)

    async def check(self) -> None:
        return

    async def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Token | End, None]:
        self.asked.append((prompt, sampling))
        try:
            for item in self._scripts.pop(0):
                await asyncio.sleep(0)
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed += 1


def request(sampling: Sampling | None = None, passages: tuple[Passage, ...] = ()) -> Received[Event]:
    event = ChatRetrieved(
        model="m",
        prompt_before="<user>",
        prompt_after="Why?<bot>",
        prompt_tokens=4,
        passages=passages,
        sampling=sampling or Sampling(max_tokens=10),
    )
    envelope = Envelope(id="i", type=event.TYPE, source="/s", time_ms=1, subject="r", tenant="t")
    return Received(event, envelope, Partition("chat.retrieved", 0), 0)


async def run(
    *backends: ScriptedBackend, received: Received[Event] | None = None, retry_seconds: float = 5
) -> list[Event]:
    generation = Generation(Pool(backends), retry_seconds)
    outgoing = [item async for item in generation.handle(received or request())]
    assert all(item.topic is CHAT_GENERATED for item in outgoing)
    return [item.event for item in outgoing]


def text_of(events: Sequence[Event]) -> str:
    text = ""
    for event in events:
        if isinstance(event, TextGenerated):
            assert event.start == len(text)
            text += event.text
    return text


async def test_an_answer_stands_in_the_log_from_start_to_finish() -> None:
    events = await run(ScriptedBackend(HELLO))
    assert events[0] == GenerationStarted(model="m", passages=())
    assert text_of(events) == "Hello"
    finished = events[-1]
    assert isinstance(finished, GenerationFinished)
    assert (finished.length, finished.finish_reason) == (5, "stop")
    assert (finished.usage.prompt_tokens, finished.usage.completion_tokens) == (4, 3)


async def test_passages_stand_before_the_question_best_last_and_are_kept_for_the_citations() -> None:
    best = Passage(document_id="d", title="Dams", start=0, end=6, text="Water\n", tokens=1)
    other = Passage(document_id="e", title="Grids", start=0, end=6, text="Wires\n", tokens=1)
    backend = ScriptedBackend(HELLO)
    events = await run(backend, received=request(passages=(best, other)))
    prompt = backend.asked[0][0]
    assert prompt.startswith("<user>[2] Grids\nWires\n\n[1] Dams\nWater\n\n")
    assert prompt.endswith(": Why?<bot>")
    assert events[0] == GenerationStarted(model="m", passages=(best, other))


async def test_without_passages_the_prompt_is_the_plain_conversation() -> None:
    backend = ScriptedBackend(HELLO)
    await run(backend)
    assert backend.asked[0][0] == "<user>Why?<bot>"


async def test_an_answer_that_breaks_off_is_continued_from_its_text() -> None:
    broken: Script = [Token("Hel"), BackendFailed("gone")]
    backend = ScriptedBackend(broken, [Token("lo"), End("length", 1)])
    events = await run(backend)
    assert text_of(events) == "Hello"
    assert backend.asked[1][0] == "<user>Why?<bot>Hel"
    assert backend.asked[1][1].max_tokens == 9
    finished = events[-1]
    assert isinstance(finished, GenerationFinished)
    assert (finished.finish_reason, finished.usage.completion_tokens) == ("length", 2)


async def test_a_stream_without_its_last_event_has_broken_off() -> None:
    assert text_of(await run(ScriptedBackend([Token("Hel")], [Token("lo"), End("stop", 1)]))) == "Hello"


async def test_a_seeded_sample_is_never_continued_silently() -> None:
    backend = ScriptedBackend([Token("Hel"), BackendFailed("gone")], HELLO)
    events = await run(backend, received=request(Sampling(max_tokens=10, seed=1, temperature=0.7)))
    failed = events[-1]
    assert isinstance(failed, RequestFailed)
    assert "seed" in failed.message
    assert len(backend.asked) == 1


async def test_a_seeded_sample_restarts_while_nothing_is_visible() -> None:
    backend = ScriptedBackend([BackendFailed("gone")], HELLO)
    sampling = Sampling(max_tokens=10, seed=1, temperature=0.7)
    assert text_of(await run(backend, received=request(sampling))) == "Hello"


async def test_a_refusal_reaches_the_client_with_its_reason() -> None:
    events = await run(ScriptedBackend([BackendRefused("`inputs` too long")]))
    failed = events[-1]
    assert isinstance(failed, RequestFailed)
    assert (failed.status, failed.message) == (400, "`inputs` too long")


async def test_backends_that_stay_away_fail_the_request_in_the_end() -> None:
    with pytest.raises(PermanentError, match="no backend"):
        await run(ScriptedBackend(slots=0), retry_seconds=0.3)


async def test_a_stop_sequence_is_not_shown_even_when_it_comes_in_pieces() -> None:
    script: Script = [Token("One. S"), Token("TO"), Token("P"), End("stop", 3)]
    events = await run(ScriptedBackend(script), received=request(Sampling(max_tokens=9, stop=("STOP",))))
    assert text_of(events) == "One. "
    finished = events[-1]
    assert isinstance(finished, GenerationFinished)
    assert (finished.length, finished.finish_reason) == (5, "stop")


async def test_giving_up_an_answer_closes_the_stream_of_the_backend() -> None:
    backend = ScriptedBackend([Token("Hel"), Token("lo"), End("stop", 2)])
    stream = Generation(Pool([backend])).handle(request())
    async for item in stream:
        if isinstance(item.event, TextGenerated):
            break
    await stream.aclose()
    assert backend.closed == 1


async def test_requests_go_to_the_backend_with_the_most_free_slots() -> None:
    small, large = ScriptedBackend(slots=1), ScriptedBackend(slots=3)
    pool = Pool([small, large])
    assert pool.slots == 4
    with pool.lease() as first, pool.lease() as second, pool.lease() as third:
        assert [first, second].count(large) == 2
        assert third in (small, large)
        assert pool.busy == 3
    assert pool.busy == 0
