"""OpenAI's chat dialect on the wire: bodies of requests and responses.

Field names, types and limits are those of OpenAI's published OpenAPI document. Penstock's own extensions are
`answers`, `fallback` and `background` in requests, and `citations` and `grounding` in responses, which
OpenAI's clients ignore; `vector_store_ids`, `filters` and the tool `file_search` are in its Responses API
only.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from penstock.messages.chat import AnswersFrom, FinishReason, Grounding
from penstock.messages.search import Filter

INT64 = 2**63
Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Refused = Annotated[Any, Meta(description="Not supported: refused with 400 unless it asks for the default.")]
Ignored = Annotated[Any, Meta(description="Accepted and ignored: it does not change the answer.")]


class ContentPart(Struct):
    """A piece of a message; only `text` is supported."""

    type: str
    text: str | None = None


class RequestMessage(Struct):
    """One turn. `developer` counts as `system`; `name` is ignored; tool calls are refused."""

    role: Annotated[str, Meta(description="system, developer, user or assistant")]
    content: str | list[ContentPart] | None = None
    tool_calls: Refused = None
    function_call: Refused = None
    audio: Refused = None


class StreamOptions(Struct):
    """What a stream carries besides text."""

    include_usage: bool | None = None
    include_obfuscation: Ignored = None


StoreIds = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=256)]],
    Meta(max_length=16, description="Vector stores to search; none: the tenant's default store."),
]


class RankingOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """How passages are chosen. There is one ranker, whatever its name; below the threshold none is taken."""

    ranker: Literal["auto", "none", "default-2024-11-15"] | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None


class FileSearchTool(Struct, kw_only=True, forbid_unknown_fields=True):
    """OpenAI's file search: where passages for the answer are looked for, always and once."""

    type: Literal["file_search"]
    vector_store_ids: StoreIds | None = None
    filters: Filter | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    ranking_options: RankingOptions | None = None


_ONE_TOOL = {
    "type": ["array", "null"],
    "maxItems": 1,
    "items": {"$ref": "#/components/schemas/FileSearchTool"},
}


class ChatCompletionRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /v1/chat/completions."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[RequestMessage], Meta(min_length=1)]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Meta(ge=-INT64, le=INT64 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: (
        Annotated[bool, Meta(description="Penstock's own: go on even if no client stays connected.")] | None
    ) = None
    answers: (
        Annotated[
            AnswersFrom,
            Meta(
                description="Penstock's own. `documents`: where no passage helps, the answer says so and no"
                " model is asked; `model`: the model answers in any case; `quote`: the passages' best"
                " sentences are the answer, without a model. Default: what the stores say, else the tenant's"
                " default store, else PENSTOCK_ANSWERS."
            ),
        ]
        | None
    ) = None
    fallback: (
        Annotated[
            Literal["quote"],
            Meta(description="Penstock's own: quote the passages while no model server is available."),
        ]
        | None
    ) = None

    vector_store_ids: StoreIds | None = None
    filters: Filter | None = None
    tools: Annotated[Any, Meta(description="`file_search`, no other.", extra_json_schema=_ONE_TOOL)] = None
    tool_choice: Annotated[
        Any, Meta(description="auto, or none; with a tool auto, required or {type: file_search}.")
    ] = None

    audio: Refused = None
    function_call: Refused = None
    functions: Refused = None
    logit_bias: Refused = None
    logprobs: Refused = None
    modalities: Refused = None
    moderation: Refused = None
    n: Refused = None
    presence_penalty: Refused = None
    reasoning_effort: Refused = None
    response_format: Refused = None
    store: Refused = None
    top_logprobs: Refused = None
    verbosity: Refused = None
    web_search_options: Refused = None

    metadata: Ignored = None
    parallel_tool_calls: Ignored = None
    prediction: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_options: Ignored = None
    prompt_cache_retention: Ignored = None
    safety_identifier: Ignored = None
    service_tier: Ignored = None
    user: Ignored = None


class CompletionUsage(Struct, kw_only=True):
    """Tokens the model read and wrote."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Citation(Struct, kw_only=True):
    """A passage that supports the answer, whose text names it by `[index]`.

    `start` and `end` are characters in the document, `quote` is what stands there. `page` counts from 1 where
    there are pages, `headings` stand above the passage, outermost first. A document without a file has none.
    """

    index: int
    document_id: str
    title: str
    start: int
    end: int
    quote: str
    file_id: str | None
    filename: str | None
    page: int | None
    headings: tuple[str, ...]


class ResponseMessage(Struct, kw_only=True):
    """The answer. `citations` are the passages that support it, empty when there are none.

    `grounding` says how it stands to the passages: `supported` or `unsupported` by them, `quoted` from them,
    or `not_found` in them; null where there were none.
    """

    content: str
    citations: tuple[Citation, ...]
    grounding: Grounding | None
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class Choice(Struct, kw_only=True):
    """The one answer."""

    message: ResponseMessage
    finish_reason: FinishReason
    index: Literal[0] = 0
    logprobs: None = None


class ChatCompletion(Struct, kw_only=True):
    """An answer in one piece. `created` is in Unix seconds."""

    id: str
    created: int
    model: str
    choices: tuple[Choice]
    usage: CompletionUsage
    object: Literal["chat.completion"] = "chat.completion"


class Delta(Struct, kw_only=True, omit_defaults=True):
    """What an event adds to the answer."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True):
    """The one answer; `finish_reason` is set in its last event."""

    delta: Delta
    finish_reason: FinishReason | None = None
    index: Literal[0] = 0
    logprobs: None = None


class ChatCompletionChunk(Struct, kw_only=True):
    """One event of a stream.

    `usage` is there only with `stream_options.include_usage`: null, but for a last event without choices.
    `citations` and `grounding` stand in the event with the finish reason.
    """

    id: str
    created: int
    model: str
    choices: Annotated[tuple[ChunkChoice, ...], Meta(max_length=1)]
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    citations: tuple[Citation, ...] | UnsetType = UNSET
    grounding: Grounding | UnsetType | None = UNSET
    usage: CompletionUsage | UnsetType | None = UNSET


State = Literal["queued", "in_progress", "completed", "failed", "cancelled"]


class ChatCompletionStatus(Struct, kw_only=True):
    """How far a request is, Penstock's own. `length` counts the characters of its answer so far."""

    id: str
    created: int
    model: str
    status: State
    length: int
    object: Literal["chat.completion.status"] = "chat.completion.status"


class Model(Struct, kw_only=True):
    """A model that a backend serves. `created` is when this gateway first saw it, in Unix seconds."""

    id: str
    created: int
    object: Literal["model"] = "model"
    owned_by: str = "penstock"


class ModelList(Struct, kw_only=True):
    """Body of GET /v1/models."""

    data: list[Model]
    object: Literal["list"] = "list"


class Error(Struct, kw_only=True):
    """What went wrong, and what to do. `param` names the part of the request at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(Struct, kw_only=True):
    """Body of every answer with a status of 400 or more, and last event of a stream that fails."""

    error: Error
