"""The bodies the stub reads and writes: Text Generation Inference 3.3 and Text Embeddings Inference 1.9."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Milliseconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Behaviour(msgspec.Struct, kw_only=True, frozen=True):
    """How the stub answers; `PUT /stub/behaviour` changes what is named, for requests from then on."""

    first_ms: Milliseconds = 0.0
    """From a request to its first token."""
    inter_ms: Milliseconds = 0.0
    """From a token to the next."""
    tokens: Count = 256
    """Longest answer: it ends by itself there, if `max_new_tokens` does not end it before."""
    slots: Count = 128
    """Answers at once; one more is refused with 429."""
    vary: bool = False
    """Each further request for a scripted answer goes on differently (`e2e.stub.scripted.varied`)."""


class Faults(msgspec.Struct, kw_only=True, frozen=True):
    """What goes wrong with streams; `POST /faults` replaces it, `{}` ends it.

    It befalls each answer once (by script, else by prompt), so that its continuation can succeed.
    """

    cut_at: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """The connection breaks after so many tokens."""
    stall_at: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """After so many tokens nothing comes any more, until the client goes."""
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    """Of the answers, how many it befalls."""


class Running(msgspec.Struct):
    """One answer under way: the name of its script ("" without one), and for how many seconds."""

    script: str
    seconds: float


class Parameters(msgspec.Struct):
    """What of TGI's `GenerateParameters` changes the stub's answer; all others are accepted and ignored.

    So is sampling: the text is a function of the prompt. Stop sequences end scripted answers.
    """

    max_new_tokens: Count | None = None
    details: bool = False
    return_full_text: bool | None = None
    stop: list[str] | None = None


class GenerateRequest(msgspec.Struct):
    """`GenerateRequest`, and `CompatGenerateRequest` with its `stream`."""

    inputs: str
    parameters: Parameters | None = None
    stream: bool = False


class Token(msgspec.Struct):
    """`Token`."""

    id: int
    text: str
    logprob: float = -0.5
    special: bool = False


class StreamDetails(msgspec.Struct):
    """`StreamDetails`."""

    finish_reason: Literal["length", "eos_token", "stop_sequence"]
    generated_tokens: int
    seed: int | None
    input_length: int


class StreamResponse(msgspec.Struct):
    """`StreamResponse`: one event of /generate_stream, `index` from 1."""

    index: int
    token: Token
    generated_text: str | None = None
    details: StreamDetails | None = None


class Details(msgspec.Struct):
    """`Details`."""

    finish_reason: Literal["length", "eos_token", "stop_sequence"]
    generated_tokens: int
    seed: int | None
    tokens: list[Token]
    prefill: list[Any] = []


class GenerateResponse(msgspec.Struct, omit_defaults=True):
    """`GenerateResponse`."""

    generated_text: str
    details: Details | None = None


class ChatMessage(msgspec.Struct):
    """A message of `ChatRequest`; text only."""

    role: str
    content: str


class ChatRequest(msgspec.Struct):
    """What of `ChatRequest` the chat template reads."""

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]


class SimpleToken(msgspec.Struct):
    """`SimpleToken`; start and stop are characters."""

    id: int
    text: str
    start: int
    stop: int


class ChatTokenizeResponse(msgspec.Struct):
    """`ChatTokenizeResponse`."""

    tokenize_response: list[SimpleToken]
    templated_text: str


class EmbedRequest(msgspec.Struct):
    """`EmbedRequest`; a text is never too long."""

    inputs: str | list[str]


class Stats(msgspec.Struct):
    """`GET /stub/stats`: what has happened since the start, and what runs now."""

    running: int = 0
    requests: int = 0
    """Answers begun."""
    refused: int = 0
    """Answered 429."""
    abandoned: int = 0
    """Answers whose client went before their end."""
    tokens: int = 0
    prompt_characters: int = 0
    """Of all prompts together."""
    embedded: int = 0
    """Texts embedded."""
    broken: int = 0
    """Streams that were cut or stalled on purpose."""
    strayed: int = 0
    """Scripted answers to be continued from a text that is not theirs."""
