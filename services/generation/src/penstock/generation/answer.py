"""One answer, from as many attempts as it takes: each continues the text that is visible already."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from penstock.generation.calls import Calls
from penstock.generation.domain.earlier import Earlier, can_continue
from penstock.generation.domain.gather import Piece
from penstock.generation.domain.prompt import render
from penstock.generation.domain.visible import Visible
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendAway, BackendBusy, BackendFailed, BackendRefused, End
from penstock.generation.timely import Patience, timely
from penstock.generation.told import Told
from penstock.messages.chat import ChatRetrieved, FinishReason, Sampling


class Interrupted(Exception):
    """Text is visible that has no honest rest; the message says why, for the client."""


class Answer:
    """One answer, after what stands in the log already.

    When its stream has ended, `reason` says why, and `written` counts the tokens of the whole answer. `asked`
    says whether a backend has taken the prompt.
    """

    def __init__(
        self, pool: Pool, request: ChatRetrieved, earlier: Earlier, patience: Patience, told: Told
    ) -> None:
        self._pool = pool
        self._request = request
        self._patience = patience
        self._told = told
        self._calls = Calls()
        self._prompt = render(request)
        self._text = earlier.text
        self._tokens = earlier.tokens
        self._progress = 0.0
        self.reason: FinishReason = "stop"
        self.written = earlier.tokens
        self.asked = False

    async def stream(self) -> AsyncGenerator[Piece, None]:
        """Yield visible text.

        Raises BackendRefused, Interrupted, or BackendFailed when backends have failed at it, not only been
        away, for `patience.retry` s.
        """
        self._progress = _now()
        retries = AsyncRetrying(
            stop=self._is_hopeless,
            wait=wait_exponential_jitter(multiplier=0.1, max=2, jitter=0.1),
            retry=retry_if_exception_type(BackendFailed),
            reraise=True,
            before_sleep=self._tell,
        )
        with self._told.current():
            async for trial in retries:
                with trial:
                    async with aclosing(self._attempt()) as pieces:
                        async for piece in pieces:
                            if piece.text:
                                self._text += piece.text
                                self._tokens = piece.tokens
                            yield piece
        self._told.ends(self.reason, self.written, self._text)

    async def _attempt(self) -> AsyncGenerator[Piece, None]:
        """Continue the visible text: whatever an attempt before it held back is written anew."""
        limit = self._request.sampling.max_tokens
        rest = None if limit is None else limit - self._tokens
        if rest is not None and rest <= 0:
            self.reason, self.written = "length", self._tokens
            return
        if self._text and not can_continue(self._request.sampling):
            raise Interrupted(
                "The answer was interrupted, and one sampled with a seed cannot go on. Please ask again."
            )
        if self._text:
            self._told.continues(len(self._text))
        sampling = msgspec.structs.replace(self._request.sampling, max_tokens=rest)
        try:
            async with aclosing(self._leased(sampling)) as pieces:
                async for piece in pieces:
                    yield piece
        except BackendRefused as error:
            if not self._text:
                raise
            raise Interrupted(
                "The answer was interrupted, and the model server does not continue it. Please ask again."
            ) from error

    async def _leased(self, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        base = self._tokens
        visible = Visible(sampling.stop, base)
        asked = _now()
        async with self._pool.lease() as backend:
            self._progress += _now() - asked  # to wait for a slot is no failure
            self.asked = True
            self._told.has_slot(backend.url)
            stream = backend.stream(self._prompt + self._text, sampling)
            with self._calls.measured(self._request, backend.url, base) as call:
                async with aclosing(stream), aclosing(timely(stream, self._patience)) as items:
                    async for item in items:
                        self._progress = _now()
                        if not self._told.has_token:
                            self._told.first_token()
                        if isinstance(item, End):
                            call.tokens = item.tokens
                            self.reason, self.written = item.reason, base + item.tokens
                            yield visible.end()
                            return
                        call.tokens += 1
                        yield visible.push(item.text)
                        if visible.stopped:
                            self.reason, self.written = "stop", visible.written
                            return
                raise BackendFailed("the stream ended without its last event")

    def _tell(self, state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        if failure is not None:
            self._told.retries(failure, state.attempt_number)

    def _is_hopeless(self, state: RetryCallState) -> bool:
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, BackendBusy | BackendAway):
            self._progress = _now()  # it has not failed at this request: the deadline decides
        return _now() - self._progress >= self._patience.retry


def _now() -> float:
    return asyncio.get_running_loop().time()
