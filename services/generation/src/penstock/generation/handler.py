"""Generation: a prompt with its passages becomes a stream of text in the log."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from penstock.generation.domain.gather import gather
from penstock.generation.domain.prompt import render
from penstock.generation.domain.stop import StopFilter
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendFailed, BackendRefused, End
from penstock.messages.chat import (
    ChatRetrieved,
    GenerationFinished,
    GenerationStarted,
    RequestFailed,
    Sampling,
    TextGenerated,
    Usage,
)
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_GENERATED
from penstock.streaming.errors import PermanentError
from penstock.streaming.stage import Outgoing, Received

RETRY_SECONDS = 30.0
GATHER_SECONDS = 0.02
GATHER_SECONDS_PER_STREAM = 0.002


class Generation:
    """Handles ChatRetrieved."""

    def __init__(self, pool: Pool, retry_seconds: float = RETRY_SECONDS) -> None:
        self._pool = pool
        self._retry_seconds = retry_seconds

    async def handle(self, received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        """Yield GenerationStarted, the text, and GenerationFinished (or RequestFailed if it is refused)."""
        request = received.event
        assert isinstance(request, ChatRetrieved)  # noqa: S101  # the topic admits nothing else
        yield _out(GenerationStarted(model=request.model, passages=request.passages))
        answer = _Answer(self._pool, request, self._retry_seconds)
        start = 0
        try:
            async with aclosing(gather(answer.stream(), self._interval)) as texts:
                async for text in texts:
                    yield _out(TextGenerated(start=start, text=text))
                    start += len(text)
        except BackendRefused as error:
            yield _out(
                RequestFailed(code="backend_refused", message=str(error), status=400, stage="generation")
            )
            return
        except BackendFailed as error:
            raise PermanentError("backend_unavailable", f"The model server failed: {error}", 503) from error
        yield _out(answer.finished(start))

    def _interval(self) -> float:
        """Seconds to gather text: longer when many streams share the processors, so that each costs less."""
        return max(GATHER_SECONDS, GATHER_SECONDS_PER_STREAM * self._pool.busy)


class _Answer:
    """One answer, from as many attempts as it takes: a later one continues the text of those before."""

    def __init__(self, pool: Pool, request: ChatRetrieved, retry_seconds: float) -> None:
        self._pool = pool
        self._request = request
        self._retry_seconds = retry_seconds
        self._prompt = render(request)
        self._stop = StopFilter(request.sampling.stop)
        self._raw = ""
        self._tokens = 0
        self._end: End | None = None

    async def stream(self) -> AsyncGenerator[str, None]:
        """Yield visible text. Raises BackendRefused, or BackendFailed when repeating has not helped."""
        retries = AsyncRetrying(
            stop=stop_after_delay(self._retry_seconds),
            wait=wait_exponential_jitter(multiplier=0.1, max=2, jitter=0.1),
            retry=retry_if_exception_type(BackendFailed),
            reraise=True,
        )
        async for trial in retries:
            with trial:
                async with aclosing(self._attempt()) as texts:
                    async for text in texts:
                        yield text
        if not self._stop.stopped:
            yield self._stop.end()

    async def _attempt(self) -> AsyncGenerator[str, None]:
        if self._raw and not _can_continue(self._request.sampling):
            raise BackendRefused(
                "The model server broke off, and a sampled answer with a seed has no honest rest."
            )
        with self._pool.lease() as backend:
            stream = backend.stream(self._prompt + self._raw, self._rest())
            async with aclosing(stream):
                async for item in stream:
                    if isinstance(item, End):
                        self._end = item
                        return
                    self._tokens += 1
                    self._raw += item.text
                    yield self._stop.push(item.text)
        raise BackendFailed("the stream ended without its last event")

    def _rest(self) -> Sampling:
        """Return the sampling parameters for the rest of the answer."""
        limit = self._request.sampling.max_tokens
        rest = None if limit is None else max(1, limit - self._tokens)
        return msgspec.structs.replace(self._request.sampling, max_tokens=rest)

    def finished(self, length: int) -> GenerationFinished:
        """Return the last event of an answer of `length` visible characters."""
        reason = "stop" if self._end is None or self._stop.stopped else self._end.reason
        usage = Usage(prompt_tokens=self._request.prompt_tokens, completion_tokens=self._tokens)
        return GenerationFinished(length=length, finish_reason=reason, usage=usage)


def _can_continue(sampling: Sampling) -> bool:
    """Greedy text and unseeded sampling can go on from any prefix; a seed promises one certain text."""
    return sampling.seed is None or not sampling.temperature


def _out(event: Event) -> Outgoing:
    return Outgoing(CHAT_GENERATED, event)
