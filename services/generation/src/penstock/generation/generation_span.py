"""What a trace tells of one answer: its model call, from the wait for a slot to the last token."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from penstock.generation.calls import prompt_tokens, server_of
from penstock.generation.ports import BackendBusy
from penstock.messages.chat import ChatRetrieved
from penstock.telemetry import names
from penstock.telemetry.spans import fail, tracer_of

SCOPE = "penstock.generation"
MAX_CHARS = 16_384
"""Of a prompt or an answer, where they are told at all."""


class GenerationSpan:
    """The CLIENT span `chat MODEL` over all attempts at one answer, by OpenTelemetry's conventions for GenAI.

    Of the text it tells nothing unless `content` is set.
    """

    def __init__(self, request: ChatRetrieved, *, content: bool = False) -> None:
        self.span: Span = tracer_of(SCOPE).start_span(
            f"chat {request.model}", kind=SpanKind.CLIENT, attributes=_asked(request)
        )
        self.has_token = False
        self._prompt_tokens = prompt_tokens(request)
        self._content = content and self.span.is_recording()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Have what is asked of backends within the block belong to this span."""
        with trace.use_span(self.span, record_exception=False, set_status_on_exception=False):
            yield

    def continues(self, length: int) -> None:
        """An attempt goes on from text of so many characters."""
        self.span.add_event(names.EVENT_CONTINUED, {names.PENSTOCK_LENGTH: length})

    def has_slot(self, url: str, prompt: str) -> None:
        """A backend has a place for the prompt."""
        if self._content:
            self.span.set_attribute(names.GEN_AI_INPUT_MESSAGES, _messages("user", prompt))
        self.span.add_event(names.EVENT_SLOT, server_of(url))

    def first_token(self) -> None:
        """The first token of this process's has come."""
        self.has_token = True
        self.span.add_event(names.EVENT_FIRST_TOKEN)

    def retries(self, error: BaseException, attempt: int) -> None:
        """An attempt has failed, and another follows. The error's own text may be the backend's."""
        told: dict[str, str | int] = {
            names.ERROR_TYPE: "backend_busy" if isinstance(error, BackendBusy) else "backend_failed",
            names.PENSTOCK_ATTEMPT: attempt,
        }
        if error.__cause__ is not None:
            told[names.PENSTOCK_REASON] = type(error.__cause__).__name__
        self.span.add_event(names.EVENT_RETRY, told)

    def ends(self, reason: str, tokens: int, text: str, *, looped: bool) -> None:
        """The answer is complete; `tokens` and `text` are all of it, whoever wrote it."""
        self.span.add_event(names.EVENT_LAST_TOKEN)
        if looped:
            self.span.set_attribute(names.PENSTOCK_LOOPED, True)
        self.span.set_attributes(
            {
                names.GEN_AI_FINISH_REASONS: [reason],
                names.GEN_AI_INPUT_TOKENS: self._prompt_tokens,
                names.GEN_AI_OUTPUT_TOKENS: tokens,
            }
        )
        if self._content:
            self.span.set_attribute(names.GEN_AI_OUTPUT_MESSAGES, _messages("assistant", text, reason))

    def gives_up(self, reason: str) -> None:
        """The answer is left as it is, which is no failure: it is cancelled, or handed over."""
        self.span.set_attribute(names.PENSTOCK_REASON, reason)

    def fails(self, code: str) -> None:
        """There will be no answer, or no more of it."""
        fail(self.span, code)


def _asked(request: ChatRetrieved) -> dict[str, str | int | float]:
    sampling = request.sampling
    given = {
        names.GEN_AI_OPERATION: "chat",
        names.GEN_AI_PROVIDER: "tgi",  # none of the well-known ones: the dialect that backends speak
        names.GEN_AI_REQUEST_MODEL: request.model,
        names.GEN_AI_MAX_TOKENS: sampling.max_tokens,
        names.GEN_AI_TEMPERATURE: sampling.temperature,
        names.GEN_AI_TOP_P: sampling.top_p,
        names.GEN_AI_FREQUENCY_PENALTY: sampling.frequency_penalty,
        names.GEN_AI_SEED: sampling.seed,
    }
    return {name: value for name, value in given.items() if value is not None}


def _messages(role: str, text: str, reason: str = "") -> str:
    """Return one message in the form of the conventions, as JSON."""
    message: dict[str, object] = {"role": role, "parts": [{"type": "text", "content": text[:MAX_CHARS]}]}
    return json.dumps([{**message, "finish_reason": reason} if reason else message])
