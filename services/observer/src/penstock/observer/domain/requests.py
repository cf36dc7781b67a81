"""What is known of a request from the records it has left in the log, in whatever order they are seen."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

from penstock.messages import ids
from penstock.messages.chat import (
    AnswerCompleted,
    AnswerText,
    ChatRequested,
    ChatRetrieved,
    ChatTokenized,
    GenerationFinished,
    GenerationStarted,
    RequestCancelled,
    RequestFailed,
    Usage,
)
from penstock.messages.envelope import Envelope
from penstock.messages.topics import CHAT_RESPONSES

State = Literal["running", "completed", "failed", "cancelled"]
Stage = Literal["tokenization", "retrieval", "generation", "postprocessing", "done"]
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
STATES: tuple[State, ...] = get_args(State)
STAGES: tuple[Stage, ...] = get_args(Stage)


class Failure(msgspec.Struct, frozen=True):
    """Why a request failed, as its client was told."""

    code: str
    message: str


@dataclass(slots=True)
class Request:
    """One request, as far as it is known. Times in Unix milliseconds; `api_key` is the key's beginning."""

    id: str
    tenant: str
    created_ms: int
    model: str = ""
    api_key: str = ""
    state: State = "running"
    stage: Stage = "tokenization"
    first_text_ms: int | None = None
    ended_ms: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    passages: int | None = None
    epoch: int = 0
    error: Failure | None = None
    trace_id: str | None = None

    def at_least(self, stage: Stage) -> None:
        """Note that the request has come to a stage; a record that is seen late moves it back no more."""
        if STAGES.index(stage) > STAGES.index(self.stage):
            self.stage = stage

    def used(self, usage: Usage) -> None:
        """Note what the model has read and written."""
        self.prompt_tokens, self.completion_tokens = usage.prompt_tokens, usage.completion_tokens

    def end(self, state: State, time_ms: int) -> bool:
        """Note the end; the first one counts. Return whether this was it."""
        if self.ended_ms is not None:
            return False
        self.state, self.stage, self.ended_ms = state, "done", time_ms
        return True


def begun(request_id: str, tenant: str) -> Request | None:
    """Return a request of which only the id is known, or None if it is no id of ours."""
    try:
        return Request(request_id, tenant, ids.created_ms(request_id))
    except ValueError:
        return None


# Of each event only what is looked at is decoded: prompts, passages and answers never become Python objects.


class _Asked(msgspec.Struct):
    model: str
    api_key: str = ""


class _Tokenized(msgspec.Struct):
    model: str
    prompt_tokens: int


class _Retrieved(msgspec.Struct):
    model: str
    prompt_tokens: int
    passages: tuple[msgspec.Raw, ...] = ()


class _Started(msgspec.Struct):
    model: str
    passages: tuple[msgspec.Raw, ...] = ()


class _Ended(msgspec.Struct):
    usage: Usage


class _Failed(msgspec.Struct):
    code: str
    message: str


def note(request: Request, topic: str, envelope: Envelope, body: bytes | None, time_ms: int) -> None:
    """Take note of one record of the request, stamped `time_ms`. What is unreadable is ignored."""
    request.trace_id = request.trace_id or _sampled(envelope.traceparent)
    request.epoch = max(request.epoch, envelope.epoch)
    if envelope.type == AnswerText.TYPE:
        request.first_text_ms = min(time_ms, request.first_text_ms or time_ms)
        request.at_least("generation")
        return
    try:
        if topic == CHAT_RESPONSES.name:
            _note_answer(request, envelope.type, body or b"", time_ms)
        else:
            _note_work(request, envelope.type, body or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return


def _sampled(traceparent: str) -> str | None:
    """Return the trace id of a `traceparent` header (W3C Trace Context), if that trace is recorded."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found is not None and int(found[2], 16) & 1 else None


def _note_work(request: Request, event_type: str, body: bytes) -> None:
    if event_type == ChatRequested.TYPE:
        asked = msgspec.json.decode(body, type=_Asked)
        request.model, request.api_key = asked.model, asked.api_key
    elif event_type == ChatTokenized.TYPE:
        tokenized = msgspec.json.decode(body, type=_Tokenized)
        request.model, request.prompt_tokens = (
            tokenized.model,
            request.prompt_tokens or tokenized.prompt_tokens,
        )
        request.at_least("retrieval")
    elif event_type == ChatRetrieved.TYPE:
        retrieved = msgspec.json.decode(body, type=_Retrieved)
        request.model, request.passages = retrieved.model, len(retrieved.passages)
        request.prompt_tokens = request.prompt_tokens or retrieved.prompt_tokens
        request.at_least("generation")
    elif event_type == GenerationStarted.TYPE:
        started = msgspec.json.decode(body, type=_Started)
        request.model, request.passages = started.model, len(started.passages)
        request.at_least("generation")
    elif event_type in (GenerationFinished.TYPE, RequestFailed.TYPE, RequestCancelled.TYPE):
        request.at_least("postprocessing")


def _note_answer(request: Request, event_type: str, body: bytes, time_ms: int) -> None:
    if event_type == AnswerCompleted.TYPE:
        usage = msgspec.json.decode(body, type=_Ended).usage
        if request.end("completed", time_ms):
            request.used(usage)
    elif event_type == RequestCancelled.TYPE:
        usage = msgspec.json.decode(body, type=_Ended).usage
        if request.end("cancelled", time_ms):
            request.used(usage)
    elif event_type == RequestFailed.TYPE:
        failed = msgspec.json.decode(body, type=_Failed)
        if request.end("failed", time_ms):
            request.error = Failure(failed.code, failed.message)
