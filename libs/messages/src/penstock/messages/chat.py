"""Events of the chat line: what a request and its answer look like in each topic (ADR 0003)."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from penstock.messages.event import Event, Part
from penstock.messages.search import Name, Search

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length"]
CancelReason = Literal["requested", "disconnected"]
AnswersFrom = Literal["documents", "model", "quote"]
"""What an answer may rest on.

`documents`: where no passage helps, no model is asked, and the answer says that the documents do not hold it.
`model`: the model answers, with passages or without. `quote`: no model is asked, the passages' best sentences
are the answer.
"""
Grounding = Literal["supported", "unsupported", "quoted", "not_found"]
"""How an answer stands to the passages.

The model wrote it and they support it, or do not; it is theirs, word for word; or none was found that helps.
"""


class Message(Part, frozen=True, kw_only=True):
    """One turn of a conversation, text only."""

    role: Role
    content: str


class Sampling(Part, frozen=True, kw_only=True):
    """How to choose tokens; None leaves the choice to the backend. Meanings as in OpenAI's API."""

    max_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    seed: Count | None = None
    stop: Annotated[tuple[str, ...], Meta(max_length=4)] = ()


class Passage(Part, frozen=True, kw_only=True):
    """A piece of a document offered to the model. `start` and `end` are characters in the document.

    `headings` are those above it, outermost first; `page` counts from 1, where there are pages.
    """

    document_id: Name
    title: str
    start: Count
    end: Count
    text: str
    tokens: Count
    file_id: str = ""
    file_name: str = ""
    headings: tuple[str, ...] = ()
    page: Positive | None = None


class Citation(Part, frozen=True, kw_only=True):
    """A passage that supports the answer.

    `index` is the number by which the answer's text names it (from 1); `start` and `end` are characters in
    the document, `quote` is the text between them. `headings` and `page` as in Passage.
    """

    index: Positive
    document_id: Name
    title: str
    start: Count
    end: Count
    quote: str
    file_id: str = ""
    file_name: str = ""
    headings: tuple[str, ...] = ()
    page: Positive | None = None


class Usage(Part, frozen=True, kw_only=True):
    """Tokens read and written by the model."""

    prompt_tokens: Count
    completion_tokens: Count


class ChatRequested(Event, frozen=True, kw_only=True):
    """chat.requests: a client's question, accepted by the gateway.

    `background` asks for the answer even if no client stays connected. `api_key` is the beginning of the key
    that was used, by which people tell their keys apart; empty where it is not known. With `may_quote` the
    passages are quoted where no model server is available.
    """

    TYPE: ClassVar[str] = "penstock.chat.requested.v1"

    model: Name
    messages: Annotated[tuple[Message, ...], Meta(min_length=1)]
    sampling: Sampling
    background: bool = False
    search: Search = Search()
    api_key: str = ""
    answers: AnswersFrom = "model"
    may_quote: bool = False


class ChatTokenized(Event, frozen=True, kw_only=True):
    """chat.tokenized: the question as the model will read it, with a gap for passages.

    The prompt is `prompt_before` + passages + `prompt_after`, already in the model's chat template;
    `prompt_tokens` counts it with an empty gap, and `passage_tokens` more fit into the gap. Where passages
    will be quoted, no model has seen the prompt, and it is empty. `answers`, `may_quote` as in ChatRequested.
    """

    TYPE: ClassVar[str] = "penstock.chat.tokenized.v1"

    model: Name
    query: str
    prompt_before: str
    prompt_after: str
    prompt_tokens: Positive
    passage_tokens: Count
    sampling: Sampling
    search: Search = Search()
    answers: AnswersFrom = "model"
    may_quote: bool = False


class ChatRetrieved(Event, frozen=True, kw_only=True):
    """chat.retrieved: the question with the passages found for it, best first.

    `query` is the question alone; `answers` and `may_quote` as in ChatRequested.
    """

    TYPE: ClassVar[str] = "penstock.chat.retrieved.v1"

    model: Name
    prompt_before: str
    prompt_after: str
    prompt_tokens: Positive
    passages: tuple[Passage, ...]
    sampling: Sampling
    query: str = ""
    answers: AnswersFrom = "model"
    may_quote: bool = False


class EpochStarted(Event, frozen=True, kw_only=True):
    """chat.generated: `instance` owns this partition from here on, under the epoch in the envelope.

    Records of older epochs that come later are to be ignored. The subject names the partition; no request
    is concerned.
    """

    TYPE: ClassVar[str] = "penstock.generation.epoch.v1"

    instance: Name


class GenerationStarted(Event, frozen=True, kw_only=True):
    """chat.generated: the answer to `query` begins; passages are numbered from 1 in this order."""

    TYPE: ClassVar[str] = "penstock.generation.started.v1"
    TRACED: ClassVar[bool] = False

    model: Name
    passages: tuple[Passage, ...]
    query: str = ""


class TextGenerated(Event, frozen=True, kw_only=True):
    """chat.generated: text of an answer from character `start` on, as the model wrote it.

    `tokens` counts the tokens of the answer up to the end of this text, so that another replica can go on
    with what is left of the budget.
    """

    TYPE: ClassVar[str] = "penstock.generation.text.v1"
    STREAMED: ClassVar[bool] = True
    TRACED: ClassVar[bool] = False

    start: Count
    text: Annotated[str, Meta(min_length=1)]
    tokens: Count = 0


