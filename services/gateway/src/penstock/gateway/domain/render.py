"""Answers in OpenAI's dialect: one JSON object, or the events of a stream (SSE, WHATWG HTML section 9.2).

Every event of a stream has an id, a number that only the answer decides, so that it is the same on every
gateway, at every pace: 0 opens the answer; an event of text has the number of characters up to its end; and
after L characters L+1 is the end (finish reason, or error), L+2 the usage, L+3 `[DONE]`.
"""

import msgspec

from penstock.gateway.domain import wire
from penstock.gateway.domain.answer import Answer
from penstock.gateway.domain.errors import ApiError
from penstock.messages import ids
from penstock.messages.chat import AnswerCompleted, Grounding, Usage

KEEP_ALIVE = b": keep-alive\n"
"""A comment with no blank line after it: OpenAI's Python package would make an event without data of that."""

_encode = msgspec.json.Encoder().encode
_MARK = "\x00text\x00"


def status(request_id: str, model: str, answer: Answer) -> bytes:
    """Return the body that says how far a request is."""
    return _encode(
        wire.ChatCompletionStatus(
            id=ids.shown_id(request_id),
            created=ids.created_ms(request_id) // 1000,
            model=model,
            status=_state(answer),
            length=answer.length,
        )
    )


def _state(answer: Answer) -> wire.State:
    match answer.end:
        case None:
            return "in_progress" if answer.started else "queued"
        case ApiError(code="request_cancelled"):
            return "cancelled"
        case ApiError():
            return "failed" if answer.final else "in_progress"
    return "completed"


def completion(request_id: str, model: str, text: str, end: AnswerCompleted) -> bytes:
    """Return the body of an answer in one piece."""
    message = wire.ResponseMessage(content=text, citations=_citations(end), grounding=end.grounding)
    return _encode(
        wire.ChatCompletion(
            id=ids.shown_id(request_id),
            created=ids.created_ms(request_id) // 1000,
            model=model,
            choices=(wire.Choice(message=message, finish_reason=end.finish_reason),),
            usage=_usage(end.usage),
        )
    )


def error(problem: ApiError) -> bytes:
    """Return the body of an error."""
    return _encode(
        wire.ErrorResponse(
            error=wire.Error(
                message=problem.message, type=problem.type, param=problem.param, code=problem.code
            )
        )
    )


def error_event(problem: ApiError, number: int | None) -> bytes:
    """Return the last event of a stream that fails; without a number, a resumed stream goes on before it."""
    event = _event(error(problem))
    return event if number is None else b"id: %d\n%b" % (number, event)


class Chunks:
    """The events of one stream.

    The event of a piece of text is rendered once with a mark in the place of the text, so that each further
    one costs only the encoding of its text.
    """

    def __init__(self, request_id: str, model: str, include_usage: bool) -> None:
        self._id = ids.shown_id(request_id)
        self._created = ids.created_ms(request_id) // 1000
        self._model = model
        self._include_usage = include_usage
        marked = self._chunk(wire.ChunkChoice(delta=wire.Delta(content=_MARK)))
        self._before, self._after = marked.split(_encode(_MARK))

    def first(self) -> bytes:
        """Return the event that opens the answer."""
        return b"id: 0\n" + self._chunk(wire.ChunkChoice(delta=wire.Delta(role="assistant", content="")))

    def text(self, piece: str, end: int) -> bytes:
        """Return the event of a piece of text that ends after `end` characters of the answer."""
        return b"id: %d\n%b%b%b" % (end, self._before, _encode(piece), self._after)

    def end(self, end: AnswerCompleted, after: int = -1) -> bytes:
        """Return the events that close a complete answer, up to `[DONE]`, but for those up to `after`."""
        last = wire.ChunkChoice(delta=wire.Delta(), finish_reason=end.finish_reason)
        closing = [self._render((last,), _citations(end), end.grounding), b"", b"data: [DONE]\n\n"]
        if self._include_usage:
            closing[1] = self._render((), usage=_usage(end.usage))
        return b"".join(
            b"id: %d\n%b" % (number, event)
            for number, event in enumerate(closing, end.length + 1)
            if event and number > after
        )

    def _chunk(self, choice: wire.ChunkChoice) -> bytes:
        return self._render((choice,))

    def _render(
        self,
        choices: tuple[wire.ChunkChoice, ...],
        citations: tuple[wire.Citation, ...] | msgspec.UnsetType = msgspec.UNSET,
        grounding: Grounding | msgspec.UnsetType | None = msgspec.UNSET,
        usage: wire.CompletionUsage | None = None,
    ) -> bytes:
        return _event(
            _encode(
                wire.ChatCompletionChunk(
                    id=self._id,
                    created=self._created,
                    model=self._model,
                    choices=choices,
                    citations=citations,
                    grounding=grounding,
                    usage=usage if self._include_usage else msgspec.UNSET,
                )
            )
        )


class Transcript:
    """What one stream has still to say of an answer, from its own place in it: after event `after` (-1: all).

    At most `piece` characters go into one event, so that a client far behind needs little memory at a time.
    """

    def __init__(self, answer: Answer, chunks: Chunks, after: int = -1, piece: int = 1 << 14) -> None:
        self.closed = False
        self._answer = answer
        self._chunks = chunks
        self._after = after
        self._piece = piece
        self._opened = after >= 0
        self._shown = max(after, 0)

    @property
    def last(self) -> int | None:
        """The id of the answer's last event, once it is known."""
        if not self._answer.final:
            return None
        return self._answer.length + (1 if isinstance(self._answer.end, ApiError) else 3)

    @property
    def has_text(self) -> bool:
        """Whether there is text to show."""
        return self._shown < self._answer.length

    @property
    def can_begin(self) -> bool:
        """Whether it is known what the stream begins with: text, or the answer's end."""
        answer = self._answer
        return answer.end is not None or (answer.started and answer.length >= self._shown)

    def due(self) -> bytes:
        """Return the events that can be sent now, and count them as sent; empty: wait for news."""
        if self.closed:
            return b""
        answer, due = self._answer, b""
        if answer.started and not self._opened:
            self._opened = True
            due = self._chunks.first()
        if self._shown < answer.length:
            text = answer.text_from(self._shown, self._piece)
            self._shown += len(text)
            due += self._chunks.text(text, self._shown)
        if answer.end is not None and self._shown >= answer.length:
            self.closed = True
            due += self._closing(answer.end)
        return due

    def _closing(self, end: AnswerCompleted | ApiError) -> bytes:
        if isinstance(end, AnswerCompleted):
            return self._chunks.end(end, self._after)
        number = self._answer.length + 1 if self._answer.final else None
        return b"" if number is not None and number <= self._after else error_event(end, number)


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _citations(end: AnswerCompleted) -> tuple[wire.Citation, ...]:
    return tuple(
        wire.Citation(
            index=cited.index,
            document_id=cited.document_id,
            title=cited.title,
            start=cited.start,
            end=cited.end,
            quote=cited.quote,
            file_id=cited.file_id or None,
            filename=cited.file_name or None,
            page=cited.page,
            headings=cited.headings,
        )
        for cited in end.citations
    )


def _usage(usage: Usage) -> wire.CompletionUsage:
    return wire.CompletionUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )
