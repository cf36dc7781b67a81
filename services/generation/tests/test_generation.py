"""Generation with scripted backends: what stands in the log when they work, break off, refuse or vanish."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from penstock.clients.models import UNKNOWN
from penstock.generation.cancellations import CancellationLog
from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendAway, BackendBusy, BackendFailed, BackendRefused, End, Token
from penstock.generation.stream_timeout import StreamTimeouts
from penstock.messages.chat import (
    ChatRetrieved,
    GenerationFinished,
    GenerationStarted,
    Passage,
    RequestFailed,
    Sampling,
    TextGenerated,
)
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_GENERATED
from penstock.streaming.errors import PermanentError
from penstock.streaming.stage import Received
from services.generation.tests.kit import quiet, received

Script = Sequence[Token | End | Exception | float]
HELLO: Script = [Token("Hel"), Token(""), Token("lo"), End("stop", 3)]


def generation_of(*backends: "ScriptedBackend", timeouts: StreamTimeouts | None = None) -> Generation:
    cancellations = CancellationLog(quiet, lambda: 0)
    return Generation(Pool(backends), cancellations, timeouts or StreamTimeouts(retry=5))


class ScriptedBackend:
    """Plays one script a call (a number is a pause in seconds), and remembers what it was asked.

    Tokens come one by one, or all that no pause or error parts `together`.
    """

    def __init__(self, *scripts: Script, slots: int = 2, together: bool = False) -> None:
        self.url = "scripted"
        self.slots = slots
        self.profile = UNKNOWN
        self.asked: list[tuple[str, Sampling]] = []
        self.closed = 0
        self._scripts = list(scripts)
        self._together = together

    async def check(self) -> None:
        return

    async def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Sequence[Token | End], None]:
        self.asked.append((prompt, sampling))
        items: list[Token | End] = []
        try:
            for item in [*self._scripts.pop(0), 0.0]:
                if not isinstance(item, Exception | float):
                    items.append(item)
                if items and not (self._together and isinstance(item, Token)):
                    yield items
                    items = []
                await asyncio.sleep(item if isinstance(item, float) else 0)
                if isinstance(item, Exception):
                    raise item
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
    return received(event)


async def run(
    *backends: ScriptedBackend,
    received: Received[Event] | None = None,
    earlier: Sequence[Event] = (),
    timeouts: StreamTimeouts | None = None,
) -> list[Event]:
    generation = generation_of(*backends, timeouts=timeouts)
    handled = generation.handle(received or request(), earlier, asyncio.Event())
    outgoing = [item async for item in handled]
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
    block = "<passages>\n[2] Grids\nWires\n\n[1] Dams\nWater\n\n</passages>\n"
    before, found, after = prompt.partition(block)
    assert found
    assert before.startswith("<user>")
    assert after.endswith(": Why?<bot>")
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
    assert (failed.code, failed.status) == ("answer_interrupted", 503)
    assert "seed" in failed.message
    assert "ask again" in failed.message
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


async def test_backends_that_are_away_are_waited_for_however_long_it_takes() -> None:
    backend = ScriptedBackend([BackendAway("connection refused")], HELLO, slots=0)
    running = asyncio.create_task(run(backend, timeouts=StreamTimeouts(retry=0.01)))
    await asyncio.sleep(0.3)
    assert not running.done()
    backend.slots = 1
    assert text_of(await running) == "Hello"


async def test_text_of_a_backend_that_has_gone_is_continued_when_one_is_back() -> None:
    gone: Script = [Token("Hel"), BackendAway("connection refused")]
    away: list[Script] = [[BackendAway("connection refused")] for _ in range(3)]
    backend = ScriptedBackend(gone, *away, [Token("lo"), End("stop", 1)])
    assert text_of(await run(backend, timeouts=StreamTimeouts(retry=0.01))) == "Hello"


async def test_backends_that_keep_failing_at_a_request_fail_it_in_the_end() -> None:
    failing: list[Script] = [[BackendFailed("broken")] for _ in range(20)]
    with pytest.raises(PermanentError, match="broken"):
        await run(ScriptedBackend(*failing), timeouts=StreamTimeouts(retry=0.3))


async def test_usage_counts_the_tokens_of_the_passages() -> None:
    passages = (Passage(document_id="d", title="T", start=0, end=4, text="text", tokens=7),)
    events = await run(ScriptedBackend(HELLO), received=request(passages=passages))
    finished = events[-1]
    assert isinstance(finished, GenerationFinished)
    assert finished.usage.prompt_tokens == 4 + 7


async def test_a_stop_sequence_is_not_shown_even_when_it_comes_in_pieces() -> None:
    script: Script = [Token("One. S"), Token("TO"), Token("P"), End("stop", 3)]
    events = await run(ScriptedBackend(script), received=request(Sampling(max_tokens=9, stop=("STOP",))))
    assert text_of(events) == "One. "
    finished = events[-1]
    assert isinstance(finished, GenerationFinished)
    assert (finished.length, finished.finish_reason) == (5, "stop")


@pytest.mark.parametrize("stop", [(), ("STOP",), ("lo",), ("nowhere",)])
async def test_it_does_not_matter_which_tokens_come_together(stop: tuple[str, ...]) -> None:
    texts = ["One", "", ". S", "TO", "P", "", "He", "lo", "", "!"]
    script: Script = [*map(Token, texts), End("length", len(texts))]
    received = request(Sampling(max_tokens=99, stop=stop))
    single = await run(ScriptedBackend(script), received=received)
    together = await run(ScriptedBackend(script, together=True), received=received)
    assert text_of(single) == text_of(together)
    assert single[-1] == together[-1]


async def test_a_stall_is_told_by_how_long_it_was() -> None:
    scripts: list[tuple[Script, StreamTimeouts]] = [
        ([60.0], StreamTimeouts(first_token=0.05, retry=0)),
        ([Token("a"), 60.0], StreamTimeouts(token=0.05, retry=0)),
    ]
    for script, timeouts in scripts:
        with pytest.raises(PermanentError, match=r"no token came for 0\.05 s$"):
            await run(ScriptedBackend(script), timeouts=timeouts)


async def test_giving_up_an_answer_closes_the_stream_of_the_backend() -> None:
    backend = ScriptedBackend([Token("Hel"), Token("lo"), End("stop", 2)])
    stream = generation_of(backend).handle(request(), (), asyncio.Event())
    async for item in stream:
        if isinstance(item.event, TextGenerated):
            break
    await stream.aclose()
    assert backend.closed == 1


async def test_a_backend_that_stalls_is_left_and_the_answer_goes_on_elsewhere() -> None:
    stalling = ScriptedBackend([Token("Hel"), 60.0], slots=3)
    other = ScriptedBackend([Token("lo"), End("stop", 1)], slots=1)
    events = await run(stalling, other, timeouts=StreamTimeouts(token=0.05))
    assert text_of(events) == "Hello"
    assert (stalling.closed, len(other.asked)) == (1, 1)


async def test_the_first_token_may_take_longer_than_the_next() -> None:
    slow: Script = [0.1, Token("Hello"), End("stop", 1)]
    assert (
        text_of(await run(ScriptedBackend(slow), timeouts=StreamTimeouts(first_token=5, token=0.05)))
        == "Hello"
    )
    stalling = ScriptedBackend([60.0], HELLO)
    assert text_of(await run(stalling, timeouts=StreamTimeouts(first_token=0.05))) == "Hello"
    assert len(stalling.asked) == 2


async def test_patience_counts_from_the_last_progress() -> None:
    broken: list[Script] = [[Token("a"), 0.1, Token("b"), BackendFailed("gone")] for _ in range(4)]
    backend = ScriptedBackend(*broken, [Token("c"), End("stop", 1)])
    assert text_of(await run(backend, timeouts=StreamTimeouts(retry=0.35))) == "ababababc"


async def test_a_busy_backend_is_waited_for_however_long_it_takes() -> None:
    busy: list[Script] = [[BackendBusy("overloaded")] for _ in range(3)]
    assert text_of(await run(ScriptedBackend(*busy, HELLO), timeouts=StreamTimeouts(retry=0.01))) == "Hello"


async def test_a_used_up_budget_is_the_end_and_asks_no_backend() -> None:
    backend = ScriptedBackend()
    earlier = [GenerationStarted(model="m", passages=()), TextGenerated(start=0, text="Hello", tokens=10)]
    [finished] = await run(backend, earlier=earlier)
    assert isinstance(finished, GenerationFinished)
    assert (finished.length, finished.finish_reason, finished.usage.completion_tokens) == (5, "length", 10)
    assert not backend.asked


async def test_an_answer_begun_elsewhere_goes_on_from_its_text_and_is_not_begun_again() -> None:
    backend = ScriptedBackend([Token("lo"), End("stop", 1)])
    earlier = [GenerationStarted(model="m", passages=()), TextGenerated(start=0, text="Hel", tokens=3)]
    text, finished = await run(backend, earlier=earlier)
    assert text == TextGenerated(start=3, text="lo", tokens=4)
    assert isinstance(finished, GenerationFinished)
    assert (finished.length, finished.usage.completion_tokens) == (5, 4)
    assert (backend.asked[0][0], backend.asked[0][1].max_tokens) == ("<user>Why?<bot>Hel", 7)


async def test_a_seeded_sample_begun_elsewhere_restarts_or_says_that_it_cannot_go_on() -> None:
    received = request(Sampling(max_tokens=10, seed=1, temperature=0.7))
    started = GenerationStarted(model="m", passages=())
    events = await run(ScriptedBackend(HELLO), received=received, earlier=[started])
    assert text_of(events) == "Hello"
    visible = TextGenerated(start=0, text="Hel", tokens=1)
    backend = ScriptedBackend()
    [failed] = await run(backend, received=received, earlier=[started, visible])
    assert isinstance(failed, RequestFailed)
    assert (failed.code, failed.status) == ("answer_interrupted", 503)
    assert not backend.asked


async def test_a_refused_continuation_is_not_the_clients_fault() -> None:
    backend = ScriptedBackend([Token("Hel"), BackendFailed("gone")], [BackendRefused("`inputs` too long")])
    failed = (await run(backend))[-1]
    assert isinstance(failed, RequestFailed)
    assert (failed.code, failed.status) == ("answer_interrupted", 503)


async def test_text_whose_beginning_is_lost_is_not_continued() -> None:
    [failed] = await run(ScriptedBackend(), earlier=[TextGenerated(start=4, text="o", tokens=2)])
    assert isinstance(failed, RequestFailed)
    assert failed.code == "answer_interrupted"


async def test_requests_go_to_the_backend_with_the_most_free_slots() -> None:
    small, large = ScriptedBackend(slots=1), ScriptedBackend(slots=3)
    pool = Pool([small, large])
    assert pool.slots == 4
    async with pool.lease() as first, pool.lease() as second, pool.lease() as third:
        assert [first, second].count(large) == 2
        assert third in (small, large)
        assert pool.busy == 3
    assert pool.busy == 0


async def test_a_backend_that_failed_is_avoided_for_a_moment() -> None:
    large, small = ScriptedBackend(slots=3), ScriptedBackend(slots=2)
    now = 0.0
    pool = Pool([large, small], lambda: now)

    async def fail() -> None:
        async with pool.lease() as backend:
            assert backend is large
            raise BackendFailed("gone")

    with pytest.raises(BackendFailed):
        await fail()
    async with pool.lease() as first, pool.lease() as second, pool.lease() as third:
        assert (first, second, third) == (small, small, large)  # better a doubtful one than none
    now = 60.0
    async with pool.lease() as backend:
        assert backend is large


async def test_a_full_pool_makes_wait_until_a_slot_is_free() -> None:
    pool = Pool([ScriptedBackend(slots=1)])

    async def second() -> int:
        async with pool.lease():
            return pool.busy

    async with pool.lease():
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting == 1
