"""Answers in OpenAI's dialect: one JSON object, or the events of a stream (SSE, WHATWG HTML section 9.2)."""

import msgspec

from penstock.gateway.domain import wire
from penstock.gateway.domain.answer import Answer
from penstock.gateway.domain.errors import ApiError
from penstock.messages import ids
from penstock.messages.chat import AnswerCompleted, Citation, Usage

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"

_encode = msgspec.json.Encoder().encode
_MARK = "\x00text\x00"


def completion_id(request_id: str) -> str:
    """Return the id that clients see."""
    return f"chatcmpl-{request_id}"


def completion(request_id: str, model: str, text: str, end: AnswerCompleted) -> bytes:
    """Return the body of an answer in one piece."""
    message = wire.ResponseMessage(content=text, citations=end.citations)
    return _encode(
        wire.ChatCompletion(
            id=completion_id(request_id),
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


def error_event(problem: ApiError) -> bytes:
    """Return the last event of a stream that fails."""
    return _event(error(problem))


class Chunks:
    """The events of one stream.

    The event of a piece of text is rendered once with a mark in the place of the text, so that each further
    one costs only the encoding of its text.
    """

    def __init__(self, request_id: str, model: str, include_usage: bool) -> None:
        self._id = completion_id(request_id)
        self._created = ids.created_ms(request_id) // 1000
        self._model = model
        self._include_usage = include_usage
        marked = self._chunk(wire.ChunkChoice(delta=wire.Delta(content=_MARK)))
        self._before, self._after = marked.split(_encode(_MARK))

    def first(self) -> bytes:
        """Return the event that opens the answer."""
        return self._chunk(wire.ChunkChoice(delta=wire.Delta(role="assistant", content="")))

    def text(self, piece: str) -> bytes:
        """Return the event of a piece of text."""
        return self._before + _encode(piece) + self._after

    def end(self, end: AnswerCompleted) -> bytes:
        """Return the events that close a complete answer, up to `[DONE]`."""
        last = wire.ChunkChoice(delta=wire.Delta(), finish_reason=end.finish_reason)
        closing = self._render((last,), citations=end.citations)
        if self._include_usage:
            closing += self._render((), usage=_usage(end.usage))
        return closing + DONE

    def _chunk(self, choice: wire.ChunkChoice) -> bytes:
        return self._render((choice,))

    def _render(
        self,
        choices: tuple[wire.ChunkChoice, ...],
        citations: tuple[Citation, ...] | msgspec.UnsetType = msgspec.UNSET,
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
                    usage=usage if self._include_usage else msgspec.UNSET,
                )
            )
        )


class Transcript:
    """What one stream has still to say of an answer, from its own place in it.

    At most `piece` characters go into one event, so that a client far behind needs little memory at a time.
    """

    def __init__(self, answer: Answer, chunks: Chunks, piece: int = 1 << 14) -> None:
        self.closed = False
        self._answer = answer
        self._chunks = chunks
        self._piece = piece
        self._opened = False
        self._shown = 0

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
            due += self._chunks.text(text)
        if answer.end is not None and self._shown == answer.length:
            self.closed = True
            if isinstance(answer.end, ApiError):
                due += error_event(answer.end)
            else:
                due += self._chunks.end(answer.end)
        return due


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _usage(usage: Usage) -> wire.CompletionUsage:
    return wire.CompletionUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )
