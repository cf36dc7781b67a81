"""One submitted request as its reader sees it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.inference.domain.errors import InferenceError
from penstock.inference.domain.generation import Delta, Finish, Job, Token
from penstock.inference.ports import TextEngine


class ReaderGoneError(Exception):
    """The client has closed its connection."""


class Answer:
    """The deltas of one job, read one after another. Used on one event loop.

    Memory is bounded by the job's own `max_new_tokens`.
    """

    def __init__(self, engine: TextEngine, job: Job) -> None:
        self._engine = engine
        self._deltas: list[Delta] = []
        self._waiter: asyncio.Future[None] | None = None
        self._gone = False
        self._ended = False
        self._ticket = engine.submit(job, self._feed)

    def _feed(self, delta: Delta) -> None:
        self._deltas.append(delta)
        self._ended = delta.finish is not None or delta.error is not None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def abandon(self) -> None:
        """Say that the client has gone: the place in the batch is free before the next step."""
        self._gone = True
        self.close()
        self._wake()

    def close(self) -> None:
        """Free the place in the batch, if the answer still has one."""
        if not self._ended:
            self._engine.cancel(self._ticket)

    async def read(self) -> list[Delta]:
        """Wait for news and return all of it. Raises ReaderGoneError after `abandon`."""
        while not self._deltas:
            if self._gone:
                raise ReaderGoneError
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        deltas, self._deltas = self._deltas, []
        return deltas


@dataclass(frozen=True, slots=True)
class Complete:
    """A whole answer."""

    tokens: tuple[Token, ...]
    finish: Finish


async def complete(answer: Answer) -> Complete:
    """Read an answer to its end. Raises the error that ended it, or ReaderGoneError."""
    tokens: list[Token] = []
    while True:
        for delta in await answer.read():
            tokens.extend(delta.tokens)
            if delta.error is not None:
                raise delta.error
            if delta.finish is not None:
                return Complete(tuple(tokens), delta.finish)


def submit_all(engine: TextEngine, jobs: Sequence[Job]) -> list[Answer]:
    """Submit every job, or none: raises what the engine raises."""
    answers: list[Answer] = []
    try:
        for job in jobs:
            answers.append(Answer(engine, job))  # noqa: PERF401 - those before a refusal must be closed
    except InferenceError:
        for answer in answers:
            answer.close()
        raise
    return answers


def best(candidates: Sequence[Complete]) -> tuple[Complete, list[Complete]]:
    """Return the candidate of the highest mean logprob, and the others."""
    chosen = max(candidates, key=_mean_logprob)
    return chosen, [candidate for candidate in candidates if candidate is not chosen]


def _mean_logprob(candidate: Complete) -> float:
    logprobs = [token.logprob for token in candidate.tokens]
    return sum(logprobs) / len(logprobs) if logprobs else float("-inf")
