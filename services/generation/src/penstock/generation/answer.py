"""One answer, from as many attempts as it takes: each continues the text that is visible already."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from penstock.generation.calls import Call, Calls
from penstock.generation.domain.earlier import Earlier, can_continue
from penstock.generation.domain.gather import Piece, Put
from penstock.generation.domain.loops import LoopGuard
from penstock.generation.domain.prompt import render
from penstock.generation.domain.visible import Visible
from penstock.generation.generation_span import GenerationSpan
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendAway, BackendBusy, BackendFailed, BackendRefused, End, Token
from penstock.generation.stream_timeout import StreamTimeouts, watched
from penstock.messages.chat import ChatRetrieved, FinishReason, Sampling


class Interrupted(Exception):
    """Text is visible that has no honest rest; the message says why, for the client."""


class Answer:
    """One answer, after what stands in the log already.

    When its stream has ended, `reason` says why, `looped` whether the guard has ended a loop, and `written`
    counts the tokens of the whole answer. `asked` says whether a backend has taken the prompt.
    """

    def __init__(
        self,
        pool: Pool,
        request: ChatRetrieved,
        earlier: Earlier,
        timeouts: StreamTimeouts,
        span: GenerationSpan,
    ) -> None:
        self._pool = pool
        self._request = request
        self._timeouts = timeouts
        self._span = span
        self._calls = Calls()
        self._texts = [earlier.text] if earlier.text else []
        self._tokens = earlier.tokens
        self._progress = 0.0
        self.reason: FinishReason = "stop"
        self.written = earlier.tokens
        self.looped = False
        self.asked = False

    async def stream(self, put: Put) -> None:
        """Put visible text.

        Raises BackendRefused, Interrupted, or BackendFailed when backends have failed at it, not only been
        away, for `timeouts.retry` s.
        """
        self._progress = _now()
        retries = AsyncRetrying(
            stop=self._is_hopeless,
            wait=wait_exponential_jitter(multiplier=0.1, max=2, jitter=0.1),
            retry=retry_if_exception_type(BackendFailed),
            reraise=True,
            before_sleep=self._tell,
        )
        with self._span.current():
            async for trial in retries:
                with trial:
                    await self._attempt(put)
        self._span.ends(self.reason, self.written, "".join(self._texts), looped=self.looped)

    async def _attempt(self, put: Put) -> None:
        """Continue the visible text: whatever an attempt before it held back is written anew."""
        limit = self._request.sampling.max_tokens
        rest = None if limit is None else limit - self._tokens
        if rest is not None and rest <= 0:
            self.reason, self.written = "length", self._tokens
            return
        text = "".join(self._texts)
        if text and not can_continue(self._request.sampling):
            raise Interrupted(
                "The answer was interrupted, and one sampled with a seed cannot go on. Please ask again."
            )
        if text:
            self._span.continues(len(text))
        sampling = msgspec.structs.replace(self._request.sampling, max_tokens=rest)
        try:
            await self._leased(text, sampling, put)
        except BackendRefused as error:
            if not self._texts:
                raise
            raise Interrupted(
                "The answer was interrupted, and the model server does not continue it. Please ask again."
            ) from error

    async def _leased(self, text: str, sampling: Sampling, put: Put) -> None:
        asked = _now()
        async with self._pool.lease() as backend:
            self._progress += _now() - asked  # to wait for a slot is no failure
            self.asked = True
            prompt = render(self._request, backend.profile.prompt)
            self._span.has_slot(backend.url, prompt)
            guard = LoopGuard(text) if backend.profile.loop_guard else None
            visible = Visible(sampling.stop, self._tokens, guard)
            if self._is_stopped(visible):
                return
            with self._calls.measured(self._request, backend.url, self._tokens) as call:
                stream = backend.stream(prompt + text, sampling)
                async with watched(self._timeouts) as watchdog, aclosing(stream):
                    async for items in stream:
                        self._progress = watchdog.feed()
                        if not self._span.has_token:
                            self._span.first_token()
                        if self._take(items, visible, call, put):
                            return
                raise BackendFailed("the stream ended without its last event")

    def _take(self, items: Sequence[Token | End], visible: Visible, call: Call, put: Put) -> bool:
        """Show what has come together; return whether the answer has ended."""
        texts = [item.text for item in items if isinstance(item, Token)]
        call.tokens += len(texts)
        self._show(visible.push(texts), put)
        if self._is_stopped(visible):
            return True
        if not isinstance(end := items[-1], End):
            return False
        self.reason, self.written = end.reason, visible.before + end.tokens
        call.tokens = end.tokens
        self._show(visible.end(), put)
        self._is_stopped(visible)
        return True

    def _is_stopped(self, visible: Visible) -> bool:
        if visible.stopped:
            self.reason, self.written, self.looped = "stop", visible.written, visible.looped
        return visible.stopped

    def _show(self, piece: Piece, put: Put) -> None:
        if piece.text:
            self._texts.append(piece.text)
            self._tokens = piece.tokens
            put(piece)

    def _tell(self, state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        if failure is not None:
            self._span.retries(failure, state.attempt_number)

    def _is_hopeless(self, state: RetryCallState) -> bool:
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, BackendAway) and self._request.may_quote and not self._texts:
            return True  # the passages are quoted instead
        if isinstance(failure, BackendBusy | BackendAway):
            self._progress = _now()  # it has not failed at this request: the deadline decides
        return _now() - self._progress >= self._timeouts.retry


def _now() -> float:
    return asyncio.get_running_loop().time()