class GenerationFinished(Event, frozen=True, kw_only=True):
    """chat.generated: the model has ended, after `length` characters.

    `looped` says that it only repeated itself, and was stopped for that. Where no model was asked, there is
    no text, and `grounding` says what to answer instead: the passages quoted, or that none was found.
    """

    TYPE: ClassVar[str] = "penstock.generation.finished.v1"
    TERMINAL: ClassVar[bool] = True

    length: Count
    finish_reason: FinishReason
    usage: Usage
    looped: bool = False
    grounding: Grounding | None = None


class AnswerStarted(Event, frozen=True, kw_only=True):
    """chat.responses: an answer is under way."""

    TYPE: ClassVar[str] = "penstock.answer.started.v1"
    TRACED: ClassVar[bool] = False

    model: Name


class AnswerText(Event, frozen=True, kw_only=True):
    """chat.responses: visible text of an answer from character `start` on."""

    TYPE: ClassVar[str] = "penstock.answer.text.v1"
    STREAMED: ClassVar[bool] = True
    TRACED: ClassVar[bool] = False

    start: Count
    text: Annotated[str, Meta(min_length=1)]


class AnswerCompleted(Event, frozen=True, kw_only=True):
    """chat.responses: the answer is whole, `length` characters long. Terminal.

    `looped` as in GenerationFinished. `grounding` is None where no passages were at hand.
    """

    TYPE: ClassVar[str] = "penstock.answer.completed.v1"
    TERMINAL: ClassVar[bool] = True

    length: Count
    finish_reason: FinishReason
    usage: Usage
    citations: tuple[Citation, ...]
    looped: bool = False
    grounding: Grounding | None = None


class RequestFailed(Event, frozen=True, kw_only=True):
    """chat.generated and chat.responses: there will be no (more) answer. Terminal.

    A stage before generation writes it where it writes all else. It travels down the line like the request,
    so that one place, the journal in chat.generated, decides which end of a request is the first.

    `code` is for programs, `message` for people; neither holds prompt or answer text. `status` is the HTTP
    status a gateway gives to a client that waits.
    """

    TYPE: ClassVar[str] = "penstock.request.failed.v1"
    TERMINAL: ClassVar[bool] = True

    code: Name
    message: str
    status: Annotated[int, Meta(ge=400, le=599)]
    stage: Name


class RequestCancelled(Event, frozen=True, kw_only=True):
    """chat.responses (and chat.generated): given up, after `length` characters.

    Terminal. Its client asked for that, or has gone. `usage` counts what was read and written until then.
    """

    TYPE: ClassVar[str] = "penstock.request.cancelled.v1"
    TERMINAL: ClassVar[bool] = True

    reason: CancelReason
    length: Count
    usage: Usage


class CancelRequested(Event, frozen=True, kw_only=True):
    """chat.cancellations: give the request up now."""

    TYPE: ClassVar[str] = "penstock.chat.cancel.v1"


class ClientLeft(Event, frozen=True, kw_only=True):
    """chat.cancellations: the client behind `connection` has gone before the answer's end.

    When the last one has left and none has come within `grace_ms`, the request is given up. The connection
    that made the request is called "first".
    """

    TYPE: ClassVar[str] = "penstock.client.left.v1"

    connection: Name
    grace_ms: Count


class ClientJoined(Event, frozen=True, kw_only=True):
    """chat.cancellations: a client reads the answer again, over `connection`, at whichever gateway."""

    TYPE: ClassVar[str] = "penstock.client.joined.v1"

    connection: Name


class GatewayStarted(Event, frozen=True, kw_only=True):
    """chat.cancellations: the gateway named in the subject is there, with no clients yet."""

    TYPE: ClassVar[str] = "penstock.gateway.started.v1"


class UsageRecorded(Event, frozen=True, kw_only=True):
    """usage.recorded: what one finished request cost, for the tenant in the envelope."""

    TYPE: ClassVar[str] = "penstock.usage.recorded.v1"

    request_id: Name
    model: Name
    usage: Usage


class Seen(Part, frozen=True, kw_only=True):
    """What became of one request: its answer's size and speed, without its text.

    Times are milliseconds from the request to the first text and to the end, None if there was none.
    """

    request_id: Name
    outcome: Literal["completed", "failed", "cancelled", "missing"]
    length: Count
    completion_tokens: Count
    first_text_ms: Count | None = None
    whole_ms: Count | None = None


class CitedSpan(Part, frozen=True, kw_only=True):
    """The place in a document that a citation names, in characters."""

    document_id: Name
    start: Count
    end: Count


class AnswerCompared(Event, frozen=True, kw_only=True):
    """chat.replays: a recorded request, asked again, and how its answers differ.

    `equal` means the same outcome and the same text; `first_difference` is the first character at which the
    texts differ, None if they do not. Places `added` are cited only by the answer after, those `removed` only
    by the one before.
    """

    TYPE: ClassVar[str] = "penstock.answer.compared.v1"

    model: Name
    before: Seen
    after: Seen
    equal: bool
    first_difference: Count | None = None
    added: tuple[CitedSpan, ...] = ()
    removed: tuple[CitedSpan, ...] = ()
