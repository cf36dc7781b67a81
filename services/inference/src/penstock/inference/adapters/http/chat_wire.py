"""The bodies of /v1/chat/completions, as TGI's OpenAPI 3.3 has them."""

from typing import Any

import msgspec


class Chunk(msgspec.Struct):
    """One part of a message's content."""

    type: str
    text: str | None = None


class Message(msgspec.Struct):
    """One message of the conversation."""

    role: str
    content: str | list[Chunk] | None = None
    tool_calls: list[Any] | None = None


class StreamOptions(msgspec.Struct):
    """`StreamOptions`."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """`ChatRequest`, and OpenAI's `max_completion_tokens`."""

    messages: list[Message]
    model: str | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Any = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    response_format: Any = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None


class Usage(msgspec.Struct):
    """`Usage`."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Logprob(msgspec.Struct):
    """`ChatCompletionLogprob`."""

    token: str
    logprob: float
    top_logprobs: list[Any]


class Logprobs(msgspec.Struct):
    """`ChatCompletionLogprobs`."""

    content: list[Logprob]


class TextMessage(msgspec.Struct):
    """`TextMessage`, as an answer and as a delta."""

    content: str
    role: str = "assistant"


class ChunkChoice(msgspec.Struct):
    """`ChatCompletionChoice`."""

    index: int
    delta: TextMessage
    logprobs: Logprobs | None
    finish_reason: str | None


class ChatChunk(msgspec.Struct):
    """`ChatCompletionChunk`."""

    object: str
    id: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class CompleteChoice(msgspec.Struct):
    """`ChatCompletionComplete`."""

    index: int
    message: TextMessage
    logprobs: Logprobs | None
    finish_reason: str


class ChatCompletion(msgspec.Struct):
    """`ChatCompletion`."""

    object: str
    id: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompleteChoice]
    usage: Usage


class ModelInfo(msgspec.Struct):
    """`ModelInfo`."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelList(msgspec.Struct):
    """OpenAI's list of models."""

    object: str
    data: list[ModelInfo]
