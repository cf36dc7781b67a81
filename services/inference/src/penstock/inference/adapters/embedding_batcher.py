"""Gathers concurrent embedding calls into shared inferences."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import structlog

from penstock.inference.adapters.minilm import Array
from penstock.inference.domain.errors import GenerationFailedError, OverloadedError, UnhealthyError

log = structlog.get_logger(__name__)

MAX_ROWS = 32
"""Texts in one call, and in one inference."""
MAX_BATCH_TOKENS = 512
"""Tokens in one inference, padding included: as long as a short query may have to wait behind a long text."""


class Encoder(Protocol):
    """A sentence encoder that may be called from several threads."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def max_length(self) -> int:
        """Tokens in a text, at most."""
        ...

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text."""
        ...

    def cut(self, ids: list[int], *, left: bool) -> list[int]:
        """Return at most `max_length` ids."""
        ...

    def encode(self, batch: Sequence[list[int]]) -> Array:
        """Return one vector a text."""
        ...


@dataclass(eq=False, slots=True)
class _Call:
    """One call: rows in, vectors out, as inferences take its rows one after another."""

    rows: list[list[int]]
    result: asyncio.Future[Array]
    vectors: Array
    tokens: int
    taken: int = 0
    done: int = 0


_Part = tuple[_Call, int]
"""A call, and the index of one of its rows."""


class EmbeddingBatcher:
    """Up to `streams` inferences run at a time; what arrives meanwhile goes into the next ones together.

    Short calls go first, so that queries do not wait for documents; every other inference starts with the
    oldest call, so that documents do not wait for ever. Used on one event loop.
    """

    def __init__(
        self, load: Callable[[], Encoder], *, max_tokens: int, max_concurrent_requests: int, streams: int
    ) -> None:
        self._load = load
        self.max_tokens = max_tokens
        self._max_calls = max_concurrent_requests
        self._streams = streams
        self._pending: list[_Call] = []
        self._open = 0
        self._oldest_first = False
        self._workers: set[asyncio.Task[None]] = set()
        self._working = 0
        self._threads = ThreadPoolExecutor(streams, thread_name_prefix="embeddings")
        self._model: Encoder | None = None
        self.inferences = 0

    @property
    def model(self) -> Encoder:
        """Return the model; raises UnhealthyError before it is loaded."""
        if self._model is None:
            raise UnhealthyError("the embedding model is not loaded")
        return self._model

    async def start(self) -> None:
        """Load the model in a background thread, and warm it up."""
        loop = asyncio.get_running_loop()
        model = await loop.run_in_executor(self._threads, self._load)
        rows = model.tokenize(["warm", "up the kernels"])
        for _ in range(self._streams):
            await loop.run_in_executor(self._threads, model.encode, rows)
        self._model = model

    def stop(self) -> None:
        """Stop after the inferences in progress; does not wait."""
        for worker in self._workers:
            worker.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def embed(self, rows: list[list[int]]) -> Array:
        """Return one vector a row, not normalised. Raises OverloadedError."""
        model = self.model
        if self._open >= self._max_calls:
            raise OverloadedError
        vectors = np.empty((len(rows), model.width), dtype=np.float32)
        call = _Call(rows, asyncio.get_running_loop().create_future(), vectors, sum(map(len, rows)))
        self._open += 1
        self._pending.append(call)
        if self._working < self._streams:
            self._working += 1
            worker = asyncio.create_task(self._work(model))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        try:
            return await call.result
        finally:
            self._open -= 1

    async def _work(self, model: Encoder) -> None:
        # One turn of the loop lets calls that arrived together be taken together.
        await asyncio.sleep(0)
        while parts := self._take():
            await self._infer(model, parts)
        # Nothing is awaited since the queue was seen empty, so no call can arrive unseen in between.
        self._working -= 1

    async def _infer(self, model: Encoder, parts: list[_Part]) -> None:
        self.inferences += 1
        rows = [call.rows[index] for call, index in parts]
        try:
            vectors = await asyncio.get_running_loop().run_in_executor(self._threads, model.encode, rows)
        except RuntimeError as error:
            # OpenVINO reports whatever goes wrong in it as RuntimeError.
            log.error("embedding failed", error=str(error))
            _fail(parts)
            return
        _give(parts, vectors)

    def _take(self) -> list[_Part]:
        """Return the rows of the next inference; none when nothing waits."""
        self._pending = [call for call in self._pending if not call.result.done()]
        calls = sorted(self._pending, key=lambda call: call.tokens)
        if self._oldest_first and calls:
            oldest = self._pending[0]
            calls = [oldest, *(call for call in calls if call is not oldest)]
        self._oldest_first = not self._oldest_first
        parts: list[_Part] = []
        longest = 0
        for call in calls:
            while call.taken < len(call.rows):
                longest = max(longest, len(call.rows[call.taken]))
                if parts and (len(parts) == MAX_ROWS or longest * (len(parts) + 1) > MAX_BATCH_TOKENS):
                    return self._taken(parts)
                parts.append((call, call.taken))
                call.taken += 1
        return self._taken(parts)

    def _taken(self, parts: list[_Part]) -> list[_Part]:
        self._pending = [call for call in self._pending if call.taken < len(call.rows)]
        return parts


def _give(parts: Sequence[_Part], vectors: Array) -> None:
    for (call, index), vector in zip(parts, vectors, strict=True):
        call.vectors[index] = vector
        call.done += 1
        if call.done == len(call.rows) and not call.result.done():
            call.result.set_result(call.vectors)


def _fail(parts: Sequence[_Part]) -> None:
    for call, _ in parts:
        if not call.result.done():
            call.result.set_exception(GenerationFailedError("the embedding model failed"))
