"""Generation: a prompt with its passages becomes a stream of text in the log."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from penstock.generation.answer import Answer, Interrupted
from penstock.generation.calls import prompt_tokens
from penstock.generation.domain.earlier import Earlier, recall
from penstock.generation.domain.gather import gather
from penstock.generation.domain.policy import without_model
from penstock.generation.generation_span import GenerationSpan
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendFailed, BackendRefused, Cancellations
from penstock.generation.stream_timeout import StreamTimeouts
from penstock.messages.chat import (
    CancelReason,
    ChatRetrieved,
    GenerationFinished,
    GenerationStarted,
    Grounding,
    RequestCancelled,
    RequestFailed,
    TextGenerated,
    Usage,
)
from penstock.messages.event import Event
from penstock.messages.reading import Gap
from penstock.messages.topics import CHAT_GENERATED
from penstock.streaming.errors import PermanentError
from penstock.streaming.stage import Outgoing, Received


class Generation:
    """Handles ChatRetrieved. Traces have its text only with `trace_content`."""

    def __init__(
        self,
        pool: Pool,
        cancellations: Cancellations,
        timeouts: StreamTimeouts,
        *,
        trace_content: bool = False,
    ) -> None:
        self._pool = pool
        self._cancellations = cancellations
        self._timeouts = timeouts
        self._trace_content = trace_content
        self.loops: Counter[str] = Counter()
        """By model, how many answers the loop guard has ended."""

    def needs_no_slot(self, received: Received[Event]) -> bool:
        """Return whether a request that waits is answered without a backend."""
        if self._cancellations.is_given_up(received.envelope.subject):
            return True
        request = received.event
        return (
            isinstance(request, ChatRetrieved)
            and without_model(request, reachable=self._pool.is_reachable) is not None
        )

    async def handle(
        self, received: Received[Event], earlier: Sequence[Event], handover: asyncio.Event
    ) -> AsyncGenerator[Outgoing, None]:
        """Yield GenerationStarted, the text, and GenerationFinished, RequestFailed or RequestCancelled.

        What `earlier` holds of them is not repeated: the text goes on where it ends. When `handover` is set,
        the text so far is yielded at once, and no end.
        """
        request = received.event
        assert isinstance(request, ChatRetrieved)  # noqa: S101  # the topic admits nothing else
        try:
            known = recall(earlier)
        except Gap:
            message = "The beginning of the answer is no longer kept. Please ask again."
            yield Outgoing(CHAT_GENERATED, _interrupted(message))
            return
        leaving = asyncio.create_task(handover.wait())
        try:
            with self._cancellations.watch(received.envelope.subject) as cancelled:
                span = GenerationSpan(request, content=self._trace_content)
                run = _Run(self._pool, self._timeouts, request, cancelled, leaving, span, self.loops)
                try:
                    async with aclosing(run.events(known)) as events:
                        async for event in events:
                            yield Outgoing(CHAT_GENERATED, event)
                finally:
                    span.span.end()
        finally:
            leaving.cancel()


class _Run:
    """One request: `cancelled` and `leaving` end it at any time."""

    def __init__(
        self,
        pool: Pool,
        timeouts: StreamTimeouts,
        request: ChatRetrieved,
        cancelled: asyncio.Future[CancelReason],
        leaving: asyncio.Task[bool],
        span: GenerationSpan,
        loops: Counter[str],
    ) -> None:
        self._pool = pool
        self._timeouts = timeouts
        self._request = request
        self._cancelled = cancelled
        self._leaving = leaving
        self._span = span
        self._loops = loops
        self._length = 0
        self._tokens = 0

    async def events(self, earlier: Earlier) -> AsyncGenerator[Event, None]:
        """Yield the events of the request that follow what the log holds."""
        self._length, self._tokens = len(earlier.text), earlier.tokens
        if self._cancelled.done():
            yield self._cancellation(asked=earlier.text != "")
            return
        if not earlier.started:
            request = self._request
            yield GenerationStarted(model=request.model, passages=request.passages, query=request.query)
        if (grounding := self._without_model()) is not None:
            yield self._finish_without_model(grounding)
            return
        answer = Answer(self._pool, self._request, earlier, self._timeouts, self._span)
        try:
            async with aclosing(self._texts(answer)) as texts:
                async for text in texts:
                    yield text
        except (Interrupted, BackendRefused, BackendFailed) as error:
            yield self._end_after(error)
        else:
            if self._cancelled.done():
                yield self._cancellation(asked=answer.asked or earlier.text != "")
            elif self._leaving.done():
                self._span.gives_up("handed_over")
            else:
                yield self._finish(answer)

    async def _texts(self, answer: Answer) -> AsyncGenerator[TextGenerated, None]:
        ends = (self._cancelled, self._leaving)
        async with aclosing(gather(answer.stream, ends)) as pieces:
            async for piece in pieces:
                text = TextGenerated(start=self._length, text=piece.text, tokens=piece.tokens)
                self._length += len(piece.text)
                self._tokens = piece.tokens
                yield text

    def _without_model(self) -> Grounding | None:
        """Return how to answer without a model, if that is to be; never after text of a model's."""
        return None if self._length else without_model(self._request, reachable=self._pool.is_reachable)

    def _finish_without_model(self, grounding: Grounding) -> GenerationFinished:
        self._span.gives_up(grounding)
        usage = Usage(prompt_tokens=0, completion_tokens=0)
        return GenerationFinished(length=0, finish_reason="stop", usage=usage, grounding=grounding)

    def _end_after(self, error: Interrupted | BackendRefused | BackendFailed) -> Event:
        """Return the end of a request that no backend answers (any more). Raises PermanentError."""
        if isinstance(error, Interrupted):
            self._span.fails("answer_interrupted")
            return _interrupted(str(error))
        if isinstance(error, BackendRefused):
            self._span.fails("backend_refused")
            return RequestFailed(code="backend_refused", message=str(error), status=400, stage="generation")
        if (grounding := self._without_model()) is not None:
            return self._finish_without_model(grounding)
        self._span.fails("backend_unavailable")
        raise PermanentError("backend_unavailable", f"The model server failed: {error}", 503) from error

    def _finish(self, answer: Answer) -> GenerationFinished:
        usage = Usage(prompt_tokens=prompt_tokens(self._request), completion_tokens=answer.written)
        self._loops[self._request.model] += answer.looped  # also 0: a rate needs to have seen that
        return GenerationFinished(
            length=self._length, finish_reason=answer.reason, usage=usage, looped=answer.looped
        )

    def _cancellation(self, *, asked: bool) -> RequestCancelled:
        """Return the end of a request that is given up. A prompt that no model has read costs nothing."""
        self._span.gives_up("cancelled")
        read = prompt_tokens(self._request) if asked else 0
        usage = Usage(prompt_tokens=read, completion_tokens=self._tokens)
        return RequestCancelled(reason=self._cancelled.result(), length=self._length, usage=usage)


def _interrupted(message: str) -> RequestFailed:
    return RequestFailed(code="answer_interrupted", message=message, status=503, stage="generation")
