"""How calls share inferences, on an encoder whose every batch is known."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from penstock.inference.adapters.embedding_batcher import EmbeddingBatcher
from penstock.inference.domain.errors import GenerationFailedError, OverloadedError, UnhealthyError


@dataclass
class LengthEncoder:
    """The vector of a text is its number of tokens. Waits while `closed`."""

    width: int = 1
    max_length: int = 256
    batches: list[list[int]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    breaks: bool = False

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [[0] * len(text) for text in texts]

    def cut(self, ids: list[int], *, left: bool) -> list[int]:
        _ = left
        return ids

    def encode(self, batch: Sequence[list[int]]) -> Any:
        self.batches.append([len(row) for row in batch])
        self.gate.wait(5)
        if self.breaks:
            raise RuntimeError("out of memory")
        return np.array([[len(row)] for row in batch], dtype=np.float32)


def rows(*lengths: int) -> list[list[int]]:
    return [[0] * length for length in lengths]


@dataclass
class Rig:
    batcher: EmbeddingBatcher
    encoder: LengthEncoder

    def call(self, *lengths: int) -> asyncio.Task[Any]:
        return asyncio.create_task(self.batcher.embed(rows(*lengths)))

    async def taken(self, batches: int) -> None:
        async with asyncio.timeout(5):
            while len(self.encoder.batches) < batches:  # noqa: ASYNC110 - the encoder runs in another thread
                await asyncio.sleep(0.001)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    encoder = LengthEncoder()
    encoder.gate.set()
    batcher = EmbeddingBatcher(lambda: encoder, max_tokens=256, max_concurrent_requests=8, streams=1)
    with pytest.raises(UnhealthyError):
        await batcher.embed(rows(1))
    await batcher.start()
    encoder.batches.clear()
    encoder.gate.clear()
    yield Rig(batcher, encoder)
    encoder.gate.set()
    batcher.stop()


async def test_calls_that_arrive_together_share_an_inference(rig: Rig) -> None:
    calls = [rig.call(3), rig.call(1, 2), rig.call(5)]
    rig.encoder.gate.set()
    answers = [(await call).ravel().tolist() for call in calls]
    assert answers == [[3], [1, 2], [5]]
    assert len(rig.encoder.batches) == 1


async def test_a_query_goes_before_the_rest_of_a_large_call(rig: Rig) -> None:
    documents = rig.call(*[256] * 8)
    await rig.taken(1)
    query = rig.call(9)
    rig.encoder.gate.set()
    assert (await query).ravel().tolist() == [9]
    assert not documents.done()
    assert (await documents).ravel().tolist() == [256] * 8
    assert next(at for at, batch in enumerate(rig.encoder.batches) if 9 in batch) <= 2
    assert all(max(batch) * len(batch) <= 512 for batch in rig.encoder.batches)


async def test_a_large_call_is_not_starved_by_queries(rig: Rig) -> None:
    first = rig.call(200)
    await rig.taken(1)
    document = rig.call(256)
    queries = [rig.call(*[20] * 25) for _ in range(6)]
    rig.encoder.gate.set()
    await asyncio.gather(first, document, *queries)
    at = next(at for at, batch in enumerate(rig.encoder.batches) if 256 in batch)
    assert at <= 2


async def test_too_many_calls_are_refused_and_a_place_comes_back(rig: Rig) -> None:
    calls = [rig.call(1) for _ in range(8)]
    await rig.taken(1)
    with pytest.raises(OverloadedError):
        await rig.batcher.embed(rows(1))
    rig.encoder.gate.set()
    await asyncio.gather(*calls)
    assert (await rig.batcher.embed(rows(1))).shape == (1, 1)


async def test_a_call_whose_client_left_costs_no_inference(rig: Rig) -> None:
    first = rig.call(1)
    await rig.taken(1)
    gone = rig.call(77)
    await asyncio.sleep(0)
    gone.cancel()
    last = rig.call(3)
    await asyncio.sleep(0)
    rig.encoder.gate.set()
    await asyncio.gather(first, last)
    assert all(77 not in batch for batch in rig.encoder.batches)


async def test_a_failed_inference_fails_its_calls_only(rig: Rig) -> None:
    rig.encoder.breaks = True
    rig.encoder.gate.set()
    with pytest.raises(GenerationFailedError):
        await rig.batcher.embed(rows(1, 2))
    rig.encoder.breaks = False
    assert (await rig.batcher.embed(rows(4))).ravel().tolist() == [4]
