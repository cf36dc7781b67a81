"""How good the answers are: questions with known answers, by the line's own code over the corpus."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from pydantic import SecretStr
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from e2e.bench.tables import Table
from e2e.eval.facts import Asked
from e2e.eval.indexing import TENANT, VECTOR_SIZE, Made
from penstock.clients.models import Models
from penstock.clients.tei import TeiEmbedder
from penstock.clients.tgi import TgiServer
from penstock.generation.adapters.tgi import TgiBackend
from penstock.generation.cancellations import CancellationLog
from penstock.generation.domain.loops import LoopGuard
from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.stream_timeout import StreamTimeouts
from penstock.messages.chat import (
    AnswerCompleted,
    AnswersFrom,
    AnswerText,
    ChatRequested,
    ChatRetrieved,
    ChatTokenized,
    Message,
    Passage,
    Sampling,
)
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.postprocessing.adapters.language import LanguageIdentifier
from penstock.postprocessing.domain.phrases import ENGLISH
from penstock.postprocessing.domain.support import is_supported
from penstock.postprocessing.handler import Answer, Postprocessing
from penstock.retrieval.handler import Retriever
from penstock.retrieval.query_vectors import QueryVectors
from penstock.retrieval.relevance_floor import RelevanceFloor
from penstock.retrieval.searching import Searcher
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.errors import TransientError
from penstock.streaming.ports import Partition, Reader, Start
from penstock.streaming.stage import EachHandler, Received
from penstock.tokenization.adapters.tgi import TgiModel
from penstock.tokenization.handler import Policy, Tokenization

AT_ONCE = 4
E = TypeVar("E", bound=Event)
_REQUEST = "00000000-0000-7000-8000-000000000000"
_MARKER = re.compile(r"\[\d{1,3}\]")


@dataclass(frozen=True)
class Arm:
    """Who answers: the model server at `url` (TGI's dialect), under a policy."""

    name: str
    url: str
    answers: AnswersFrom = "documents"
    key: SecretStr | None = None


@dataclass(frozen=True)
class Answered:
    """A question with its answer, and the passages that it was given."""

    asked: Asked
    passages: tuple[Passage, ...]
    text: str
    end: AnswerCompleted
    seconds: float

    @property
    def found(self) -> bool:
        """Whether the page that holds the answer was among the passages."""
        return any(passage.document_id == self.asked.page for passage in self.passages)

    @property
    def right(self) -> bool:
        """Whether the answer holds the fact."""
        return self.asked.is_answered_by(self._said)

    @property
    def cited_right(self) -> bool:
        """Whether the page that holds the answer is cited."""
        return any(citation.document_id == self.asked.page for citation in self.end.citations)

    @property
    def supported(self) -> bool:
        """Whether the passages that are cited support the answer."""
        cited = {citation.index for citation in self.end.citations}
        chosen = [passage for number, passage in enumerate(self.passages, 1) if number in cited]
        return is_supported(self._said, chosen)

    @property
    def refused(self) -> bool:
        """Whether the answer is that the documents do not say."""
        return self.end.grounding == "not_found" or self.text.strip().startswith(ENGLISH.not_found)

    @property
    def loops(self) -> bool:
        """Whether the answer repeats itself, or was ended for that."""
        return self.end.looped or LoopGuard(self.text).looped

    @property
    def _said(self) -> str:
        """The text without the numbers of the passages that it cites."""
        return _MARKER.sub("", self.text)


Rows = Sequence[tuple[str, Sequence[Answered]]]
"""Each arm's name, and its answers."""


class Line:
    """The stages of a request's way, without the log between."""

    def __init__(self, arm: Arm, embeddings: str, made: Made, models: Models) -> None:
        self._arm = arm
        self._server = TgiServer(arm.url, arm.key, 60)
        self._backend = TgiBackend(arm.url, models, arm.key)
        self._embedder = TeiEmbedder(embeddings, VECTOR_SIZE)
        self._tokenization = Tokenization(TgiModel([self._server]), Policy(None, None, models))
        self._floor = RelevanceFloor(self._embedder.model_id, models)
        self._retriever = Retriever(Searcher(QueryVectors(self._embedder), made.index), self._floor)
        cancellations = CancellationLog(_no_log, lambda: 0)
        self._generation = Generation(Pool([self._backend]), cancellations, StreamTimeouts())
        self._postprocess = Postprocessing(LanguageIdentifier().language_of).handle

    async def open(self) -> None:
        """Ask the model servers what they are."""
        await self._backend.check()
        await self._floor.look_up()

    async def ask(self, asked: Asked) -> Answered:
        """Return the answer to a question, from an empty conversation and greedily."""
        began = time.perf_counter()
        request = ChatRequested(
            model="eval",
            messages=(Message(role="user", content=asked.text),),
            sampling=Sampling(temperature=0),
            answers=self._arm.answers,
        )
        tokenized = await _only(self._tokenization.handle, request, ChatTokenized)
        retrieved = await _only(self._retriever.retrieve, tokenized, ChatRetrieved)
        text, end = "", None
        answer: Answer | None = None
        handled = self._generation.handle(_received(retrieved), (), asyncio.Event())
        async for outgoing in handled:
            answer, shown = self._postprocess(answer, _received(outgoing.event))
            for event in (item.event for item in shown):
                text += event.text if isinstance(event, AnswerText) else ""
                end = event if isinstance(event, AnswerCompleted) else end
        if end is None:
            raise RuntimeError(f"no answer to {asked.text!r}")
        return Answered(asked, retrieved.passages, text, end, time.perf_counter() - began)

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()
        await self._backend.close()
        await self._embedder.close()


async def answered(line: Line, questions: Sequence[Asked]) -> list[Answered]:
    """Return the answers to all questions, `AT_ONCE` at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(asked: Asked) -> Answered:
        async with slots:
            return await line.ask(asked)

    return await asyncio.gather(*map(one, questions))


async def _no_log(partition: Partition, start: Start) -> Reader:
    return MemoryBroker().reader([partition], start)


@retry(retry=retry_if_exception_type(TransientError), stop=stop_after_attempt(5), wait=wait_fixed(1))
async def _only(handle: EachHandler, event: Event, kind: type[E]) -> E:
    """Return the one event of this kind that a stage makes of another, as its runner would: with patience."""
    [event] = [item.event async for item in handle(_received(event))]
    if not isinstance(event, kind):
        raise RuntimeError(f"{kind.__name__} was expected, not {event}")
    return event


def _received(event: Event) -> Received[Event]:
    envelope = Envelope(
        id="eval", type=event.TYPE, source="/penstock/eval", time_ms=0, subject=_REQUEST, tenant=TENANT
    )
    return Received(event, envelope, Partition("eval", 0), 0)


HEADINGS = (
    "answered by",
    "passage found",
    "right fact",
    "right page cited",
    "supported",
    "ended by itself",
    "loops",
    "refused: answerable",
    "refused: elsewhere",
    "refused: near",
    "median tokens",
    "median s",
)


def table(manual: str, arms: Rows) -> Table:
    """Return one row an arm; right facts count among the questions whose passage was found."""
    judged = sum(len(answers) for _, answers in arms)
    note = (
        "Right fact: of the questions whose page was among the passages. Right page cited, supported: of"
        " these right answers. Refused: the answer is that the documents do not say."
        f" Judged automatically: all {judged} answers."
    )
    return Table(f"Answers from {manual}", HEADINGS, [_row(name, answers) for name, answers in arms], note)


def _row(name: str, answers: Sequence[Answered]) -> list[str]:
    answerable = [one for one in answers if one.asked.has_answer]
    found = [one for one in answerable if one.found]
    right = [one for one in found if one.right]
    return [
        name,
        _share(one.found for one in answerable),
        _share(one.right for one in found),
        _share(one.cited_right for one in right),
        _share(one.supported for one in right),
        _share(one.end.finish_reason == "stop" and not one.loops for one in answers),
        str(sum(one.loops for one in answers)),
        _share(one.refused for one in answerable),
        _share(one.refused for one in answers if one.asked.kind == "elsewhere"),
        _share(one.refused for one in answers if one.asked.kind == "near"),
        f"{median(one.end.usage.completion_tokens for one in answers):.0f}",
        f"{median(one.seconds for one in answers):.1f}",
    ]


def _share(held: Iterable[bool]) -> str:
    counted = list(held)
    return f"{sum(counted)} of {len(counted)}"


def write_transcript(file: Path, manuals: Sequence[tuple[str, Rows]]) -> None:
    """Write all questions and answers to a Markdown file, with what was wrong with them and what is right."""
    lines = []
    for manual, arms in manuals:
        for name, answers in arms:
            lines += [f"# {manual}: {name}", ""]
            for one in answers:
                lines += [f"**{one.asked.kind}: {one.asked.text}** ({', '.join(_faults(one)) or 'well'})", ""]
                lines += [f"> {fact}" for fact in one.asked.facts]
                lines += ["", one.text, ""]
    file.write_text("\n".join(lines), encoding="utf-8")


def _faults(one: Answered) -> list[str]:
    if not one.asked.has_answer:
        return [] if one.refused else ["not refused"]
    faults = {
        "passage not found": not one.found,
        "refused": one.refused,
        "wrong fact": not one.right,
        "other page cited": not one.cited_right,
        "loops": one.loops,
        "cut": one.end.finish_reason == "length",
    }
    return [name for name, holds in faults.items() if holds]
