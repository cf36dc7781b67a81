"""The answer to one request as the log tells it: text in order, once, and one end."""

import io
from dataclasses import dataclass, field
from enum import Enum

from penstock.gateway.domain.errors import ApiError, cancelled
from penstock.messages.chat import (
    AnswerCompleted,
    AnswerStarted,
    AnswerText,
    RequestCancelled,
    RequestFailed,
)
from penstock.messages.event import Event
from penstock.messages.reading import Gap, Splice


class Effect(Enum):
    """What an event meant for the answer."""

    NEWS = "news"
    NOTHING = "nothing"  # already known, or after the end
    GAP = "gap"  # text before it is missing; a repetition will bring both
    UNEXPECTED = "unexpected"


@dataclass(slots=True)
class Answer:
    """Folds the events of chat.responses for one request; pure, no clock.

    Text counts in characters and joins by the log's rules (`penstock.messages.reading`); nothing counts after
    the first end. Text is kept once, up to `max_chars`; past that the answer fails rather than grow.

    `final` says that the log itself has ended the answer: any other gateway will show the same end. An end
    that this gateway made (time-out, shutdown) is not final: the answer may be going on elsewhere.
    """

    max_chars: int
    started: bool = False
    final: bool = False
    end: AnswerCompleted | ApiError | None = None
    _splice: Splice = field(default_factory=Splice)
    _text: io.StringIO | None = None

    @property
    def length(self) -> int:
        """Characters so far."""
        return self._splice.length

    def apply(self, event: Event) -> Effect:
        """Take in the next event of the log."""
        if self.end is not None:
            return Effect.NOTHING
        match event:
            case AnswerText(start=start, text=text):
                return self._add(start, text)
            case AnswerStarted():
                return self._begin()
            case AnswerCompleted():
                return self._complete(event)
            case RequestCancelled(length=length, reason=reason):
                return Effect.GAP if length > self.length else self._end(cancelled(reason))
            case RequestFailed(status=status, code=code, message=message):
                return self._end(ApiError(status, code, message, retry_after_s=_retry_after(status)))
        return Effect.UNEXPECTED

    def fail(self, error: ApiError) -> Effect:
        """End the answer from here, not from the log, unless it has ended."""
        if self.end is not None:
            return Effect.NOTHING
        self.end = error
        return Effect.NEWS

    def text_from(self, start: int, limit: int) -> str:
        """Return up to `limit` characters from `start` on."""
        if self._text is None or start >= self.length:
            return ""
        self._text.seek(start)
        return self._text.read(limit)

    def _begin(self) -> Effect:
        if self.started:
            return Effect.NOTHING
        self.started = True
        return Effect.NEWS

    def _add(self, start: int, text: str) -> Effect:
        known = self._splice.length
        try:
            fresh = self._splice.add(start, text)
        except Gap:
            return Effect.GAP
        if not fresh:
            return Effect.NOTHING
        if known + len(fresh) > self.max_chars:
            self._splice = Splice(known)
            message = f"The answer is longer than {self.max_chars} characters. Set a lower max_tokens."
            return self._end(ApiError(500, "answer_too_large", message))
        if self._text is None:
            self._text = io.StringIO()
        self._text.seek(known)
        self._text.write(fresh)
        self.started = True
        return Effect.NEWS

    def _complete(self, event: AnswerCompleted) -> Effect:
        if event.length > self.length:
            return Effect.GAP
        if event.length < self.length:
            message = "The answer's parts do not fit together. Try again."
            return self._end(ApiError(500, "answer_inconsistent", message))
        self.started = True
        return self._end(event)

    def _end(self, end: AnswerCompleted | ApiError) -> Effect:
        self.end = end
        self.final = True
        return Effect.NEWS


def _retry_after(status: int) -> int:
    return 1 if status in (429, 503) else 0
