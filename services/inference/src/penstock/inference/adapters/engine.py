"""The engine: one thread that steps the batch, while requests join and leave it between steps."""

import asyncio
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import structlog

from penstock.inference.adapters.pipeline import EngineModel, Handle, LostSequenceError, Read
from penstock.inference.domain.errors import (
    GenerationFailedError,
    IncompleteGenerationError,
    OverloadedError,
    UnhealthyError,
)
from penstock.inference.domain.generation import Delta, Finish, FinishReason, Job, Sampling, Token
from penstock.inference.domain.text import TextAssembler
from penstock.inference.ports import Sink

log = structlog.get_logger(__name__)


ModelT = TypeVar("ModelT", bound=EngineModel)

_REQUEST_ERRORS = (RuntimeError, ValueError, TypeError, OverflowError)
"""What OpenVINO raises, and its binding, of a value that it cannot take."""


@dataclass(eq=False, slots=True)
class Sequence:
    """One job on its way through the engine. `sink` is None once nobody listens any more."""

    job: Job
    sink: Sink | None
    queued_at: float
    started_at: float = 0.0
    first_at: float = 0.0
    generated: int = 0
    priming: bool = False


@dataclass(eq=False, slots=True)
class _Running:
    """A sequence in the batch."""

    sequence: Sequence
    handle: Handle
    text: TextAssembler


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine runs. `prime_from`: prompts of as many tokens are primed (see `_join`); None: never."""

    max_batch_size: int
    max_concurrent_requests: int
    prime_from: int | None
    niceness: int


class BatchEngine(Generic[ModelT]):
    """Owns the model and its thread. Every public method is called on the event loop.

    `on_loaded` and `on_lost` are called on the event loop: with the model once it serves, and with the error
    and whether another attempt follows once it does not. A request that cannot join, or whose tokens cannot
    be read, fails alone. A step that fails takes all its requests with it, since it does not say whose fault
    it is; then the model is loaded again: OpenVINO's scheduler does not survive an exception inside a step.
    However the thread ends, unless it was stopped, `on_lost` is told that no attempt follows.
    """

    def __init__(
        self,
        load: Callable[[], ModelT],
        settings: EngineSettings,
        on_loaded: Callable[[ModelT], None],
        on_lost: Callable[[str, bool], None],
    ) -> None:
        self._load = load
        self._settings = settings
        self._on_loaded = on_loaded
        self._on_lost = on_lost
        self._inbox: queue.SimpleQueue[Sequence | None] = queue.SimpleQueue()
        self._open: set[Sequence] = set()
        self._waiting: deque[Sequence] = deque()
        self._running: list[_Running] = []
        self._serving = False
        self._stopping = False
        self._served = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # On the event loop.

    def start(self) -> None:
        """Start loading; returns at once."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Stop after the step in progress; open requests end as incomplete. Does not wait."""
        self._stopping = True
        self._serving = False
        self._inbox.put(None)
        for sequence in list(self._open):
            self._finish(sequence, Delta((), error=IncompleteGenerationError()))

    def wait_closed(self, timeout_s: float) -> bool:
        """Wait for the thread; return whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def batch_size(self) -> int:
        """Return how many sequences are in the batch."""
        return len(self._running)

    @property
    def queue_size(self) -> int:
        """Return how many requests wait for a place in the batch."""
        return max(0, len(self._open) - len(self._running))

    def submit(self, job: Job, sink: Sink) -> Sequence:
        """Queue a job; raises OverloadedError or UnhealthyError."""
        if not self._serving:
            raise UnhealthyError("the model is not loaded")
        if len(self._open) >= self._settings.max_concurrent_requests:
            raise OverloadedError
        sequence = Sequence(job, sink, time.perf_counter())
        self._open.add(sequence)
        self._inbox.put(sequence)
        return sequence

    def cancel(self, ticket: object) -> None:
        """Take a request out before the next step; nothing more is sent to its sink."""
        if isinstance(ticket, Sequence) and ticket in self._open:
            self._open.discard(ticket)
            ticket.sink = None
            self._inbox.put(None)

    def _deliver(self, deltas: list[tuple[Sequence, Delta]]) -> None:
        for sequence, delta in deltas:
            if delta.finish is not None or delta.error is not None:
                self._finish(sequence, delta)
            elif sequence.sink is not None:
                sequence.sink(delta)

    def _finish(self, sequence: Sequence, delta: Delta) -> None:
        self._open.discard(sequence)
        sink, sequence.sink = sequence.sink, None
        if sink is not None:
            sink(delta)

    def _loaded(self, model: ModelT) -> None:
        if not self._stopping:
            self._serving = True
            self._on_loaded(model)

    def _lost(self, reason: str, again: bool) -> None:
        self._serving = False
        for sequence in list(self._open):
            self._finish(sequence, Delta((), error=GenerationFailedError(reason)))
        self._on_lost(reason, again)

    # On the engine's thread.

    def _run(self) -> None:
        reason = "the engine's thread has ended"
        try:
            # Before the model is loaded, so that the worker threads it makes inherit it: a full batch shall
            # not starve the rest of the machine.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._settings.niceness)
            while not self._stopping:
                reason = self._load_and_serve()
                if not self._served:
                    return
                if not self._stopping:
                    self._call(partial(self._lost, reason, True))
        finally:
            if not self._stopping:
                self._call(partial(self._lost, reason, False))

    def _load_and_serve(self) -> str:
        """Return why it came to an end; `_served` tells whether the model could be loaded."""
        self._served = False
        try:
            started = time.perf_counter()
            model = self._load()
            log.info("model loaded", seconds=round(time.perf_counter() - started, 2))
            self._served = True
            self._call(partial(self._loaded, model))
            self._serve(model)
        except Exception as error:  # noqa: BLE001 - whatever it was: the batch is lost, and its requests must hear
            log.error("engine failed", error=str(error), error_type=type(error).__name__)
            self._waiting.clear()
            self._running.clear()
            return _reason(error)
        return "stopped"

    def _call(self, action: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(action)

    def _serve(self, model: ModelT) -> None:
        while True:
            self._take(block=not self._running and not self._waiting)
            if self._stopping:
                return
            self._leave()
            while self._waiting and len(self._running) < self._settings.max_batch_size:
                self._admit(model, self._waiting.popleft())
            if model.pipeline.busy():
                model.pipeline.step()
            deltas = self._collect(model)
            if deltas:
                self._call(partial(self._deliver, deltas))

    def _take(self, *, block: bool) -> None:
        """Move new requests from the inbox to the waiting ones; None only wakes the thread."""
        try:
            item = self._inbox.get(block)
            while True:
                if item is not None:
                    self._waiting.append(item)
                item = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _leave(self) -> None:
        """Take out those whose client has gone."""
        if any(running.sequence.sink is None for running in self._running):
            for running in self._running:
                if running.sequence.sink is None:
                    running.handle.cancel()
            self._running = [running for running in self._running if running.sequence.sink is not None]
        if any(sequence.sink is None for sequence in self._waiting):
            self._waiting = deque(sequence for sequence in self._waiting if sequence.sink is not None)

    def _admit(self, model: ModelT, sequence: Sequence) -> None:
        try:
            self._join(model, sequence)
        except _REQUEST_ERRORS as error:
            # The pipeline checks a request before it takes it, so that the batch is as it was.
            self._call(partial(self._deliver, [(sequence, _failed(error))]))

    def _join(self, model: ModelT, sequence: Sequence) -> None:
        """Put a sequence into the batch.

        A prompt that is read from the prefix cache gives slightly other numbers than one that is computed, so
        a request with a seed of the client's is primed: its prompt is computed by a request of its own first,
        and the answer always starts from the cache.
        """
        job = sequence.job
        sequence.started_at = time.perf_counter()
        prime = self._settings.prime_from
        if job.sampling.reproducible and prime is not None and len(job.prompt) >= prime:
            sequence.priming = True
            handle = model.pipeline.add(job.prompt, 1, Sampling())
        else:
            handle = model.pipeline.add(job.prompt, job.max_new_tokens, job.sampling)
        tokenizer = model.tokenizer
        text = TextAssembler(tokenizer.detokenizer(), tokenizer.vocabulary.special, job.stop)
        self._running.append(_Running(sequence, handle, text))

    def _collect(self, model: ModelT) -> list[tuple[Sequence, Delta]]:
        deltas: list[tuple[Sequence, Delta]] = []
        ended: set[_Running] = set()
        for running in self._running:
            try:
                delta = self._read(model, running)
            except LostSequenceError:
                delta = Delta((), error=GenerationFailedError("the request does not fit into the KV cache"))
            except _REQUEST_ERRORS as error:
                running.handle.cancel()
                delta = _failed(error)
            if delta is None:
                continue
            deltas.append((running.sequence, delta))
            if delta.finish is not None or delta.error is not None:
                ended.add(running)
        if ended:
            self._running = [running for running in self._running if running not in ended]
        return deltas

    def _read(self, model: ModelT, running: _Running) -> Delta | None:
        read = running.handle.read()
        if read is None:
            return None
        if running.sequence.priming:
            self._start_primed(model, running, read)
            return None
        return self._advance(model, running, read)

    def _start_primed(self, model: ModelT, running: _Running, read: Read) -> None:
        if read.reason is not None:
            job = running.sequence.job
            running.sequence.priming = False
            running.handle = model.pipeline.add(job.prompt, job.max_new_tokens, job.sampling)

    def _advance(self, model: ModelT, running: _Running, read: Read) -> Delta:
        sequence = running.sequence
        special = model.tokenizer.vocabulary.special
        reason = read.reason
        tokens = []
        for token, logprob in zip(read.ids, read.logprobs, strict=True):
            text, stopped = running.text.push(token)
            if token in special:
                shown = model.tokenizer.vocabulary.piece(token).decode(errors="replace")
                tokens.append(Token(token, shown, logprob, True))
                continue
            tokens.append(Token(token, text, logprob, False))
            if stopped:
                reason = FinishReason.STOP_SEQUENCE
                running.handle.cancel()
                break
        sequence.generated += len(tokens)
        sequence.first_at = sequence.first_at or time.perf_counter()
        if reason is None:
            return Delta(tuple(tokens))
        now = time.perf_counter()
        return Delta(
            tuple(tokens),
            Finish(
                reason=reason,
                text=running.text.text,
                generated_tokens=sequence.generated,
                input_length=len(sequence.job.prompt),
                seed=sequence.job.sampling.seed,
                queued_s=sequence.started_at - sequence.queued_at,
                inference_s=now - sequence.started_at,
                prefill_s=sequence.first_at - sequence.started_at,
            ),
        )


def _failed(error: Exception) -> Delta:
    # The binding's errors of a wrong type hold the values themselves, which are nothing for a log.
    told = _reason(error) if isinstance(error, RuntimeError) else ""
    log.error("request failed", error=told, error_type=type(error).__name__)
    return Delta((), error=GenerationFailedError(_reason(error)))


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
