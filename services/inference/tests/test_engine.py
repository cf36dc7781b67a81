"""The engine's rules on a pipeline whose every step is known."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from penstock.inference.adapters.engine import BatchEngine, EngineSettings
from penstock.inference.adapters.pipeline import LostSequenceError, Read
from penstock.inference.domain.errors import (
    GenerationFailedError,
    IncompleteGenerationError,
    OverloadedError,
    UnhealthyError,
)
from penstock.inference.domain.generation import FinishReason, Job, Sampling
from penstock.inference.domain.text import ByteDetokenizer, Detokenizer, Vocabulary
from penstock.inference.handler.answers import Answer, complete

VOCABULARY = Vocabulary([bytes([65 + token]) for token in range(26)], frozenset({25}))


class LetterTokenizer:
    vocabulary = VOCABULARY

    def detokenizer(self) -> Detokenizer:
        return ByteDetokenizer(VOCABULARY)


@dataclass
class LetterHandle:
    length: int
    given: int = 0
    cancelled: bool = False
    unread: list[int] = field(default_factory=list)
    lost: bool = False

    def read(self) -> Read | None:
        if self.lost:
            raise LostSequenceError
        if not self.unread:
            return None
        ids, self.unread = self.unread, []
        return Read(ids, [-1.0] * len(ids), FinishReason.LENGTH if self.given == self.length else None)

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class LetterPipeline:
    """Gives every sequence the letters A, B, C … one a step."""

    handles: list[LetterHandle] = field(default_factory=list)
    added: list[tuple[tuple[int, ...], int]] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    breaks: Exception | None = None
    refuses: int | None = None
    loses: bool = False

    def active(self) -> list[LetterHandle]:
        return [h for h in self.handles if not h.cancelled and not h.lost and h.given < h.length]

    def add(self, prompt: Sequence[int], max_new_tokens: int, sampling: Sampling) -> LetterHandle:
        if max_new_tokens == self.refuses:
            raise TypeError("incompatible function arguments")
        _ = sampling
        self.added.append((tuple(prompt), max_new_tokens))
        self.handles.append(LetterHandle(max_new_tokens, lost=self.loses))
        return self.handles[-1]

    def step(self) -> None:
        if self.breaks:
            raise self.breaks
        self.widths.append(len(self.active()))
        for handle in self.active():
            handle.unread.append(handle.given % 25)
            handle.given += 1

    def busy(self) -> bool:
        return bool(self.active())


@dataclass
class LetterModel:
    pipeline: LetterPipeline
    tokenizer: LetterTokenizer = field(default_factory=LetterTokenizer)


@dataclass
class Rig:
    engine: BatchEngine[LetterModel]
    models: list[LetterModel]
    lost: list[tuple[str, bool]]
    loaded: asyncio.Event


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    models: list[LetterModel] = []
    lost: list[tuple[str, bool]] = []
    loaded = asyncio.Event()

    def load() -> LetterModel:
        models.append(LetterModel(LetterPipeline()))
        return models[-1]

    settings = EngineSettings(max_batch_size=2, max_concurrent_requests=3, prime_from=4, niceness=0)
    engine = BatchEngine(load, settings, lambda _: loaded.set(), lambda why, again: lost.append((why, again)))
    with pytest.raises(UnhealthyError):
        engine.submit(Job((1,), 1, Sampling()), print)
    engine.start()
    await asyncio.wait_for(loaded.wait(), 5)
    yield Rig(engine, models, lost, loaded)
    engine.stop()
    assert engine.wait_closed(5)


def job(length: int, **more: Any) -> Job:
    return Job((1, 2), length, Sampling(), **more)


async def test_a_short_request_leaves_the_batch_while_a_long_one_runs_and_the_next_joins(rig: Rig) -> None:
    long, short, third = (Answer(rig.engine, job(length)) for length in (20_000, 2, 2))
    assert (await complete(short)).finish.text == "AB"
    assert (await complete(third)).finish.text == "AB"
    assert rig.engine.batch_size == 1
    assert max(rig.models[0].pipeline.widths) == 2
    long.close()


async def test_one_request_too_many_is_refused_at_once_and_a_place_comes_back(rig: Rig) -> None:
    answers = [Answer(rig.engine, job(1_000_000)) for _ in range(3)]
    with pytest.raises(OverloadedError):
        Answer(rig.engine, job(1))
    answers[0].abandon()
    answer = Answer(rig.engine, job(1))
    answers[1].abandon()
    assert (await complete(answer)).finish.text == "A"
    answers[2].abandon()


async def test_a_cancelled_request_is_out_of_the_batch_by_the_next_step(rig: Rig) -> None:
    answer = Answer(rig.engine, job(1_000_000))
    await answer.read()
    answer.abandon()
    other = Answer(rig.engine, job(1))
    await complete(other)
    assert rig.models[0].pipeline.handles[0].cancelled
    assert rig.models[0].pipeline.widths[-1] == 1


async def test_a_stop_sequence_across_tokens_ends_the_request(rig: Rig) -> None:
    whole = await complete(Answer(rig.engine, job(20, stop=("CDE",))))
    assert whole.finish.text == "ABCDE"
    assert whole.finish.reason is FinishReason.STOP_SEQUENCE
    assert "".join(token.text for token in whole.tokens) == whole.finish.text


async def test_a_request_with_the_clients_seed_is_primed_and_others_are_not(rig: Rig) -> None:
    sampling = Sampling(seed=1, reproducible=True)
    whole = await complete(Answer(rig.engine, Job((1, 2, 3, 4), 3, sampling)))
    assert whole.finish.text == "ABC"
    assert rig.models[0].pipeline.added == [((1, 2, 3, 4), 1), ((1, 2, 3, 4), 3)]
    await complete(Answer(rig.engine, Job((1,), 3, sampling)))
    assert rig.models[0].pipeline.added[2:] == [((1,), 3)]


async def test_a_request_that_the_pipeline_refuses_fails_alone(rig: Rig) -> None:
    other = Answer(rig.engine, job(20))
    rig.models[0].pipeline.refuses = 7
    with pytest.raises(GenerationFailedError, match="incompatible function arguments"):
        await complete(Answer(rig.engine, job(7)))
    primed = Job((1, 2, 3, 4), 7, Sampling(seed=1, reproducible=True))
    with pytest.raises(GenerationFailedError, match="incompatible function arguments"):
        await complete(Answer(rig.engine, primed))
    assert (await complete(other)).finish.text == "ABCDEFGHIJKLMNOPQRST"
    assert rig.engine.queue_size == rig.engine.batch_size == 0
    assert not rig.lost


@pytest.mark.parametrize(
    "error", [RuntimeError("the scheduler is broken"), KeyError("the scheduler is broken")]
)
async def test_a_broken_step_fails_its_requests_and_the_model_is_loaded_again(
    rig: Rig, error: Exception
) -> None:
    answer = Answer(rig.engine, job(1_000_000))
    await answer.read()
    rig.loaded.clear()
    rig.models[0].pipeline.breaks = error
    with pytest.raises(GenerationFailedError, match="the scheduler is broken"):
        await complete(answer)
    assert rig.lost == [(str(error), True)]
    await asyncio.wait_for(rig.loaded.wait(), 5)
    assert len(rig.models) == 2
    assert (await complete(Answer(rig.engine, job(2)))).finish.text == "AB"


async def test_a_request_that_does_not_fit_fails_alone(rig: Rig) -> None:
    rig.models[0].pipeline.loses = True
    with pytest.raises(GenerationFailedError, match="does not fit"):
        await complete(Answer(rig.engine, job(5)))


async def test_stopping_ends_open_requests_as_incomplete(rig: Rig) -> None:
    answer = Answer(rig.engine, job(1_000_000))
    await answer.read()
    rig.engine.stop()
    with pytest.raises(IncompleteGenerationError):
        await complete(answer)


async def test_a_model_that_cannot_be_loaded_again_ends_the_engine(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Answer(rig.engine, job(1_000_000))
    await answer.read()

    def load() -> LetterModel:
        raise MemoryError("no room")

    monkeypatch.setattr(rig.engine, "_load", load)
    rig.models[0].pipeline.breaks = RuntimeError("the scheduler is broken")
    with pytest.raises(GenerationFailedError):
        await complete(answer)
    assert await asyncio.to_thread(rig.engine.wait_closed, 5)
    await asyncio.sleep(0)
    assert rig.lost == [("the scheduler is broken", True), ("no room", False)]
    with pytest.raises(UnhealthyError):
        Answer(rig.engine, job(1))


async def test_a_model_that_cannot_be_loaded_is_reported_once() -> None:
    lost: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()

    def load() -> LetterModel:
        raise RuntimeError("no such file")

    def loaded(_: LetterModel) -> None:
        raise AssertionError

    engine = BatchEngine(load, EngineSettings(1, 1, None, 0), loaded, lambda *told: lost.put_nowait(told))
    engine.start()
    assert await asyncio.wait_for(lost.get(), 5) == ("no such file", False)
    assert engine.wait_closed(5)
    assert lost.empty()
