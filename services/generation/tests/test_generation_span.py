"""What a trace tells of an answer: its model call, its repetitions and continuations, and no text of it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from penstock.clients.models import ModelProfile
from penstock.generation.cancellations import CancellationLog
from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendBusy, BackendFailed, BackendRefused, End, Token
from penstock.generation.stream_timeout import StreamTimeouts
from penstock.messages.chat import ChatRetrieved, GenerationStarted, Passage, Sampling, TextGenerated
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.streaming.errors import PermanentError
from penstock.streaming.ports import Partition
from penstock.streaming.stage import Received
from services.generation.tests.kit import quiet

Script = Sequence[Token | End | Exception | float]
PASSAGE = Passage(document_id="d", title="Dams", start=0, end=6, text="a canary", tokens=7)


class Scripted:
    """A backend that plays one script a call; a number is a pause in seconds."""

    url = "http://tgi:8080"
    slots = 4
    profile = ModelProfile(loop_guard=True)

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.current: list[trace.Span] = []

    async def check(self) -> None:
        return

    async def stream(self, _prompt: str, _sampling: Sampling) -> AsyncGenerator[Sequence[Token | End], None]:
        self.current.append(trace.get_current_span())
        for item in self._scripts.pop(0):
            await asyncio.sleep(item if isinstance(item, float) else 0)
            if isinstance(item, Exception):
                raise item
            if not isinstance(item, float):
                yield [item]


async def tell(
    spans: InMemorySpanExporter,
    *scripts: Script,
    earlier: Sequence[Event] = (),
    sampling: Sampling | None = None,
    content: bool = False,
    handover_s: float | None = None,
) -> tuple[ReadableSpan, Scripted]:
    """Return the span of an answer that is made of these scripts, and the backend."""
    backend = Scripted(*scripts)
    generation = Generation(
        Pool([backend]), CancellationLog(quiet, lambda: 0), StreamTimeouts(retry=5), trace_content=content
    )
    question = ChatRetrieved(
        model="m",
        prompt_before="<user>a canary: ",
        prompt_after="sings?<bot>",
        prompt_tokens=4,
        passages=(PASSAGE,),
        sampling=sampling or Sampling(max_tokens=10, temperature=0.5, seed=None),
    )
    envelope = Envelope(id="i", type=question.TYPE, source="/s", time_ms=1, subject="r", tenant="t")
    received: Received[Event] = Received(question, envelope, Partition("chat.retrieved", 0), 0)
    handover = asyncio.Event()
    if handover_s is not None:
        asyncio.get_running_loop().call_later(handover_s, handover.set)
    with suppress(PermanentError):
        async for _ in generation.handle(received, earlier, handover):
            pass
    [span] = spans.get_finished_spans()
    return span, backend


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def events(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    return [(event.name, dict(event.attributes or {})) for event in span.events]


async def test_an_answer_is_one_client_span_by_the_conventions_for_genai(
    spans: InMemorySpanExporter,
) -> None:
    span, backend = await tell(spans, [Token("A"), Token(" bird"), End("stop", 3)])
    assert (span.name, span.kind) == ("chat m", SpanKind.CLIENT)
    assert told(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "tgi",
        "gen_ai.request.model": "m",
        "gen_ai.request.max_tokens": 10,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 3,
    }
    assert events(span) == [
        ("slot_taken", {"server.address": "tgi", "server.port": 8080}),
        ("first_token", {}),
        ("last_token", {}),
    ]
    assert [current.get_span_context() for current in backend.current] == [span.context]


async def test_repetitions_tell_why_and_from_where_the_answer_goes_on(spans: InMemorySpanExporter) -> None:
    gone = BackendFailed("a canary sings")
    gone.__cause__ = ConnectionResetError()
    span, _ = await tell(
        spans,
        [BackendBusy("a canary sings")],
        [Token("A bird"), gone],
        [Token(" sings"), End("length", 2)],
    )
    assert [name for name, _ in events(span)] == [
        "slot_taken",
        "retry",
        "slot_taken",
        "first_token",
        "retry",
        "continued",
        "slot_taken",
        "last_token",
    ]
    first, second = [given for name, given in events(span) if name == "retry"]
    assert first == {"error.type": "backend_busy", "penstock.attempt": 1}
    assert second == {
        "error.type": "backend_failed",
        "penstock.attempt": 2,
        "penstock.reason": "ConnectionResetError",
    }
    assert ("continued", {"penstock.answer.length": 6}) in events(span)
    assert span.status.is_unset
    assert "canary" not in span.to_json()


async def test_an_answer_that_was_begun_elsewhere_is_continued_from_what_is_visible(
    spans: InMemorySpanExporter,
) -> None:
    earlier = [GenerationStarted(model="m", passages=()), TextGenerated(start=0, text="A bird", tokens=2)]
    span, _ = await tell(spans, [Token("!"), End("stop", 1)], earlier=earlier)
    assert events(span)[0] == ("continued", {"penstock.answer.length": 6})
    assert told(span)["gen_ai.usage.output_tokens"] == 3


@pytest.mark.parametrize(
    ("script", "sampling", "code"),
    [
        ([BackendRefused("a canary sings")], None, "backend_refused"),
        (
            [Token("A bird"), BackendFailed("a canary sings")],
            Sampling(max_tokens=9, seed=1, temperature=1),
            "answer_interrupted",
        ),
    ],
)
async def test_a_failure_is_told_by_its_code(
    spans: InMemorySpanExporter, script: Script, sampling: Sampling | None, code: str
) -> None:
    span, _ = await tell(spans, script, sampling=sampling)
    assert told(span)["error.type"] == code
    assert span.status.status_code is StatusCode.ERROR
    assert "canary" not in span.to_json()


async def test_an_answer_that_is_handed_over_is_no_failure(spans: InMemorySpanExporter) -> None:
    span, _ = await tell(spans, [Token("A bird"), 60.0], handover_s=0.05)
    assert told(span)["penstock.reason"] == "handed_over"
    assert span.status.is_unset


async def test_text_is_told_only_where_a_setting_says_so(spans: InMemorySpanExporter) -> None:
    script: Script = [Token("A"), Token(" robin"), End("stop", 2)]
    silent, _ = await tell(spans, script)
    assert "canary" not in silent.to_json()
    assert "robin" not in silent.to_json()
    spans.clear()
    open_span, _ = await tell(spans, script, content=True)
    [asked] = json.loads(told(open_span)["gen_ai.input.messages"])
    [answered] = json.loads(told(open_span)["gen_ai.output.messages"])
    assert asked["role"] == "user"
    assert asked["parts"][0]["type"] == "text"
    assert asked["parts"][0]["content"].startswith("<user>a canary: ")
    assert answered == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "A robin"}],
        "finish_reason": "stop",
    }


async def test_an_answer_that_the_loop_guard_has_ended_says_so(spans: InMemorySpanExporter) -> None:
    span, _ = await tell(spans, [*[Token(" a dam.")] * 60, End("length", 60)])
    assert told(span)["penstock.answer.looped"] is True
    assert told(span)["gen_ai.response.finish_reasons"] == ("stop",)
