"""The answer to one request as the log tells it: text in order, once, and one end."""

import io
from dataclasses import dataclass
from enum import Enum

from penstock.gateway.domain.errors import ApiError
from penstock.messages.chat import AnswerCompleted, AnswerStarted, AnswerText, RequestFailed
from penstock.messages.event import Event


class Told(Enum):
    """What an event meant for the answer."""

    NEWS = "news"
    NOTHING = "nothing"  # already known, of an older epoch, or after the end
    GAP = "gap"  # text before it is missing; a repetition will bring both
    UNEXPECTED = "unexpected"


@dataclass(slots=True)
class Answer:
    """Folds the events of chat.responses for one request; pure, no clock.

    Text counts in characters. An event of an older epoch than one seen is ignored, text already had is
    dropped, an overlap is trimmed, and nothing counts after the first end. Text is kept once, up to
    `max_chars`; past that the answer fails rather than grow.
    """

    max_chars: int
    epoch: int = 0
    started: bool = False
    length: int = 0
    end: AnswerCompleted | ApiError | None = None
    _text: io.StringIO | None = None

    def tell(self, epoch: int, event: Event) -> Told:
        """Take in the next event of the log."""
        if self.end is not None or epoch < self.epoch:
            return Told.NOTHING
        self.epoch = epoch
        match event:
            case AnswerText(start=start, text=text):
                return self._add(start, text)
            case AnswerStarted():
                return self._begin()
            case AnswerCompleted():
                return self._complete(event)
            case RequestFailed(status=status, code=code, message=message):
                return self.fail(ApiError(status, code, message, retry_after_s=_retry_after(status)))
        return Told.UNEXPECTED

    def fail(self, error: ApiError) -> Told:
        """End the answer, unless it has ended."""
        if self.end is not None:
            return Told.NOTHING
        self.end = error
        return Told.NEWS

    def text_from(self, start: int, limit: int) -> str:
        """Return up to `limit` characters from `start` on."""
        if self._text is None or start >= self.length:
            return ""
        self._text.seek(start)
        return self._text.read(limit)

    def _begin(self) -> Told:
        if self.started:
            return Told.NOTHING
        self.started = True
        return Told.NEWS

    def _add(self, start: int, text: str) -> Told:
        if start > self.length:
            return Told.GAP
        fresh = text[self.length - start :]
        if not fresh:
            return Told.NOTHING
        if self.length + len(fresh) > self.max_chars:
            message = f"The answer is longer than {self.max_chars} characters. Set a lower max_tokens."
            return self.fail(ApiError(500, "answer_too_large", message))
        if self._text is None:
            self._text = io.StringIO()
        self._text.seek(self.length)
        self._text.write(fresh)
        self.length += len(fresh)
        self.started = True
        return Told.NEWS

    def _complete(self, event: AnswerCompleted) -> Told:
        if event.length > self.length:
            return Told.GAP
        if event.length < self.length:
            message = "The answer's parts do not fit together. Try again."
            return self.fail(ApiError(500, "answer_inconsistent", message))
        self.started = True
        self.end = event
        return Told.NEWS


def _retry_after(status: int) -> int:
    return 1 if status in (429, 503) else 0
