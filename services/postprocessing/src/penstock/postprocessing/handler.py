"""Postprocessing: generated text becomes the visible, cited answer.

Pure and deterministic: the same events give the same answer, so a restart may read them again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from penstock.messages.chat import (
    AnswerCompleted,
    AnswerStarted,
    AnswerText,
    Citation,
    GenerationFinished,
    GenerationStarted,
    Grounding,
    Passage,
    RequestCancelled,
    RequestFailed,
    TextGenerated,
    UsageRecorded,
)
from penstock.messages.event import Event
from penstock.messages.reading import Gap, Splice
from penstock.messages.topics import CHAT_RESPONSES, USAGE_RECORDED
from penstock.postprocessing.domain.citations import cite, cite_quotes
from penstock.postprocessing.domain.phrases import phrases, refuses
from penstock.postprocessing.domain.quotes import best_quotes
from penstock.postprocessing.domain.support import is_supported
from penstock.streaming.errors import PermanentError
from penstock.streaming.stage import Outgoing, Received, Step


@dataclass(frozen=True, slots=True)
class Answer:
    """An open answer: the model's text so far, and how much white space at its start is not shown."""

    model: str
    passages: tuple[Passage, ...]
    query: str = ""
    text: str = ""
    hidden: int = 0

    @property
    def visible(self) -> str:
        """Return what clients see."""
        return self.text[self.hidden :]


AnswerStep: TypeAlias = Step[Answer]


class Postprocessing:
    """Handles the events of chat.generated; `language_of` names the language of a question, or nothing."""

    def __init__(self, language_of: Callable[[str], str]) -> None:
        self._language_of = language_of

    def handle(self, answer: Answer | None, received: Received[Event]) -> AnswerStep:
        """Fold one event into an answer."""
        match received.event:
            case GenerationStarted() as started:
                return _start(answer, started)
            case RequestFailed() as failed:
                return Step(None, [Outgoing(CHAT_RESPONSES, failed)])
            case RequestCancelled() as cancelled:
                return _cancel(answer, cancelled, received.envelope.subject)
            case TextGenerated() as piece if answer is not None:
                return _extend(answer, piece)
            case GenerationFinished() as finished if answer is not None:
                return self._finish(answer, finished, received.envelope.subject)
            case _:  # a marker, or the rest of an answer that was ended before a restart
                return Step(None)

    def _finish(self, answer: Answer, finished: GenerationFinished, request_id: str) -> AnswerStep:
        if finished.length != len(answer.text):
            raise PermanentError(
                "text_missing", f"The answer has {len(answer.text)} characters, not {finished.length}."
            )
        if finished.grounding is None:
            text, citations, grounding = "", *_judged(answer)
        else:
            text, citations = self._without_model(answer, finished.grounding)
            grounding = finished.grounding
        completed = AnswerCompleted(
            length=len(answer.visible) + len(text),
            finish_reason=finished.finish_reason,
            usage=finished.usage,
            citations=citations,
            looped=finished.looped,
            grounding=grounding,
        )
        used = UsageRecorded(request_id=request_id, model=answer.model, usage=finished.usage)
        said = [Outgoing(CHAT_RESPONSES, AnswerText(start=len(answer.visible), text=text))] if text else []
        return Step(None, [*said, Outgoing(CHAT_RESPONSES, completed), Outgoing(USAGE_RECORDED, used)])

    def _without_model(self, answer: Answer, grounding: Grounding) -> tuple[str, tuple[Citation, ...]]:
        """Return what is answered, and its citations."""
        words = phrases(self._language_of(answer.query))
        if grounding != "quoted":
            return words.not_found, ()
        quotes = best_quotes(answer.query, answer.passages)
        said = (f"“{answer.passages[q.number - 1].text[q.start : q.end]}” [{q.number}]" for q in quotes)
        return "\n\n".join([words.quoted, *said]), cite_quotes(quotes, answer.passages)


def _start(answer: Answer | None, started: GenerationStarted) -> AnswerStep:
    if answer is not None:  # generated again after a crash: the text is compared by its positions
        return Step(answer)
    fresh = Answer(started.model, started.passages, started.query)
    return Step(fresh, [Outgoing(CHAT_RESPONSES, AnswerStarted(model=started.model))])


def _extend(answer: Answer, piece: TextGenerated) -> AnswerStep:
    """Take what is new of a piece; a repetition or overlap is dropped."""
    try:
        fresh = Splice(len(answer.text)).add(piece.start, piece.text)
    except Gap as gap:
        raise PermanentError("text_missing", str(gap)) from gap
    if not fresh:
        return Step(answer)
    text = answer.text + fresh
    hidden = answer.hidden if answer.visible else len(text) - len(text.lstrip())
    after = replace(answer, text=text, hidden=hidden)
    start = len(answer.visible)
    shown = after.visible[start:]
    return Step(after, [Outgoing(CHAT_RESPONSES, AnswerText(start=start, text=shown))] if shown else [])


def _judged(answer: Answer) -> tuple[tuple[Citation, ...], Grounding | None]:
    """Return the citations of what a model has written, and whether the passages support it.

    A model may be taught, or told, to say in our words that they do not hold the answer.
    """
    if refuses(answer.visible):
        return (), "not_found"
    citations = cite(answer.visible, answer.passages)
    if not answer.passages:
        return citations, None
    return citations, "supported" if is_supported(answer.visible, answer.passages) else "unsupported"


def _cancel(answer: Answer | None, cancelled: RequestCancelled, request_id: str) -> AnswerStep:
    if answer is None:
        return Step(None, [Outgoing(CHAT_RESPONSES, cancelled)])
    seen = RequestCancelled(reason=cancelled.reason, length=len(answer.visible), usage=cancelled.usage)
    used = UsageRecorded(request_id=request_id, model=answer.model, usage=cancelled.usage)
    return Step(None, [Outgoing(CHAT_RESPONSES, seen), Outgoing(USAGE_RECORDED, used)])
