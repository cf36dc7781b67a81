"""The thread that polls a client, and how it hands what came to the event loop: one batch, one wake-up."""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition, cimpl

from penstock.streaming.adapters.librdkafka.client import CONNECT_S, as_broker_error
from penstock.streaming.ports import BrokerError

_POLL_S = 0.19
"""The library wakes up every 200 ms in a longer poll as well, to look for signals."""
_REST_S = 5.0
_MOST = 500
T = TypeVar("T")
B = TypeVar("B")
log = structlog.get_logger()


class Interrupted(Exception):
    """Ends a poll: librdkafka returns from it at once when a callback raises."""


class Feed(Generic[B]):
    """Polls a client in a thread of its own.

    `gather` makes a batch of what a poll has brought, or None of nothing; it runs in the thread, as do the
    callbacks of the client and what is given to `call`. No more is polled before the last batch was taken.
    """

    def __init__(self, name: str, gather: Callable[[list[Message]], B | None]) -> None:
        self._gather = gather
        self._loop = asyncio.get_running_loop()
        self._as_caller = contextvars.Context()
        self._as_caller.run(self.be_caller)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._bell = threading.Event()
        self._calls: deque[Callable[[], None]] = deque()
        self._polling = False
        self._full = False
        self._ended = False
        self._batch: B | None = None
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._connected = False
        self.client: Consumer
        self.resting = False
        """There is nothing to poll for."""

    async def open(self, connect: Callable[[], Consumer]) -> None:
        """Start. The client's `on_commit` has to be `interrupt`. Raises BrokerError."""

        def start() -> None:
            self.client = connect()
            self._connected = True

        self._thread.start()
        try:
            await self.call(start)
        finally:
            if not self._connected:
                self._ended = True
                self._bell.set()

    async def take(self, wait: float) -> B | None:
        """Return the next batch, waiting up to `wait` seconds for it. Raises BrokerError."""
        if self._batch is None and self._failure is None:
            self._waiter = waiter = self._loop.create_future()
            timer = self._loop.call_later(wait, self._wake)
            try:
                await waiter
            finally:
                timer.cancel()
        if self._failure is not None:
            raise self._failure
        batch, self._batch = self._batch, None
        if batch is not None:
            self._full = False
            self._bell.set()
        return batch

    async def call(
        self, function: Callable[[], T], then: Callable[[T, B | None], B | None] | None = None
    ) -> T:
        """Run `function` in the thread, between two polls. Raises BrokerError.

        `then` gets the result and the batch that was polled before and is not taken yet, if any, and returns
        what is left of that; it runs in the event loop before a later batch arrives there.
        """
        if self._ended:
            raise BrokerError("this client was closed")
        done: asyncio.Future[T] = self._loop.create_future()

        def settle(result: T) -> None:
            if then is not None:
                self._batch = then(result, self._batch)
            if not done.done():
                done.set_result(result)

        self._calls.append(partial(self._answer, function, done, settle))
        self._bell.set()
        if self._polling:
            # No offset is committed by that: it fails at once, without the network, and calls `interrupt`.
            self._as_caller.run(self.client.commit, offsets=[TopicPartition("", 0)], asynchronous=True)
        return await done

    async def close(self, last: Callable[[], None]) -> None:
        """Run `last` in the thread and end it; for a bounded time. A second time does nothing."""
        if self._ended:
            return

        def end() -> None:
            self._ended = True
            last()

        try:
            async with asyncio.timeout(CONNECT_S):
                await self.call(end)
        except TimeoutError:
            log.warning("kafka_client_not_closed", thread=self._thread.name)
        self._wake()

    def be_caller(self) -> None:
        """Let the current thread make calls to the client while the other one polls.

        librdkafka allows that; confluent-kafka lets only one caller in (since 2.16), and this is how its own
        client for asyncio says that a call comes from the same one.
        """
        cimpl._reentry_identity_var.set(id(self))

    def interrupt(self, *_: object) -> None:
        """Let a poll that waits for records end now. A callback of the client."""
        if self._polling:
            self._polling = False
            raise Interrupted

    def callback(self, function: Callable[[Consumer, T], None]) -> Callable[[Consumer, T], None]:
        """Return a callback for the client that does this, and lets the poll end.

        Its errors are raised by the next `take`: the library loses most of them (before Python 3.12).
        """

        def call(client: Consumer, value: T) -> None:
            try:
                function(client, value)
            except KafkaException as error:
                self.fail(as_broker_error(error))
            except Exception as error:  # noqa: BLE001  # it is raised where a batch is taken
                self.fail(error)
            self.interrupt()

        return call

    def fail(self, error: Exception) -> None:
        """Let everyone who takes know of an error; for the thread."""
        self._tell(self._failed, error)

    def _run(self) -> None:
        self.be_caller()
        try:
            while not self._ended:
                if self._calls:
                    self._calls.popleft()()
                elif self._full or not self._connected:
                    self._bell.wait()
                    self._bell.clear()
                else:
                    self._poll()
        finally:
            if not self._ended:  # else a traceback tells why
                self.fail(BrokerError("the thread that polls Kafka has ended"))

    def _answer(
        self, function: Callable[[], T], done: asyncio.Future[T], settle: Callable[[T], None]
    ) -> None:
        def fail(error: Exception) -> None:
            if not done.done():
                done.set_exception(error)

        try:
            result = function()
        except KafkaException as error:
            self._tell(fail, as_broker_error(error))
        except Exception as error:  # noqa: BLE001  # it is raised where the call was made
            self._tell(fail, error)
        else:
            self._tell(settle, result)

    def _poll(self) -> None:
        if self.resting and self._bell.wait(_REST_S):
            self._bell.clear()
            return
        first = None
        self._polling = True
        try:
            if not self._calls:  # one that has come since did not interrupt
                first = self.client.poll(0 if self.resting else _POLL_S)
        except Interrupted:
            pass
        except KafkaException as error:
            self.fail(as_broker_error(error))
        finally:
            self._polling = False
        # Not `consume` alone: that waits until it has as many as it is asked for. It must not be interrupted.
        messages = [] if first is None else [first, *self.client.consume(_MOST - 1, 0)]
        batch = self._gather(messages)
        if batch is not None:
            self._full = True
            self._tell(self._arrive, batch)

    def _tell(self, function: Callable[[T], None], value: T) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function, value)

    def _arrive(self, batch: B) -> None:
        self._batch = batch
        self._wake()

    def _failed(self, error: Exception) -> None:
        self._failure = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
